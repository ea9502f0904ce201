"""Rules that turn each task's gradient away from those that it opposes, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from snibench.contracts import Needs
from snibench.rules._gram import GramRule, Step, project_conflicting

if TYPE_CHECKING:
    from torch import Tensor


@final
class PCGrad(GramRule):
    """The mean of the task gradients after each has lost what opposes another's.

    Unlike the source, the projected gradients are averaged, not summed, so that the update keeps the scale of
    the mean rule.

    Source:
        Yu et al., Gradient Surgery for Multi-Task Learning (NeurIPS 2020), Algorithm 1.
    """

    needs = Needs.GRAM | Needs.GENERATOR

    def weigh(self, step: Step) -> Tensor:
        """Column means of the projected coefficient rows."""
        return project_conflicting(step.gram, step.generator).mean(dim=0)
