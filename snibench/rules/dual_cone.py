"""Rules that project on the dual cone: the updates that oppose no task."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from snibench.base.lazy import torch
from snibench.rules._gram import GramRule, Step
from snibench.rules._solvers import into_dual_cone, unit_vectors

if TYPE_CHECKING:
    from torch import Tensor


@final
class UPGrad(GramRule):
    """The mean of the task gradients, each projected on the dual cone of all of them.

    The update opposes no task. The projection is exact: no regularisation of the Gram matrix.

    Source:
        Quinton and Rey, Jacobian Descent for Multi-Objective Optimization (2024), the aggregator UPGrad.
    """

    def weigh(self, step: Step) -> Tensor:
        """Mean weights of the T projections."""
        directions, norms = unit_vectors(step.gram.numpy())
        projected = [into_dual_cone(directions, point) for point in np.diag(norms / len(norms))]
        return torch.from_numpy(np.sum(projected, axis=0) / norms)


@final
class DualProj(GramRule):
    """The mean of the task gradients, projected on the dual cone once.

    Source:
        Lopez-Paz and Ranzato, Gradient Episodic Memory (NeurIPS 2017), equation 11; as ``DualProj`` in Quinton and
        Rey (2024).
    """

    def weigh(self, step: Step) -> Tensor:
        """Weights of the projected mean."""
        directions, norms = unit_vectors(step.gram.numpy())
        return torch.from_numpy(into_dual_cone(directions, norms / len(norms)) / norms)
