"""Logits and losses at the target tokens of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from snibench.engine.backbone import base_of
from snibench.engine.packed_attention import packed
from snibench.engine.packing import Batch


def target_logits(model: nn.Module, batch: Batch) -> Tensor:
    """``[N, vocabulary]`` float32 logits at the target tokens only."""
    base = base_of(model)
    inputs: dict[str, Any] = {"input_ids": batch.input_ids, "attention_mask": batch.mask}
    if batch.decoder_ids is not None:
        inputs["decoder_input_ids"] = batch.decoder_ids
    elif batch.mask.dim() == 4:  # alone in its row, an instance has the positions that the model gives it
        inputs["position_ids"] = batch.positions
    with packed(batch.layout):
        logits = logits_at(base, batch.target_index, **inputs).float()
    if _recorders and torch.is_grad_enabled():
        _recorders[-1].append((batch, logits))
    return logits


_recorders: list[list[tuple[Batch, Tensor]]] = []


@contextmanager
def recorded_logits() -> Iterator[list[tuple[Batch, Tensor]]]:
    """Inside, every call of ``target_logits`` that gradients go through is kept: its batch, and its result."""
    _recorders.append([])
    try:
        yield _recorders[-1]
    finally:
        _recorders.pop()


def logits_at(base: Any, places: Tensor, **inputs: Any) -> Tensor:
    """``[N, vocabulary]`` logits of the model's own forward pass at ``places [N, 2]``, (row, column) each.

    The vocabulary projection is a fifth of a small model and targets are a few tokens in hundreds, so it is handed the
    hidden states of these places alone; whatever the model does before and after it (scales, caps, dense layers) stays.
    """
    rows, columns = places.unbind(1)
    head = base.get_output_embeddings()
    chosen: list[bool] = []

    def choose(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        chosen.append(True)
        return (arguments[0][rows, columns], *arguments[1:])

    hook = head.register_forward_pre_hook(choose) if isinstance(head, nn.Module) else None
    try:
        logits: Tensor = base(**inputs, use_cache=False).logits
    finally:
        if hook is not None:
            hook.remove()
    return logits if chosen else logits[rows, columns]


def target_nll(logits: Tensor, batch: Batch) -> Tensor:
    """``[K]``: per task, the mean over its instances of their mean target negative log-likelihood."""
    each = nn.functional.cross_entropy(logits, batch.target_ids, reduction="none") * batch.target_weight
    return each.new_zeros(len(batch.tasks)).index_add(0, batch.target_task, each)


def target_log_likelihoods(logits: Tensor, batch: Batch, *, per_token: bool = False) -> Tensor:
    """``[K * m, C]``: the log-likelihood of every instance's C targets, summed over their tokens.

    ``per_token``: the mean over them. Rows are task-major, as ``batch.target_instance`` counts them. 0
    where an instance has fewer than C targets.
    """
    each = nn.functional.cross_entropy(logits, batch.target_ids, reduction="none")  # [N]
    instances = sum(len(own) for _, own in batch.groups)
    choices = max(1 + len(one.others) for _, own in batch.groups for one in own)
    place = batch.target_instance * choices + batch.target_choice
    total = each.new_zeros(instances * choices).index_add(0, place, -each)
    if per_token:
        count = each.new_zeros(instances * choices).index_add(0, place, torch.ones_like(each))
        total = total / count.clamp(min=1)
    return total.view(instances, choices)
