"""Token ids as the tensors of one forward pass, a task's common prefix once.

A training step draws K tasks and m instances of each. One task's instances start alike (definition, examples),
so their common token prefix stands once and the instances follow it in the same row, each with the position
ids it would have alone and a mask that shows it the prefix and itself. That equals separate rows up to rounding,
at a fraction of the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from snibench.engine.batching import padded, sent
from snibench.engine.packed_attention import Layout

if TYPE_CHECKING:
    from snibench.engine.backbone import Backbone
from snibench.engine.tokens import Encoded, common_prefix

_HOST = torch.device("cpu")

Groups = Sequence[tuple[str, Sequence[Encoded]]]  # tasks, each with its m instances; m is the same for all


@dataclass(frozen=True)
class Batch:
    """K tasks' m instances each, ready for one forward pass. Rows and target tokens are task-major.

    ``input_ids``, ``positions`` ``[B, L]``. ``mask``: bool ``[B, 1, L, L]`` if packed, else ``[B, L]``.
    ``row_task [B]``: index into ``tasks``. The N target tokens: ``target_index [N, 2]`` is the (row, column) whose
    hidden state predicts ``target_ids [N]``; ``target_task [N]``; ``target_weight [N]`` sums to 1 per task (every
    instance weighs the same, and so does every token within one). ``target_instance [N]``: whose target a token is,
    task ``t``'s being ``t * m`` to ``t * m + m - 1``. ``target_choice [N]``: which of the texts of ``Method.targets``;
    tokens of all but the first weigh 0. For encoder-decoder models the columns count in ``decoder_ids [B, L']``.
    ``part [B, L]``: which of its row's texts a token is of: 0 all (their common beginning), j the j-th, -1 padding;
    ``decoder_part`` the same of ``decoder_ids``. ``layout``: where the parts of packed rows lie. ``groups``: the tasks'
    instances as token ids.
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
    target_instance: Tensor
    target_choice: Tensor
    part: Tensor
    decoder_ids: Tensor | None = None
    decoder_part: Tensor | None = None
    layout: Layout | None = None
    groups: Groups = ()
    remake: Callable[[Groups], Batch] | None = None

    def select(self, tasks: Sequence[int] | None = None, instances: Sequence[int] | None = None) -> Batch:
        """A batch of some of the tasks, by their numbers, and of some of the instances of each, 0 to m - 1.

        As support and query sets of one task are: ``batch.select([t], instances=[0, 1])``.

        Raises:
            LookupError: If the batch's tasks are stacked in one forward pass, where parts of it cannot be had.
        """
        if self.remake is None:
            raise LookupError("a stacked batch cannot be cut")
        chosen = self.groups if tasks is None else [self.groups[task] for task in tasks]
        if instances is not None:
            chosen = [(task, [own[index] for index in instances]) for task, own in chosen]
        return self.remake(chosen)

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
    targets: list[_Target]


@dataclass(frozen=True, slots=True)
class _Target:
    """One target token: the column that predicts it, its id and weight, its instance within the task, its choice."""

    column: int
    id: int
    weight: float
    instance: int
    choice: int


@dataclass(frozen=True, slots=True)
class _Choice:
    """A prompt with one of the targets that are scored under it."""

    instance: int  # within its task
    choice: int
    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...]

    def targets(self, start: int, share: float) -> list[_Target]:
        """The target's tokens, the first predicted in column ``start``; the first choice's weigh ``share`` together."""
        weight = share / len(self.target_ids) if self.choice == 0 else 0.0
        return [
            _Target(start + offset, target, weight, self.instance, self.choice)
            for offset, target in enumerate(self.target_ids)
        ]


def _choices(instances: Sequence[Encoded]) -> list[_Choice]:
    """Every instance with each of its targets."""
    return [
        _Choice(number, choice, one.prompt_ids, target)
        for number, one in enumerate(instances)
        for choice, target in enumerate((one.target_ids, *one.others))
    ]


def _pack(choices: Sequence[_Choice], share: float) -> _Row:
    """One task's instances behind their common prefix; the tokens that are learned of each weigh ``share`` together."""
    # A single part has no prefix to share: every token is its own.
    prefix = common_prefix([one.prompt_ids for one in choices]) if len(choices) > 1 else 0
    ids, positions, part = list(choices[0].prompt_ids[:prefix]), list(range(prefix)), [0] * prefix
    targets = []
    for number, one in enumerate(choices, start=1):
        own = [*one.prompt_ids[prefix:], *one.target_ids[:-1]]
        targets += one.targets(len(ids) + len(one.prompt_ids) - prefix - 1, share)
        ids += own
        positions += range(prefix, prefix + len(own))
        part += [number] * len(own)
    return _Row(ids, positions, part, targets)


def make_batch(groups: Groups, backbone: Backbone, *, pack: bool) -> Batch:
    """The batch of ``groups``: (task, its m instances), m the same for all.

    ``pack``: one row per task with the shared prefix once, else one row per instance and target.
    """
    if backbone.encoder_decoder:
        return _encoder_decoder_batch(groups, backbone)
    share = 1 / len(groups[0][1])
    if pack:
        rows = [(index, _pack(_choices(own), share)) for index, (_, own) in enumerate(groups)]
    else:
        rows = [(index, _pack([one], share)) for index, (_, own) in enumerate(groups) for one in _choices(own)]
    device = backbone.device
    part = padded([row.part for _, row in rows], _HOST, value=-1)
    mask = block_mask(part) if pack else part >= 0
    return Batch(
        input_ids=padded([row.ids for _, row in rows], device),
        positions=padded([row.positions for _, row in rows], device),
        mask=sent(mask, device),
        part=sent(part, device),
        layout=Layout.of(part).to(device) if pack else None,
        remake=partial(make_batch, backbone=backbone, pack=pack),
        **_bookkeeping(groups, [(task, row.targets) for task, row in rows], device),
    )


def _encoder_decoder_batch(groups: Groups, backbone: Backbone) -> Batch:
    share = 1 / len(groups[0][1])
    rows = [(index, one) for index, (_, own) in enumerate(groups) for one in _choices(own)]
    start = backbone.model.config.decoder_start_token_id
    device = backbone.device
    inputs = padded([one.prompt_ids for _, one in rows], _HOST, value=-1)
    targets = [(task, one.targets(0, share)) for task, one in rows]
    outputs = padded([[start, *one.target_ids[:-1]] for _, one in rows], _HOST, value=-1)
    return Batch(
        input_ids=sent(inputs.clamp(min=0), device),
        positions=sent(torch.zeros_like(inputs), device),
        mask=sent(inputs >= 0, device),
        part=sent(_one_text(inputs), device),
        decoder_ids=sent(outputs.clamp(min=0), device),
        decoder_part=sent(_one_text(outputs), device),
        remake=partial(make_batch, backbone=backbone, pack=False),
        **_bookkeeping(groups, targets, device),
    )


def _one_text(ids: Tensor) -> Tensor:
    """``[B, L]`` parts of rows with one text each, from ids that are -1 where there is padding."""
    return torch.where(ids >= 0, 1, -1)


def _bookkeeping(
    groups: Groups,
    rows: Sequence[tuple[int, list[_Target]]],
    device: torch.device,
) -> dict[str, Any]:
    flat = [(row, task, target) for row, (task, targets) in enumerate(rows) for target in targets]
    each = len(groups[0][1])
    places = [(row, target.column) for row, _, target in flat]
    instances = [task * each + target.instance for _, task, target in flat]
    weights = [target.weight for _, _, target in flat]
    return {
        "tasks": tuple(task for task, _ in groups),
        "instructions": tuple(instances[0].prompt.instruction for _, instances in groups),
        "row_task": sent(torch.tensor([task for task, _ in rows]), device),
        "target_index": sent(torch.tensor(places), device),
        "target_ids": sent(torch.tensor([target.id for _, _, target in flat]), device),
        "target_task": sent(torch.tensor([task for _, task, _ in flat]), device),
        "target_instance": sent(torch.tensor(instances), device),
        "target_choice": sent(torch.tensor([target.choice for _, _, target in flat]), device),
        "groups": tuple(groups),
        "target_weight": sent(torch.tensor(weights, dtype=torch.float32), device),
    }


def block_mask(part: Tensor) -> Tensor:
    """Bool ``[B, 1, L, L]``: who attends to whom. Padding attends to itself, since softmax over nothing is NaN."""
    length = part.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    queries, keys = part[:, :, None], part[:, None, :]
    visible = (keys == 0) | (keys == queries)
    return (causal & visible)[:, None]


def tokens_of(instances: Sequence[Encoded], *, pack: bool) -> int:
    """Tokens of one task's instances in a batch, without what pads them to another task's."""
    choices = _choices(instances)
    lengths = [len(one.prompt_ids) + len(one.target_ids) for one in choices]
    if not pack:
        return len(lengths) * max(lengths)
    prefix = common_prefix([one.prompt_ids for one in choices]) if len(choices) > 1 else 0
    return sum(lengths) - (len(lengths) - 1) * prefix
