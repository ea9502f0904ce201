"""A rule: one class with ``needs``, and ``weigh`` if it is a function of the task gradients' inner products."""

from __future__ import annotations

from torch import Tensor

from snibench.api import GramRule, Step


class InverseNorm(GramRule):
    """Task gradients weighed by one over their length, so that none leads by its size; the weights sum to 1."""

    def weigh(self, step: Step) -> Tensor:
        """``[T]`` weights; tasks with a zero gradient are left out before."""
        weights = step.gram.diagonal().rsqrt()
        return weights / weights.sum()
