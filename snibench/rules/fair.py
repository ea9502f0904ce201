"""Rules from bargaining and fair allocation: every task's gain is balanced against its weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from snibench.base.bounds import Positive
from snibench.base.lazy import torch
from snibench.rules._gram import GramRule, Step
from snibench.rules._solvers import power_balance

if TYPE_CHECKING:
    from torch import Tensor

RIDGE = 1e-10  # on the cosines: keeps the bargain finite where gradients are linearly dependent


@dataclass(frozen=True, slots=True)
class FairGradSettings:
    """``alpha``: how much the worst-off counts, above 0; 1 is proportional fairness, which is Nash-MTL."""

    alpha: Positive = 2.0


@final
class NashMTL(GramRule):
    """The Nash bargaining solution: weights with ``M w = 1 / w``.

    The update has norm ``sqrt(T)`` at any size of the gradients. Unlike the source, it is solved to rounding in
    every step, and not clipped: the authors' clipping to norm 1 would always bind.

    Source:
        Navon et al., Multi-Task Learning as a Bargaining Game (ICML 2022), Algorithm 1.
    """

    clipped: ClassVar[bool] = False

    def weigh(self, step: Step) -> Tensor:
        """The positive solution of ``M w = 1 / w``."""
        return torch.from_numpy(_fair_weights(step.gram.numpy(), 1.0))


@final
class FairGrad(GramRule):
    """The alpha-fair update: weights with ``M w = w^(-1/alpha)``.

    Source:
        Ban and Ji, Fair Resource Allocation in Multi-Task Learning (ICML 2024), equation 4 and Algorithm 1.
    """

    Settings: ClassVar[type] = FairGradSettings

    def weigh(self, step: Step) -> Tensor:
        """The positive solution of ``M w = w^(-1/alpha)``."""
        return torch.from_numpy(_fair_weights(step.gram.numpy(), 1 / self.settings.alpha))


def _fair_weights(gram: np.ndarray[tuple[int, ...], np.dtype[np.float64]], power: float) -> np.ndarray:
    """``[T]`` positive w with ``gram @ w = w**-power``, solved for w times norm on the matrix of cosines."""
    norms = np.sqrt(gram.diagonal())
    cosines = gram / norms / norms[:, None]
    return power_balance(cosines + RIDGE * np.eye(len(norms)), norms ** (power - 1), power) / norms
