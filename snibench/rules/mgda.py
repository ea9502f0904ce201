"""MGDA: the shortest convex combination of the task gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from snibench.base.lazy import torch
from snibench.rules._gram import GramRule, Step
from snibench.rules._solvers import closest_to_origin, unit_vectors

if TYPE_CHECKING:
    from torch import Tensor


@final
class MGDA(GramRule):
    """The point of the gradients' convex hull that is closest to the origin.

    It opposes no task. Unlike the source's Frank-Wolfe iterations, the solution is exact.

    Source:
        Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization (NeurIPS 2018), equation 3; after
        Désidéri, Multiple-Gradient Descent Algorithm (2012).
    """

    def weigh(self, step: Step) -> Tensor:
        """Weights on the simplex."""
        directions, norms = unit_vectors(step.gram.numpy())
        return torch.from_numpy(closest_to_origin(directions * norms))
