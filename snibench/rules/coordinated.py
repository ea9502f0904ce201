"""PCGrad's projection with weights that fall with how much a task's gradient norm varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from snibench.base.lazy import torch
from snibench.contracts import Needs
from snibench.rules._gram import GramRule, Step, project_conflicting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class CoordinatedSettings:
    """``projection``: PCGrad. ``dynamic_weights``: less weight for tasks with unsteady gradients."""

    projection: bool = True
    dynamic_weights: bool = True


class Coordinated(GramRule):
    """PCGrad's projection, and weights that fall with how much a task's gradient norm varies between its visits.

    ``v_t`` is an exponential mean (0.9) of ``|n - n'| / (n + n')`` in [0, 1], n the norm now and n' at the task's last
    visit; ``w_t = 1 / (1 + v_t)``, scaled to mean 1 over the step, so that weights differ by a factor of 2 at most.
    The rule of ``ours``, for any method.
    """

    Settings: ClassVar[type] = CoordinatedSettings
    needs = Needs.GRAM | Needs.GENERATOR
    decay = 0.9

    def __init__(self, settings: CoordinatedSettings | None = None) -> None:
        super().__init__(settings)
        self._norm: dict[str, float] = {}
        self._variation: dict[str, float] = {}

    def weigh(self, step: Step) -> Tensor:
        """``[T]``: ``(1/T) sum_t w_t g_t'``."""
        rows = torch.eye(len(step.tasks), dtype=step.gram.dtype)
        if self.settings.projection:
            rows = project_conflicting(step.gram, step.generator, self._kappa(step.tasks))
        if self.settings.dynamic_weights:
            rows = self._visit(step.tasks, step.gram.diagonal().sqrt())[:, None] * rows
        return rows.mean(0)

    def _kappa(self, tasks: Sequence[str]) -> Tensor | None:
        """``[K, K]``: which share of a conflict is projected away; None: all of it."""
        return None

    def _visit(self, tasks: Sequence[str], norms: Tensor) -> Tensor:
        """``[K]`` weights with mean 1, after this step's norms are taken in."""
        for task, norm in zip(tasks, norms.tolist(), strict=True):
            if task in self._norm:
                total = norm + self._norm[task]
                change = abs(norm - self._norm[task]) / total if total > 0 else 0.0
                before = self._variation.get(task, change)
                self._variation[task] = self.decay * before + (1 - self.decay) * change
            self._norm[task] = norm
        raw = {task: 1 / (1 + self._variation[task]) for task in tasks if task in self._variation}
        usual = sum(raw.values()) / len(raw) if raw else 1.0
        weights = torch.tensor([raw.get(task, usual) for task in tasks], dtype=torch.float64)
        return weights / weights.mean()

    def state(self) -> Mapping[str, Any]:
        """Norms and variations by task."""
        return {"norm": self._norm, "variation": self._variation}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self._norm, self._variation = dict(state["norm"]), dict(state["variation"])
