"""Rules that look at losses only, or at nothing: they pay for no per-task gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from snibench.base.bounds import Count, Positive
from snibench.base.lazy import torch
from snibench.contracts import Needs, Rule
from snibench.rules._gram import finite_losses, positive, without_anchors
from snibench.rules._task_adam import TaskAdam

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients


@dataclass(frozen=True, slots=True)
class UncertaintySettings:
    """``learning_rate`` of Adam on the log-variances."""

    learning_rate: Positive = 0.025


@final
class Uncertainty(Rule):
    """Weights ``e^-s / K``, with s a learned log-variance per task, 0 at first.

    s minimises ``(e^-s L + s) / 2``, so it tends to log L. Unlike the source, where s is one more parameter of the
    model's optimizer, s has an Adam of its own, with the rate that FAMO and GradNorm use.

    Source:
        Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses (CVPR 2018), equation 7.
    """

    Settings: ClassVar[type] = UncertaintySettings
    needs = Needs.LOSSES

    def __init__(self, settings: UncertaintySettings | None = None) -> None:
        super().__init__(settings)
        self._log_variances = TaskAdam(0.0, self.settings.learning_rate)

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``e^-s / K``; then moves s."""
        losses = finite_losses(gradients)
        precisions = (-self._log_variances.values(gradients.tasks)).exp()
        self._log_variances.step(gradients.tasks, (1 - precisions * losses) / 2)
        return without_anchors(precisions / len(losses), gradients)

    def state(self) -> Mapping[str, Any]:
        """``{"log_variances": ...}`` by task name."""
        return {"log_variances": self._log_variances.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the log-variances."""
        self._log_variances.restore(state["log_variances"])


@dataclass(frozen=True, slots=True)
class DWASettings:
    """``window``: visits to a task over which its loss is averaged. ``temperature``: of the softmax."""

    window: Count = 5
    temperature: Positive = 2.0


@final
class DWA(Rule):
    """Softmax of how slowly each task's loss falls: its last window mean over the one before.

    Unlike the source, whose windows are epochs, a window is a number of visits to the task, because a step holds
    few of the tasks. Before two windows are full the ratio counts as 1. The weights sum to 1, not to K.

    Source:
        Liu et al., End-to-End Multi-Task Learning with Attention (CVPR 2019), equation 7.
    """

    Settings: ClassVar[type] = DWASettings
    needs = Needs.LOSSES

    def __init__(self, settings: DWASettings | None = None) -> None:
        super().__init__(settings)
        self._losses: dict[str, list[float]] = {}  # the last two windows, oldest first

    def weights(self, gradients: TaskGradients) -> Tensor:
        """Softmax of the ratios, from earlier steps; then takes this step's losses in."""
        losses = finite_losses(gradients)
        ratios = torch.tensor([self._ratio(task) for task in gradients.tasks], dtype=torch.float64)
        for task, loss in zip(gradients.tasks, losses.tolist(), strict=True):
            self._losses[task] = [*self._losses.get(task, []), loss][-2 * self.settings.window :]
        return without_anchors((ratios / self.settings.temperature).softmax(dim=0), gradients)

    def state(self) -> Mapping[str, Any]:
        """``{"losses": {task: last losses}}``."""
        return {"losses": {task: list(losses) for task, losses in self._losses.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the losses."""
        self._losses = {task: list(losses) for task, losses in state["losses"].items()}

    def _ratio(self, task: str) -> float:
        window, losses = self.settings.window, self._losses.get(task, [])
        if len(losses) < 2 * window or (earlier := sum(losses[:window])) == 0:
            return 1.0
        return sum(losses[window:]) / earlier


@final
class RandomWeights(Rule):
    """Softmax of independent standard normal numbers, new in every step.

    Source:
        Lin et al., Reasonable Effectiveness of Random Weighting (TMLR 2022), Algorithm 2 (RLW, normal).
    """

    needs = Needs.GENERATOR

    def weights(self, gradients: TaskGradients) -> Tensor:
        """Weights that sum to 1, from the step's generator."""
        noise = torch.randn(len(gradients.tasks), generator=gradients.generator, dtype=torch.float64)
        return without_anchors(noise.softmax(dim=0), gradients)


@final
class GeometricMean(Rule):
    """The gradient of the geometric mean of the losses: weights ``gm(L) / (K L)``.

    Source:
        Chennupati et al., MultiNet++ (CVPR Workshops 2019), the geometric loss strategy.
    """

    needs = Needs.LOSSES

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``gm(L) / (K L)``."""
        losses = positive(finite_losses(gradients))
        return without_anchors(losses.log().mean().exp() / (len(losses) * losses), gradients)
