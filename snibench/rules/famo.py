"""FAMO: loss weights that follow how fast each task has just improved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from snibench.base.bounds import Positive, Weight
from snibench.contracts import Needs, Rule
from snibench.rules._gram import finite_losses, positive, without_anchors
from snibench.rules._task_adam import TaskAdam

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients


@dataclass(frozen=True, slots=True)
class FAMOSettings:
    """Adam on the logits: its ``learning_rate``, and its ``weight_decay`` towards equal weights."""

    learning_rate: Positive = 0.025
    weight_decay: Weight = 1e-3


@final
class FAMO(Rule):
    """Weights ``z / L`` scaled to sum 1, z the softmax of learned logits; a task that improved less gains.

    No per-task gradients: the losses before and after the step are enough. Logits are kept by task name and the
    softmax is over the step's tasks.

    Source:
        Liu et al., FAMO: Fast Adaptive Multitask Optimization (NeurIPS 2023), Algorithm 1.
    """

    Settings: ClassVar[type] = FAMOSettings
    needs = Needs.LOSSES | Needs.LOSSES_AFTER

    def __init__(self, settings: FAMOSettings | None = None) -> None:
        super().__init__(settings)
        self._logits = TaskAdam(0.0, self.settings.learning_rate, self.settings.weight_decay)
        self._before: Tensor | None = None  # [K] log losses of the step under way

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``(z / L) / sum(z / L)``."""
        losses = positive(finite_losses(gradients))
        self._before = losses.log()
        shares = self._logits.values(gradients.tasks).softmax(dim=0) / losses
        return without_anchors(shares / shares.sum(), gradients)

    def observe(self, tasks: Sequence[str], losses: Tensor) -> None:
        """Move the logits against how much each task's log-loss fell."""
        if self._before is None:
            raise RuntimeError("observe was called before weights.")
        fall = self._before - positive(losses.detach().to(self._before)).log()
        z = self._logits.values(tasks).softmax(dim=0)
        self._logits.step(tasks, z * (fall - z @ fall))  # the softmax's Jacobian, transposed
        self._before = None

    def state(self) -> Mapping[str, Any]:
        """``{"logits": ...}`` by task name."""
        return {"logits": self._logits.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the logits."""
        self._logits.restore(state["logits"])
