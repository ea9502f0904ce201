"""Per-task losses through parameters that every task has a copy of (``torch.func.vmap``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from snibench.engine.packing import Batch


class _Unnamed(tuple[str, ...]):
    """Names of a stacked batch's one task: there, but not to be read, since they differ from task to task."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        raise LookupError("which task it is cannot be asked under vmap")

    def __iter__(self) -> Iterator[str]:
        raise LookupError("which task it is cannot be asked under vmap")


def stacked_losses(
    model: nn.Module, copies: Mapping[str, Tensor], batch: Batch, losses: Callable[[Batch], Tensor]
) -> Tensor:
    """``[k]`` losses of the batch's tasks, each through its own row of ``copies`` (name -> ``[k, *shape]``).

    Raises:
        LookupError: If ``losses`` asks which task it is given.
        RuntimeError: If the model's forward pass branches on the values of a tensor.
    """
    stack, whole = _stacked(batch)

    class Forward(nn.Module):
        """``losses`` as a module's forward pass, so that parameters can be exchanged for a call."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, tensors: dict[str, Tensor]) -> Tensor:
            changes: dict[str, Any] = dict(tensors)
            return losses(replace(whole, **changes))[0]

    holder = Forward()

    def one(own: dict[str, Tensor], tensors: dict[str, Tensor]) -> Tensor:
        loss: Tensor = functional_call(holder, {f"model.{name}": value for name, value in own.items()}, (tensors,))
        return loss

    each: Tensor = vmap(one, randomness="different")(dict(copies), stack)
    return each


def _stacked(batch: Batch) -> tuple[dict[str, Tensor], Batch]:
    """The batch's tensors with one task in front, ``[k, ...]``, and a batch of one unnamed task to put a slice into.

    Tasks with fewer target tokens than others are filled with tokens of no weight.
    """
    count, rows = len(batch.tasks), len(batch.row_task) // len(batch.tasks)
    sizes = torch.bincount(batch.target_task, minlength=count).tolist()
    tensors: dict[str, Tensor] = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if not isinstance(value, Tensor):
            continue
        if field.name.startswith("target_"):
            tensors[field.name] = nn.utils.rnn.pad_sequence(list(value.split(sizes)), batch_first=True)
        else:
            tensors[field.name] = value.reshape(count, rows, *value.shape[1:])
    tensors["row_task"] = torch.zeros_like(tensors["row_task"])
    tensors["target_task"] = torch.zeros_like(tensors["target_task"])
    first = torch.arange(count, device=batch.row_task.device)[:, None] * rows
    each = len(batch.groups[0][1])
    tensors["target_instance"] = tensors["target_instance"] % each
    index = tensors["target_index"].clone()
    index[..., 0] = (index[..., 0] - first).clamp(min=0)
    tensors["target_index"] = index
    if batch.decoder_ids is None and batch.mask.dim() == 2:
        # As a mask of who sees whom: with one of padding, models look whether there is any.
        length = batch.mask.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=batch.mask.device).tril()
        tensors["mask"] = causal & tensors["mask"][:, :, None, None, :].bool()
    return tensors, replace(batch, tasks=_Unnamed(("",)), instructions=_Unnamed(("",)), layout=None, remake=None)
