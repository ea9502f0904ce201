"""Ortho-LoRA: conflicts are projected away in every matrix by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from snibench.base.lazy import torch
from snibench.contracts import Needs, Rule
from snibench.rules._gram import finite_grams, project_conflicting

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients


@final
class OrthoLoRA(Rule):
    """PCGrad in every trainable tensor by itself: in LoRA, each A and each B.

    A conflict in one matrix is seen even where all parameters together have none, and the other way round. Every
    tensor has random orders of its own. Tasks whose gradient of a tensor is zero are left out there. Unlike the
    source, the projected gradients are averaged, not summed.

    Source:
        Yang et al., Disentangling Task Conflicts in Multi-Task LoRA via Orthogonal Gradient Projection (2026).
    """

    needs = Needs.TENSORS | Needs.GENERATOR

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``[Q, K + R]``: for each tensor, column means of the projected coefficient rows."""
        grams = finite_grams(gradients)  # [Q, K, K]
        live = grams.diagonal(dim1=1, dim2=2) > 0  # [Q, K]
        coefficients = project_conflicting(grams, gradients.generator) * live[:, :, None]
        weights = coefficients.sum(1) / live.sum(1, keepdim=True).clamp_min(1)
        return torch.cat([weights, weights.new_zeros(len(grams), gradients.anchors)], dim=1)
