"""SAM-GS: gradients of unlike size are brought to one size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, final

from snibench.base.bounds import Bounds, Share
from snibench.base.lazy import torch
from snibench.rules._gram import GramRule, Step

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class SAMGSSettings:
    """``gamma``: norms less similar than this, in [0, 1], are equalised. ``beta``: memory of the norms' mean."""

    gamma: Share = 0.9
    beta: Annotated[float, Bounds(least=0, below=1)] = 0.9


@final
class SAMGS(GramRule):
    """The mean of task gradients, brought to their mean norm where two norms are unlike.

    The similarity of two tasks is ``2 n_t n_u / (n_t^2 + n_u^2)``. If that of one pair is below ``gamma``, every
    gradient is brought to the mean norm (equalisation). Else the weights follow the moving average of each task's norm
    (modulation).

    Unlike the source, which multiplies each coordinate of a task's gradient by the absolute value of its own moving
    average and so keeps T x P numbers, modulation is by the average of the norm, and its weights have the mean 1/T, so
    that the length of the update stays that of the mean; without its second moment, a common factor. An average stays
    as it is while its task is absent. The mean stands in place of the sum.

    Source:
        Borsani et al., Gradient Similarity Surgery in Multi-Task Deep Learning (2025), and ThomBors/samgs, of whose two
        versions this has the limit and the settings of ``experiments/mtrl_methods/samgs.py``.
    """

    Settings: ClassVar[type] = SAMGSSettings

    def __init__(self, settings: SAMGSSettings | None = None) -> None:
        super().__init__(settings)
        self._moments: dict[str, tuple[float, int]] = {}  # moving average of the norm, from 0, and its visits

    def weigh(self, step: Step) -> Tensor:
        """``mean(n) / (T n_t)`` where norms are unlike, else ``m_t / sum(m)``."""
        norms = step.gram.diagonal().sqrt()
        moments = self._moved(step.tasks, norms)
        ratios = norms[:, None] / norms
        similarity = 2 / (ratios + 1 / ratios)  # [T, T]
        if (similarity < self.settings.gamma).any():
            return norms.mean() / (len(norms) * norms)
        return moments / moments.sum()

    def _moved(self, tasks: tuple[str, ...], norms: Tensor) -> Tensor:
        """``[T]`` averages of the norms, corrected for their start at 0; takes ``norms`` in."""
        beta = self.settings.beta
        corrected = []
        for task, norm in zip(tasks, norms.tolist(), strict=True):
            average, visits = self._moments.get(task, (0.0, 0))
            average, visits = beta * average + (1 - beta) * norm, visits + 1
            self._moments[task] = (average, visits)
            corrected.append(average / (1 - beta**visits))
        return torch.tensor(corrected, dtype=torch.float64)

    def state(self) -> Mapping[str, Any]:
        """``{"moments": {task: [average, visits]}}``."""
        return {"moments": {task: list(moment) for task, moment in self._moments.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the averages."""
        self._moments = {task: (average, int(visits)) for task, (average, visits) in state["moments"].items()}
