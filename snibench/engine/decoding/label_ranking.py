"""The likeliest of a closed set of labels, beside the greedy answer.

The score of a label is the mean log-likelihood of its tokens, the end of sequence among them: minus the loss that it
would have as a training target. The end counts, so that a label is not beaten by one that begins like it; the mean, so
that a long label is not beaten for its length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snibench.base.types import Prompt, TaskCard
from snibench.engine.backbone import Backbone, base_of
from snibench.engine.batching import padded, sent
from snibench.engine.losses import logits_at
from snibench.engine.tokens import Encoder

# Logits that are looked at together.
_LOGITS_AT_ONCE = 1 << 26

# (first row, end row, ids [m, S], depths [m, S], mask [m, 1, S, S]) -> states [m, S, E] of tokens after the prompts
Branch = Callable[[int, int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of one task as they would follow one prompt: ``ids[j]`` ends in the end of sequence."""

    texts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]

    @property
    def width(self) -> int:
        """Tokens to read: all but the ends."""
        return sum(len(one) - 1 for one in self.ids)

    def best(self, scores: Sequence[float]) -> str:
        """The label of the highest score, the first of equal ones."""
        return self.texts[max(range(len(scores)), key=lambda index: scores[index])]


def labels_after(prompt: Prompt, card: TaskCard, encoder: Encoder) -> Labels | None:
    """The labels of a closed task, tokenized as targets of training are; None for an open task."""
    if not card.labels:
        return None
    pairs = encoder.pairs([prompt] * len(card.labels), card.labels)
    return Labels(card.labels, tuple(one.target_ids for one in pairs))


def label_scores(
    labels: Sequence[Labels | None], logits: Tensor, branch: Branch, to_logits: Callable[[Tensor], Tensor]
) -> list[list[float]]:
    """The score of every label of every row, all labels of a row read as branches after its prompt in one pass.

    Args:
        labels: Of n rows; None gives no scores.
        logits: ``[n, V]`` after the prompts.
        branch: Reads tokens after the prompts of some of the rows.
        to_logits: ``[..., E] -> [..., V]``.
    """
    width = max((one.width for one in labels if one is not None), default=0)
    if not width:
        return [[] for _ in labels]
    scores: list[list[float]] = []
    step = max(1, _LOGITS_AT_ONCE // (logits.shape[1] * width))
    for start in range(0, len(labels), step):
        some = labels[start : start + step]
        end = start + len(some)
        ids, depths, mask = _laid_out(some, width, logits)
        later = torch.log_softmax(to_logits(branch(start, end, ids, depths, mask)).float(), dim=-1)  # [m, S, V]
        first = torch.log_softmax(logits[start:end].float(), dim=-1)
        scores += [_scores(one, first[row], later[row]) for row, one in enumerate(some)]
    return scores


def _laid_out(labels: Sequence[Labels | None], width: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ids and depths ``[m, S]`` of the branches side by side, and the mask that keeps them apart."""
    ids = torch.zeros(len(labels), width, dtype=torch.long)
    depths = torch.zeros_like(ids)
    parts = -torch.arange(1, width + 1).repeat(len(labels), 1)  # padding sees itself
    for row, one in enumerate(labels):
        column = 0
        for number, label in enumerate(one.ids if one is not None else ()):
            size = len(label) - 1
            ids[row, column : column + size] = torch.tensor(label[:-1])
            depths[row, column : column + size] = torch.arange(size)
            parts[row, column : column + size] = number
            column += size
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    visible = causal & (parts[:, :, None] == parts[:, None, :])
    mask = torch.zeros(visible.shape, dtype=like.dtype).masked_fill_(~visible, -math.inf)[:, None]
    return sent(ids, like.device), sent(depths, like.device), sent(mask, like.device)


def _scores(labels: Labels | None, first: Tensor, later: Tensor) -> list[float]:
    """Mean log-likelihoods of one row's labels, from those of all tokens ``[V]`` and ``[S, V]``."""
    if labels is None or not labels.ids:
        return []
    column, sums = 0, []
    for label in labels.ids:
        size = len(label) - 1
        rest = later[column : column + size].gather(1, sent(torch.tensor(label[1:]), later.device)[:, None])
        sums += [first[label[0]], rest.sum()]
        column += size
    scores = torch.stack(sums).tolist()  # one transfer for all labels
    return [(scores[2 * j] + scores[2 * j + 1]) / len(label) for j, label in enumerate(labels.ids)]


def scores_alone(backbone: Backbone, model: nn.Module, prompt_ids: Sequence[int], labels: Labels) -> list[float]:
    """The score of every label after one prompt, each read in a row of its own by the model's own forward pass."""
    base, device = base_of(model), backbone.device
    if backbone.encoder_decoder:
        first = 0
        spoken = [[base.config.decoder_start_token_id, *label[:-1]] for label in labels.ids]
        ids = padded([prompt_ids] * len(labels.ids), device)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": padded(spoken, device)}
    else:
        first = len(prompt_ids) - 1
        ids = padded([[*prompt_ids, *label[:-1]] for label in labels.ids], device, value=-1)
        inputs = {"input_ids": ids.clamp(min=0), "attention_mask": (ids >= 0).long()}
    places = [(row, first + column) for row, label in enumerate(labels.ids) for column in range(len(label))]
    logits = logits_at(base, sent(torch.tensor(places), device), **inputs)
    targets = sent(torch.tensor([token for label in labels.ids for token in label]), device)
    each = -nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    means: list[float] = torch.stack([some.mean() for some in each.split([len(one) for one in labels.ids])]).tolist()
    return means
