"""A sampler: one class with ``draw``; ``observe``, ``state`` and ``restore`` if it remembers anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from snibench.api import Draw, Sampler

if TYPE_CHECKING:
    from torch import Tensor


class Hardest(Sampler):
    """The tasks whose loss was highest when they were last drawn, new ones first."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._last: dict[str, float] = {}

    def draw(self, step: Draw) -> Sequence[str]:
        """``step.count`` tasks; ties fall by ``step.rng``, the only randomness there may be."""
        names = step.rng.permutation(list(step.sizes)).tolist()
        return sorted(names, key=lambda name: -self._last.get(name, float("inf")))[: step.count]

    def observe(self, tasks: Sequence[str], losses: Tensor, gram: Tensor | None) -> None:
        """Remember the step's losses."""
        self._last |= dict(zip(tasks, losses.tolist(), strict=True))

    def state(self) -> Mapping[str, Any]:
        """State that a resumed run restores, as JSON."""
        return {"last": self._last}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self._last = dict(state["last"])
