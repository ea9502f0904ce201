"""Adam for rules that learn one number per task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from snibench.base.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class TaskAdam:
    """One number per task, kept by name and moved by Adam (0.9, 0.999).

    Unlike one Adam over a stacked vector, a task that is absent from a step stays as it is, moments and bias
    correction included.

    Source:
        Kingma and Ba, Adam (ICLR 2015), Algorithm 1; the decay is added to the gradient, as torch.optim.Adam does.
    """

    def __init__(self, start: float, learning_rate: float, weight_decay: float = 0.0) -> None:
        self._start = start
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay
        self._rows: dict[str, tuple[float, float, float, int]] = {}  # value, first and second moment, steps

    def values(self, tasks: Sequence[str]) -> Tensor:
        """``[K]`` float64, the start value for tasks that were never moved."""
        return torch.tensor([self._rows[t][0] if t in self._rows else self._start for t in tasks], dtype=torch.float64)

    def step(self, tasks: Sequence[str], gradient: Tensor) -> None:
        """Move the numbers of ``tasks`` against their ``[K]`` gradient."""
        for task, slope in zip(tasks, gradient.tolist(), strict=True):
            value, first, second, steps = self._rows.get(task, (self._start, 0.0, 0.0, 0))
            slope += self._weight_decay * value
            steps += 1
            first = 0.9 * first + 0.1 * slope
            second = 0.999 * second + 0.001 * slope * slope
            width = math.sqrt(second / (1 - 0.999**steps)) + 1e-8
            value -= self._learning_rate * first / (1 - 0.9**steps) / width
            self._rows[task] = (value, first, second, steps)

    def assign(self, tasks: Sequence[str], values: Tensor) -> None:
        """Overwrite the numbers of ``tasks``, which have been moved before; their moments stay."""
        for task, value in zip(tasks, values.tolist(), strict=True):
            self._rows[task] = (value, *self._rows[task][1:])

    def state(self) -> dict[str, list[float]]:
        """Everything by task name, as JSON."""
        return {task: list(row) for task, row in self._rows.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self._rows = {task: (value, first, second, int(n)) for task, (value, first, second, n) in state.items()}
