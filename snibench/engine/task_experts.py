"""A LoRA of its own for every task beside each layer, and what they give when they are merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from snibench.base.hashing import derive_seed
from snibench.engine.adapters import AdapterLayer, Routing
from snibench.engine.backbone import base_of

Merge = Literal["arithmetic", "ties", "dare", "dare-ties"]
MERGED = -1  # in place of a task's number: rows of the merged update


class TaskExpertsLayer(AdapterLayer):
    """``W x + scale * B_t A_t x`` for rows of task t, or ``W x + D x`` with D merged from all of them.

    ``A_t`` starts Kaiming uniform, ``B_t`` at zero. Each expert's matrices are parameters of their own, so that an
    optimizer leaves those of absent tasks as they are. The table "experts" of ``state`` says for every distinct task of
    the rows which expert they take, or ``MERGED``.
    """

    merged: Tensor | None

    def __init__(self, base: nn.Module, *, tasks: int, rank: int, scale: float, state: Routing, dropout: float) -> None:
        super().__init__(base)
        device = self.weight.device
        self.A = nn.ParameterList(torch.zeros(rank, self.in_features, device=device) for _ in range(tasks))
        self.B = nn.ParameterList(torch.zeros(self.out_features, rank, device=device) for _ in range(tasks))
        self.scale = scale
        self.state = state
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.register_buffer("merged", None, persistent=False)  # [out, in]

    def down_projections(self) -> Sequence[Tensor]:
        """Every task's ``A``."""
        return tuple(self.A)

    def updates(self) -> list[Tensor]:
        """``scale * B_t A_t`` of every task, each ``[out, in]``."""
        return [self.scale * up.detach() @ down.detach() for down, up in zip(self.A, self.B, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """``[B, L, in] -> [B, L, out]``, or ``[B * L, in] -> [B * L, out]``, in the base layer's dtype."""
        plain: Tensor = self.base_layer(x)
        if not self.enabled:
            return plain
        assert self.state.rows is not None
        rows, experts = self.state.rows, self.state.tables["experts"]
        tokens = self.state.by_row(self.dropout(x))
        parts = []
        for place, expert in enumerate(experts):
            own = tokens if len(experts) == 1 else tokens[rows == place]
            parts.append(self._update(own, expert))
        if len(experts) > 1:
            order = torch.cat([torch.nonzero(rows == place).flatten() for place in range(len(experts))])
            parts = [torch.cat(parts)[order.argsort()]]
        return plain + parts[0].view_as(plain)

    def _update(self, x: Tensor, expert: int) -> Tensor:
        linear = nn.functional.linear
        if expert == MERGED:
            assert self.merged is not None
            return linear(x, self.merged.to(x.dtype))
        return self.scale * linear(linear(x, self.A[expert].to(x.dtype)), self.B[expert].to(x.dtype))


def merge_experts(model: nn.Module, how: Merge, weight: float, density: float, seed: int) -> None:
    """Merge every layer's experts into ``merged``, the update for rows of no task.

    With ``weight`` w and T experts of updates D_t: "arithmetic" is ``w mean_t D_t``; "ties" keeps of each D_t the share
    ``density`` of its entries that are largest, and takes for each entry w times the mean of those that have the sign
    of their sum; "dare" keeps a random share and divides it by ``density``, then as "arithmetic"; "dare-ties" then as
    "ties". All by peft's own functions, on whole updates and not on A and B apart.
    """
    for name, layer in base_of(model).named_modules():
        if isinstance(layer, TaskExpertsLayer):
            devices = [layer.weight.device] if layer.weight.device.type == "cuda" else []
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(derive_seed("merge", seed, name))
                layer.merged = _merged(layer.updates(), how, weight, density)


def _merged(updates: list[Tensor], how: Merge, weight: float, density: float) -> Tensor:
    from peft.utils import merge_utils

    average = how in ("arithmetic", "dare")  # the others take means of their own
    weights = torch.full((len(updates),), weight / (len(updates) if average else 1), device=updates[0].device)
    if how == "arithmetic" or (how == "dare" and density == 1):
        merged: Tensor = merge_utils.task_arithmetic(updates, weights)
    elif how == "dare":
        merged = merge_utils.dare_linear(updates, weights, density)
    elif how == "ties":
        merged = merge_utils.ties(updates, weights, density)
    else:
        merged = merge_utils.dare_ties(updates, weights, density)
    return merged
