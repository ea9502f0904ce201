"""IMTL-G: the update with the same projection on every task's direction."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from snibench.base.lazy import torch
from snibench.rules._gram import GramRule, Step

if TYPE_CHECKING:
    from torch import Tensor

# Of eigenvalues, and of what is left where no solution exists: rounding of gradients in float32 is far below it.
_NONE, _SOLVED = 1e-10, 1e-6


@final
class IMTLG(GramRule):
    """Weights with sum 1 that give the update one and the same component along every task gradient.

    Weights may be negative. With C the gradients' cosines and n their norms they are ``C^-1 1 / n``, scaled to sum 1.
    For dependent gradients ``C^+`` takes the place of ``C^-1``: the limit of independent ones. Where ``C w = 1`` has no
    solution, or one that sums to zero, only an update of 0 has the same component along all, and it is 0: so for two
    gradients that point opposite ways, such as (2, 0) and (-1, 0).

    Source:
        Liu et al., Towards Impartial Multi-task Learning (ICLR 2021), section 3 (IMTL-G), written with the Gram matrix.
    """

    def weigh(self, step: Step) -> Tensor:
        """``C^+ 1 / n`` scaled to sum 1, or zeros."""
        norms = step.gram.diagonal().sqrt()
        cosines = step.gram / norms / norms[:, None]
        ones = torch.ones_like(norms)
        lengths = torch.linalg.pinv(cosines, hermitian=True, rtol=_NONE) @ ones  # each weight times its gradient's norm
        weights = lengths / norms
        total = weights.sum()
        solved = (cosines @ lengths - ones).abs().max() < _SOLVED and total.abs() > 1e-12 * weights.abs().sum()
        return weights / total if solved else torch.zeros_like(weights)
