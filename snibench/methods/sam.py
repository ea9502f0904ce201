"""Sharpness-aware minimization: the gradient where the loss nearby is highest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Dropout, Weight
from snibench.base.lazy import torch
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class SamSettings:
    """``rho``: how far the gradient is taken from the parameters; 0 is LoRA."""

    rho: Weight = 0.05
    r: Count = 8
    alpha: Count = 16
    dropout: Dropout = 0.0


class Sam(BaseMethod):
    """LoRA by sharpness-aware minimization: every task's gradient is that at its worst point within ``rho``.

    Task t's row is the gradient of L_t at theta + rho g_t / |g_t|, g_t its gradient at theta, over all trainable
    parameters. Two forward and backward passes a step. Unlike the source, which takes one such step for the loss of the
    whole batch, each task has its own: a row must not depend on the other tasks of the step, and any rule may combine
    them. No second derivative, as in the source.

    Source:
        Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization (ICLR 2021),
        with p = 2.
    """

    Settings: ClassVar[type] = SamSettings

    def gradients(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``[K, *shape]``: each task's gradient at its own worst point."""
        from snibench.engine.task_steps import gradients_of, move, rows_by_task

        def row(own: Batch, named: Mapping[str, nn.Parameter]) -> Mapping[str, Tensor]:
            first = gradients_of(self.losses(model, own)[0], named)
            norm = torch.stack([one.norm() for one in first.values()]).norm()
            if self.settings.rho == 0 or norm == 0:
                return first
            move(named, first, self.settings.rho / norm)
            return gradients_of(self.losses(model, own)[0], named)

        return rows_by_task(model, batch, row)
