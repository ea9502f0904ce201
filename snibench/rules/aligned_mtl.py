"""Aligned-MTL: the mean after the gradients' principal axes were brought to one length."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from snibench.base.lazy import torch
from snibench.rules._gram import GramRule, Step

if TYPE_CHECKING:
    from torch import Tensor


@final
class AlignedMTL(GramRule):
    """``sqrt(lambda_r) M^(-1/2) u``: the mean of gradients whose principal components all have length sqrt(lambda_r).

    lambda_r is the smallest eigenvalue above ``1e-9`` of the largest; axes below it are dropped. Unlike the
    authors' code, the aligned gradients are averaged, not summed.

    Source:
        Senushkin et al., Independent Component Alignment for Multi-Task Learning (CVPR 2023), Algorithm 1.
    """

    def weigh(self, step: Step) -> Tensor:
        """The aligned mean's weights."""
        values, axes = torch.linalg.eigh(step.gram)  # ascending
        kept = values > 1e-9 * values[-1]
        values, axes = values[kept], axes[:, kept]
        weights: Tensor = axes @ ((values[0] / values).sqrt() * axes.mean(dim=0))
        return weights
