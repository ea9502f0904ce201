"""PiKE: tasks with large and little noisy gradients are drawn more often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from snibench.base.bounds import Weight
from snibench.contracts import Draw, Needs, Sampler
from snibench.samplers.systematic import capped, systematic

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PikeSettings:
    """``signal``, ``noise``: zeta_1 and zeta_2, how far a task's squared gradient norm and its variance move it."""

    signal: Weight = 0.1
    noise: Weight = 1.0


class Pike(Sampler):
    """A task's share is multiplied by ``exp(signal |g|^2 - noise s^2 / (2b))`` at each visit; none twice in a step.

    g is the task's gradient and s^2 the variance of one instance's, estimated from the gradients of two halves of the
    task's instances in the step: ``|g|^2`` by their inner product, which noise does not inflate; b = K m instances.
    Unlike the source, both are in units of the step's mean squared norm, so that the coefficients, which are ours,
    serve models of any size; shares are moved in every step, of the tasks in it alone, whose sum of shares stays; and a
    share is a probability to be in a step with m instances, not a number of instances.

    Source:
        Li et al., PiKE: Adaptive Data Mixing for Large-Scale Multi-Task Learning Under Low Gradient Conflicts (NeurIPS
        2025), Algorithm 1.
    """

    Settings: ClassVar[type] = PikeSettings
    needs = Needs.HALVES

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._shares: dict[str, float] = {}  # 1 at first

    def draw(self, step: Draw) -> Sequence[str]:
        """Tasks by their shares."""
        names = list(step.sizes)
        shares = np.array([self._shares.get(name, 1.0) for name in names])
        return [names[index] for index in systematic(capped(shares, step.count), step.rng)]

    def observe(self, tasks: Sequence[str], losses: Tensor, gram: Tensor | None) -> None:
        """Move the shares of the step's tasks; ``gram [2K, 2K]`` is that of their halves' gradients."""
        if gram is None:
            raise ValueError("PiKE was given no gradients of halves.")
        squares, variances = _estimates(gram.numpy())
        unit = (squares + variances).mean()  # of the tasks' gradients, noise included
        if not np.isfinite(unit) or unit <= 0:
            return
        moved = (self.settings.signal * squares - self.settings.noise * variances / (2 * len(tasks))) / unit
        before = np.array([self._shares.get(task, 1.0) for task in tasks])
        after = before * np.exp(moved)
        self._shares |= dict(zip(tasks, (after * before.sum() / after.sum()).tolist(), strict=True))

    def state(self) -> Mapping[str, Any]:
        """``{"shares": {task: share}}``, of those that were moved."""
        return {"shares": dict(self._shares)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the shares."""
        self._shares = dict(state["shares"])


def _estimates(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``[K]`` squared norms of the tasks' gradients without noise, and variances of their means over m instances."""
    first, second = np.arange(0, len(gram), 2), np.arange(1, len(gram), 2)
    across = gram[first, second]
    apart = gram[first, first] + gram[second, second] - 2 * across  # |h - h'|^2 = 2 s^2 / (m / 2)
    return across, apart / 4
