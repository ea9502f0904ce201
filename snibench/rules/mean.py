"""Plain averages: the baseline of every other rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from snibench.base.lazy import torch
from snibench.contracts import Rule
from snibench.rules._gram import without_anchors

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients


@final
class Mean(Rule):
    """Every task weighs ``1/K``: the gradient of the mean task loss."""

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``1/K`` for every task."""
        count = len(gradients.tasks)
        return without_anchors(torch.full((count,), 1 / count, dtype=torch.float64), gradients)


@final
class Sum(Rule):
    """Every task weighs 1: the gradient of the summed task loss."""

    def weights(self, gradients: TaskGradients) -> Tensor:
        """1 for every task."""
        return without_anchors(torch.ones(len(gradients.tasks), dtype=torch.float64), gradients)
