"""The order that all methods share: tasks dealt from a shuffled deck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snibench.contracts import Draw, Sampler


class Deck(Sampler):
    """All tasks are dealt before one comes again, so that all are visited equally often, whatever their size."""

    own_order = False

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._pile: list[str] = []

    def draw(self, step: Draw) -> Sequence[str]:
        """``count`` different tasks off the pile; a new shuffle goes under an empty one."""
        names = list(step.sizes)
        hand: list[str] = []
        while len(hand) < step.count:
            if not self._pile:
                fresh = [names[index] for index in step.rng.permutation(len(names))]
                # Those already in the hand go to the bottom: no task twice in one step.
                held = [name for name in fresh if name in hand]
                self._pile = held + [name for name in fresh if name not in hand]
            hand.append(self._pile.pop())
        return hand

    def state(self) -> Mapping[str, Any]:
        """``{"pile": [...]}``: tasks still to be dealt, the next one last."""
        return {"pile": list(self._pile)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the pile."""
        self._pile = list(state["pile"])
