"""CAGrad: the update near the mean that helps the worst-off task most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from snibench.base.bounds import Weight
from snibench.base.lazy import torch
from snibench.rules._gram import GramRule, Step
from snibench.rules._solvers import unit_vectors, weakest_in_ball

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class CAGradSettings:
    """``c``: radius around the mean gradient within which to look, in units of its norm; 0 is the mean rule."""

    c: Weight = 0.4


@final
class CAGrad(GramRule):
    """The update d within ``c ||g_0||`` of the mean gradient g_0 with the largest ``min_t <g_t, d>``.

    At a Pareto-stationary point, where a convex combination of the gradients vanishes, d is 0. Unlike the
    authors' code, d is not rescaled by ``T / (1 + c^2)``.

    Source:
        Liu et al., Conflict-Averse Gradient Descent (NeurIPS 2021), Algorithm 1.
    """

    Settings: ClassVar[type] = CAGradSettings

    def weigh(self, step: Step) -> Tensor:
        """``u + c ||g_0|| / ||g_x|| x`` with x the hardest mixture of tasks within the ball."""
        directions, norms = unit_vectors(step.gram.numpy())
        vectors = directions * norms
        mean = np.full(len(norms), 1 / len(norms))
        radius = self.settings.c * float(np.linalg.norm(vectors @ mean))
        if radius == 0:
            return torch.from_numpy(mean)
        hardest, norm = weakest_in_ball(vectors, mean, radius)
        if norm == 0:
            return torch.zeros(len(norms), dtype=torch.float64)
        return torch.from_numpy(mean + radius / norm * hardest)
