"""Statistics of one forward pass over its tokens, the same whether or not the texts of a row share their beginning.

A packed row (``packing``) holds the common beginning of its texts once. Alone, each of them would have it: so a shared
token counts once for every text of its row, and padding not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from snibench.engine.packing import Batch


def appearances(part: Tensor) -> Tensor:
    """``[B, L]``: in how many texts a token of ``part`` (``Batch.part``) stands: 0 padding, 1 a text's own."""
    texts = part.amax(1, keepdim=True).clamp(min=1)
    return torch.where(part == 0, texts, 1) * (part >= 0)


def token_mean(values: Tensor, part: Tensor) -> Tensor:
    """``[n]``: the mean of ``values [B, L, n]`` over the tokens of all texts."""
    weights = appearances(part).to(values)
    return torch.einsum("bl,bln->n", weights, values) / weights.sum()


def text_means(values: Tensor, part: Tensor) -> Tensor:
    """``[I, n]``: the means of ``values [B, L, n]`` over the tokens of each text, row by row."""
    rows, _, width = values.shape
    texts = max(1, int(part.max()))
    place = part.clamp(min=-1) + 1  # 0 padding, 1 the shared beginning, 2 and on the texts' own
    ones = torch.ones_like(values[..., :1])
    counted = torch.cat([values, ones], dim=-1)  # with the number of tokens as last column
    sums = counted.new_zeros(rows, texts + 2, width + 1).scatter_add(
        1, place[..., None].expand(-1, -1, width + 1), counted
    )
    whole = sums[:, 2:] + sums[:, 1:2]  # [B, texts, n + 1]
    there = sums[:, 2:, -1] > 0
    return whole[there][:, :-1] / whole[there][:, -1:]


def task_moments(values: Tensor, part: Tensor, row_task: Tensor, tasks: int) -> tuple[Tensor, Tensor]:
    """``[K, n]`` means and ``[K, n]`` variances of ``values [B, L, n]`` over the tokens of each task's texts."""
    weights = appearances(part).to(values)[..., None]
    of_task = row_task[:, None].expand(part.shape).flatten()

    def summed(each: Tensor) -> Tensor:
        return each.new_zeros(tasks, each.shape[-1]).index_add(0, of_task, each.flatten(0, 1))

    count = summed(weights)
    mean = summed(weights * values) / count
    spread = values - mean[row_task][:, None]
    return mean, summed(weights * spread.square()) / (count - 1).clamp(min=1)


@dataclass
class Tally:
    """Reports of a model's layers on the forward pass under way, one value each; closed unless ``over`` a batch.

    ``parts``: which text each token is of, for a model's rows, and for the rows of a decoder where it has its own.
    """

    parts: tuple[Tensor, ...] = ()
    reports: list[Tensor] = field(default_factory=list)

    @contextmanager
    def over(self, batch: Batch) -> Iterator[list[Tensor]]:
        """Inside, layers report; what they reported so far."""
        before = self.parts, self.reports
        self.parts = (batch.part,) if batch.decoder_part is None else (batch.part, batch.decoder_part)
        self.reports = []
        try:
            yield self.reports
        finally:
            self.parts, self.reports = before

    @staticmethod
    def mean(reports: list[Tensor], weight: float) -> Tensor | None:
        """``weight`` times the mean over layers; None without a weight or a report."""
        return weight * torch.stack(reports).mean() if weight and reports else None

    def report(self, values: Tensor, statistic: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Keep ``statistic(values [B, L, n], part)`` of what a layer computed for every token.

        A layer whose tokens are not those of the batch's rows reports nothing. Where an encoder's and a decoder's rows
        are equally long, they are taken for the encoder's.
        """
        tokens = values.numel() // values.shape[-1]
        part = next((one for one in self.parts if one.numel() == tokens), None)
        if part is not None:
            self.reports.append(statistic(values.reshape(*part.shape, -1), part))
