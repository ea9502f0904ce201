"""Token ids as the tensors of one forward pass, a task's common prefix once.

A training step draws K tasks and m instances of each. One task's instances start alike (definition, examples),
so their common token prefix stands once and the instances follow it in the same row, each with the position
ids it would have alone and a mask that shows it the prefix and itself. That equals separate rows up to rounding,
at a fraction of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from snibench.engine.attention import Layout

if TYPE_CHECKING:
    from snibench.engine.backbone import Backbone
from snibench.engine.tokens import Encoded, common_prefix


@dataclass(frozen=True)
class Batch:
    """K tasks' instances, ready for one forward pass. Rows are task-major and every task has equally many.

    ``input_ids``, ``positions`` ``[B, L]``. ``mask``: bool ``[B, 1, L, L]`` if packed, else ``[B, L]``.
    ``row_task [B]``: index into ``tasks``. The N target tokens: ``target_index [N, 2]`` is the (row, column) whose
    hidden state predicts ``target_ids [N]``; ``target_task [N]``; ``target_weight [N]`` sums to 1 per task (every
    instance weighs the same, and so does every token within one). For encoder-decoder models the columns
    count in ``decoder_ids [B, L']``. ``layout``: where the parts of packed rows lie.
    """

    tasks: tuple[str, ...]
    instructions: tuple[str, ...]
    input_ids: Tensor
    positions: Tensor
    mask: Tensor
    row_task: Tensor
    target_index: Tensor
    target_ids: Tensor
    target_task: Tensor
    target_weight: Tensor
    decoder_ids: Tensor | None = None
    layout: Layout | None = None

    @property
    def tokens(self) -> int:
        """Tokens that the model reads, padding included."""
        return self.input_ids.numel() + (0 if self.decoder_ids is None else self.decoder_ids.numel())


@dataclass(frozen=True, slots=True)
class _Row:
    """One row before padding: ``part[i]`` is 0 in the shared prefix, j in the row's j-th instance."""

    ids: list[int]
    positions: list[int]
    part: list[int]
    targets: list[tuple[int, int, float]]  # column, id, weight


def _pack(instances: Sequence[Encoded], share: float) -> _Row:
    """One task's instances behind their common prefix; each instance's tokens weigh ``share`` together."""
    # A single instance has no prefix to share: every token is its own.
    prefix = common_prefix([one.prompt_ids for one in instances]) if len(instances) > 1 else 0
    ids, positions, part = list(instances[0].prompt_ids[:prefix]), list(range(prefix)), [0] * prefix
    targets = []
    for number, one in enumerate(instances, start=1):
        own = [*one.prompt_ids[prefix:], *one.target_ids[:-1]]
        slot = len(ids) + len(one.prompt_ids) - prefix - 1
        weight = share / len(one.target_ids)
        targets += [(slot + offset, target, weight) for offset, target in enumerate(one.target_ids)]
        ids += own
        positions += range(prefix, prefix + len(own))
        part += [number] * len(own)
    return _Row(ids, positions, part, targets)


def make_batch(groups: Sequence[tuple[str, Sequence[Encoded]]], backbone: Backbone, *, pack: bool) -> Batch:
    """The batch of ``groups``: (task, its m instances), m the same for all.

    ``pack``: one row per task with the shared prefix once, else one row per instance.
    """
    if backbone.encoder_decoder:
        return _encoder_decoder_batch(groups, backbone)
    share = 1 / len(groups[0][1])
    if pack:
        rows = [(index, _pack(instances, share)) for index, (_, instances) in enumerate(groups)]
    else:
        rows = [(index, _pack([one], share)) for index, (_, instances) in enumerate(groups) for one in instances]
    device = backbone.device
    part = _pad([row.part for _, row in rows], -1)
    mask = _block_mask(part) if pack else part >= 0
    return Batch(
        input_ids=_pad([row.ids for _, row in rows], 0).to(device),
        positions=_pad([row.positions for _, row in rows], 0).to(device),
        mask=mask.to(device),
        layout=Layout.of(part).to(device) if pack else None,
        **_bookkeeping(groups, [(task, row.targets) for task, row in rows], device),
    )


def _encoder_decoder_batch(groups: Sequence[tuple[str, Sequence[Encoded]]], backbone: Backbone) -> Batch:
    share = 1 / len(groups[0][1])
    rows = [(index, one) for index, (_, instances) in enumerate(groups) for one in instances]
    start = backbone.model.config.decoder_start_token_id
    inputs = _pad([list(one.prompt_ids) for _, one in rows], -1)
    targets = [
        (task, [(column, target, share / len(one.target_ids)) for column, target in enumerate(one.target_ids)])
        for task, one in rows
    ]
    return Batch(
        input_ids=inputs.clamp(min=0).to(backbone.device),
        positions=torch.zeros_like(inputs).to(backbone.device),
        mask=(inputs >= 0).to(backbone.device),
        decoder_ids=_pad([[start, *one.target_ids[:-1]] for _, one in rows], 0).to(backbone.device),
        **_bookkeeping(groups, targets, backbone.device),
    )


def _bookkeeping(
    groups: Sequence[tuple[str, Sequence[Encoded]]],
    rows: Sequence[tuple[int, list[tuple[int, int, float]]]],
    device: torch.device,
) -> dict[str, Any]:
    flat = [(row, column, id_, task, w) for row, (task, found) in enumerate(rows) for column, id_, w in found]
    places, columns, ids, tasks, weights = zip(*flat, strict=True)
    return {
        "tasks": tuple(task for task, _ in groups),
        "instructions": tuple(instances[0].prompt.instruction for _, instances in groups),
        "row_task": torch.tensor([task for task, _ in rows], device=device),
        "target_index": torch.tensor([places, columns], device=device).T,
        "target_ids": torch.tensor(ids, device=device),
        "target_task": torch.tensor(tasks, device=device),
        "target_weight": torch.tensor(weights, dtype=torch.float32, device=device),
    }


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def _block_mask(part: Tensor) -> Tensor:
    """Bool ``[B, 1, L, L]``: who attends to whom. Padding attends to itself, since softmax over nothing is NaN."""
    length = part.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    queries, keys = part[:, :, None], part[:, None, :]
    visible = (keys == 0) | (keys == queries)
    return (causal & visible)[:, None]


def micro_batches(
    groups: Sequence[tuple[str, Sequence[Encoded]]], tokens: int, *, rows: int | None = None, pack: bool = True
) -> Iterator[list[int]]:
    """Indices of ``groups`` in pieces of about ``tokens`` padded tokens, at least one task and at most ``rows``.

    Similar lengths together, to spare padding.
    """
    sizes = [_tokens_of(instances, pack) for _, instances in groups]
    piece: list[int] = []
    for index in sorted(range(len(groups)), key=sizes.__getitem__):
        # Sorted: the newest is the longest.
        if piece and (sizes[index] * (len(piece) + 1) > tokens or len(piece) == rows):
            yield piece
            piece = []
        piece.append(index)
    yield piece


def _tokens_of(instances: Sequence[Encoded], pack: bool) -> int:
    """Tokens of one task's instances in a batch, without what pads them to another task's."""
    lengths = [len(one.prompt_ids) + len(one.target_ids) for one in instances]
    if not pack:
        return len(lengths) * max(lengths)
    prefix = common_prefix([one.prompt_ids for one in instances]) if len(instances) > 1 else 0
    return sum(lengths) - (len(lengths) - 1) * prefix
