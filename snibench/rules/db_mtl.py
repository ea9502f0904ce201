"""DB-MTL: balance the losses by their logarithms, and the gradients by their norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from snibench.contracts import Needs
from snibench.rules._gram import GramRule, Step, positive

if TYPE_CHECKING:
    from torch import Tensor


@final
class DBMTL(GramRule):
    """The mean of the log-losses' gradients, each brought to the norm of the largest.

    Unlike the source, gradients are not averaged over steps (its beta is 0): that would keep T x P numbers. The
    mean stands in place of the sum.

    Source:
        Lin et al., Dual-Balancing for Multi-Task Learning (2023), Algorithm 1.
    """

    needs = Needs.GRAM | Needs.LOSSES

    def weigh(self, step: Step) -> Tensor:
        """``max_u(n_u / L_u) / (T n_t)``."""
        norms = step.gram.diagonal().sqrt()
        return (norms / positive(step.losses)).max() / (len(norms) * norms)
