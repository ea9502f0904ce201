"""GradNorm: loss weights that bring the tasks' gradient norms in line with their training rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from snibench.base.bounds import Positive, Weight
from snibench.base.lazy import torch
from snibench.contracts import Needs
from snibench.rules._gram import GramRule, Step, positive
from snibench.rules._task_adam import TaskAdam

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class GradNormSettings:
    """``alpha``: how strongly tasks that train slowly are favoured. ``learning_rate`` of Adam on the weights."""

    alpha: Weight = 1.5
    learning_rate: Positive = 0.025


@final
class GradNorm(GramRule):
    """Weights ``w / T`` that are moved until every ``w n`` meets the mean of all times its relative loss to alpha.

    The relative loss is the task's loss over its first one, over the mean of these ratios. Weights start at 1 and
    are brought to mean 1 over the step's tasks after each move. Unlike the source, norms are taken over all shared
    parameters, not over the last shared layer, and a weight that a move takes below 0 is set to 0.

    Source:
        Chen et al., GradNorm (ICML 2018), equations 1 and 2, Algorithm 1.
    """

    Settings: ClassVar[type] = GradNormSettings
    needs = Needs.GRAM | Needs.LOSSES

    def __init__(self, settings: GradNormSettings | None = None) -> None:
        super().__init__(settings)
        self._weights = TaskAdam(1.0, self.settings.learning_rate)
        self._first: dict[str, float] = {}  # each task's first loss

    def weigh(self, step: Step) -> Tensor:
        """``w / T``; then moves w."""
        losses = positive(step.losses)
        firsts = [self._first.setdefault(task, loss) for task, loss in zip(step.tasks, losses.tolist(), strict=True)]
        progress = losses / torch.tensor(firsts, dtype=torch.float64)
        rates = progress / progress.mean()

        norms = step.gram.diagonal().sqrt()
        weights = self._weights.values(step.tasks)
        weights = weights / weights.mean()  # the step's tasks were normalised among others
        scaled = weights * norms
        self._weights.step(step.tasks, norms * (scaled - scaled.mean() * rates**self.settings.alpha).sign())
        moved = self._weights.values(step.tasks).clamp_min(0)
        self._weights.assign(step.tasks, moved / moved.mean())
        return weights / len(weights)

    def state(self) -> Mapping[str, Any]:
        """``{"weights": ..., "first": {task: loss}}`` by task name."""
        return {"weights": self._weights.state(), "first": dict(self._first)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the weights and the first losses."""
        self._weights.restore(state["weights"])
        self._first = dict(state["first"])
