"""CoBa: loss weights that let all tasks converge at one pace, and hold back one that diverges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, final

from snibench.base.bounds import Bounds, Positive
from snibench.base.errors import UsageError
from snibench.base.lazy import torch
from snibench.contracts import Needs, Rule
from snibench.rules._gram import finite_losses, positive, without_anchors

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients


@dataclass(frozen=True, slots=True)
class CoBaSettings:
    """``window``: losses and slopes that are looked back on. ``warmup``: visits of a task before it is weighed.

    ``tau``: sharpness of the divergence factor.
    """

    window: Annotated[int, Bounds(least=2)] = 20
    warmup: Annotated[int, Bounds(least=2)] = 3
    tau: Positive = 5.0

    def validate(self) -> None:
        """Raises UsageError if the warm-up is longer than the window."""
        if self.warmup > self.window:
            raise UsageError(f"warmup must be at most window = {self.window}, but got {self.warmup}.")


@final
class CoBa(Rule):
    """Softmax of ``K (DF * RCS + (1 - DF) * ACS)``, from the slopes of the tasks' losses, each relative to its first.

    The relative convergence score RCS is large for a task that converges more slowly than the others of the step, the
    absolute one ACS for a task whose slope is steeper down than it was; the divergence factor DF, at most 1, gives
    the word to ACS once the worst task's loss stops falling. A slope is that of the least-squares line through the
    last losses. Weights are equal while a task of the step has fewer than ``warmup`` losses. If one falls below
    1/(2K), all are averaged with equal ones.

    Unlike the source, whose losses are of a validation set, a loss is that of the step's instances before the update:
    in the first pass over a task's instances nothing was tuned on them, later it is a training loss. No instance that
    is evaluated or probed is seen. A window is a number of visits to the task, for the divergence factor of steps, and
    the worst task of a step is that among its K.

    Source:
        Gong et al., CoBa: Convergence Balancer for Multitask Finetuning of Large Language Models (EMNLP 2024), by a
        public copy of its code (codefuse-ai/MFTCoder), which was read in place of the paper's text.
    """

    Settings: ClassVar[type] = CoBaSettings
    needs = Needs.LOSSES

    def __init__(self, settings: CoBaSettings | None = None) -> None:
        super().__init__(settings)
        self._first: dict[str, float] = {}
        self._losses: dict[str, list[float]] = {}  # the last ones, relative to the first
        self._slopes: dict[str, list[float]] = {}
        self._worst: list[float] = []  # the largest relative loss of each step
        self._worst_slopes: list[float] = []

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``[K + R]``; takes this step's losses in first."""
        losses, tasks = positive(finite_losses(gradients)), gradients.tasks
        self._take_in(tasks, losses.tolist())
        count = len(tasks)
        if not all(self._slopes.get(task) for task in tasks):
            return without_anchors(torch.full((count,), 1 / count, dtype=torch.float64), gradients)
        slopes = torch.tensor([self._slopes[task][-1] for task in tasks], dtype=torch.float64)
        relative = (count * _shares(slopes, slopes)).softmax(0)
        absolute = -torch.stack([_last_share(self._slopes[task]) for task in tasks])
        factor = self._divergence_factor()
        weights = (count * (factor * relative + (1 - factor) * absolute.softmax(0))).softmax(0)
        if weights.min() < 1 / (2 * count):
            weights = (weights + 1 / count) / 2
        return without_anchors(weights, gradients)

    def _take_in(self, tasks: Sequence[str], losses: Sequence[float]) -> None:
        for task, loss in zip(tasks, losses, strict=True):
            loss /= self._first.setdefault(task, loss)
            self._add(loss, self._losses.setdefault(task, []), self._slopes.setdefault(task, []))
        self._add(max(self._losses[task][-1] for task in tasks), self._worst, self._worst_slopes)

    def _add(self, loss: float, losses: list[float], slopes: list[float]) -> None:
        """Append a loss and, after the warmup, the slope of the last ones; forget what is beyond the window."""
        losses.append(loss)
        del losses[: -self.settings.window]
        if len(losses) >= self.settings.warmup:
            slopes.append(_slope(losses))
            del slopes[: -self.settings.window]

    def _divergence_factor(self) -> float:
        history = torch.tensor(self._worst_slopes, dtype=torch.float64)
        falling = -len(history) * _shares(history, history)
        return min(1.0, len(history) * float((self.settings.tau * falling).softmax(0)[-1]))

    def state(self) -> Mapping[str, Any]:
        """Losses and slopes by task name, and those of the worst task by step."""
        return {
            "first": dict(self._first),
            "losses": {task: list(losses) for task, losses in self._losses.items()},
            "slopes": {task: list(slopes) for task, slopes in self._slopes.items()},
            "worst": list(self._worst),
            "worst_slopes": list(self._worst_slopes),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self._first = dict(state["first"])
        self._losses = {task: list(losses) for task, losses in state["losses"].items()}
        self._slopes = {task: list(slopes) for task, slopes in state["slopes"].items()}
        self._worst = list(state["worst"])
        self._worst_slopes = list(state["worst_slopes"])


def _slope(values: Sequence[float]) -> float:
    """Slope of the least-squares line through ``values``, two or more, at 0, 1, 2, ..."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    return sum((place - middle) * (value - mean) for place, value in enumerate(values)) / sum(
        (place - middle) ** 2 for place in range(len(values))
    )


def _shares(values: Tensor, among: Tensor) -> Tensor:
    """``values`` in units of the summed size of ``among``; 0 where that vanishes."""
    size = among.abs().sum()
    return values / size if size > 0 else torch.zeros_like(values)


def _last_share(history: Sequence[float]) -> Tensor:
    """The last of a task's slopes in units of their mean size."""
    slopes = torch.tensor(history, dtype=torch.float64)
    return len(slopes) * _shares(slopes[-1], slopes)
