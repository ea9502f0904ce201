"""IMTL-G: the update with the same projection on every task's direction."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from snibench.rules._gram import GramRule, Step


@final
class IMTLG(GramRule):
    """Weights with sum 1 that give the update one and the same component along every task gradient.

    Weights may be negative. Where the gradients allow no such update (their solution sums to zero), it is 0.

    Source:
        Liu et al., Towards Impartial Multi-task Learning (ICLR 2021), section 3 (IMTL-G), written with the Gram matrix.
    """

    def weigh(self, step: Step) -> Tensor:
        """``M^+ n`` scaled to sum 1, with n the gradient norms."""
        gram = step.gram / step.gram.trace()
        weights = torch.linalg.pinv(gram, hermitian=True) @ gram.diagonal().sqrt()
        total = weights.sum()
        return weights / total if total.abs() > 1e-12 * weights.abs().sum() else torch.zeros_like(weights)
