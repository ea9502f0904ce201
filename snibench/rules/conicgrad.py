"""ConicGrad: the direction within an angle of the mean that helps the worst-off task most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, final

import numpy as np

from snibench.base.bounds import Bounds
from snibench.base.lazy import torch
from snibench.rules._gram import GramRule, Step
from snibench.rules._solvers import most_even_in_cone, unit_vectors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ConicGradSettings:
    """``c``: cosine of the cone's angle around the mean gradient, in (0, 1]; 1 is the mean rule."""

    c: Annotated[float, Bounds(above=0, most=1)] = 0.5


@final
class ConicGrad(GramRule):
    """The direction d with ``cos(d, g_0) >= c`` and the largest ``min_t <g_t, d>``, as long as the mean gradient g_0.

    Directions are compared at equal ``<g_0, d>``; of several that are best, the one closest to g_0 is taken.
    Unlike the source, which takes one gradient step a step on the mixture of tasks and inverts a rank-one matrix
    (Sherman-Morrison-Woodbury) for its direction, the problem is solved exactly in every step, so that nothing is
    remembered.

    Source:
        Hassanpour et al., Fantastic Multi-Task Gradient Updates and How to Find Them In a Cone (2025): the problem, its
        cone and the length. Its closed form was not legible to us and is not used.
    """

    Settings: ClassVar[type] = ConicGradSettings

    def weigh(self, step: Step) -> Tensor:
        """``|g_0| d / |d|`` with ``d = g_0 / |g_0| + u``, u orthogonal to g_0 and as short as the best one is."""
        directions, norms = unit_vectors(step.gram.numpy())
        # Dependent gradients span fewer dimensions; in the others there is rounding, which least squares would follow.
        directions = directions[np.linalg.norm(directions, axis=1) > 1e-7]
        count = len(norms)
        mean = np.full(count, 1 / count)
        length = float(np.linalg.norm(directions @ (norms * mean)))
        if self.settings.c == 1 or length <= 1e-9 * norms.max():
            return torch.from_numpy(mean)
        axis = directions @ (norms * mean) / length
        slope = float(np.sqrt(1 - self.settings.c**2) / self.settings.c)
        tilt = most_even_in_cone(directions, norms, axis, slope) / norms  # u = sum_t tilt_t (g_t - <g_t, axis> axis)
        along = norms * (axis @ directions)  # [T] <g_t, axis>
        weights = mean * (1 / length - tilt @ along / length) + tilt
        reached = float(np.linalg.norm(directions @ (weights * norms)))
        return torch.from_numpy(weights * (length / reached))
