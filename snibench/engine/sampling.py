"""Draws of every step: its tasks, and which of their instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from snibench.base.errors import PluginError, UsageError
from snibench.base.hashing import derive_seed
from snibench.base.types import Mixture, Recipe
from snibench.contracts import Draw, Sampler
from snibench.samplers.deck import Deck
from snibench.samplers.systematic import Weighted

Drawn = Sequence[tuple[str, tuple[int, ...]]]  # K tasks, each with the indices of its m instances
Schedule = list[Drawn]  # per step: what is drawn


class Draws:
    """The draws of one tuning, step by step: tasks by the sampler, their instances from a shuffled deck for each task.

    Where a protocol gives the tasks weights, these decide instead of the order that all methods share.

    Raises:
        UsageError: If a sampler with an order of its own meets such weights.
    """

    def __init__(self, mixture: Mixture, sizes: Mapping[str, int], recipe: Recipe, seed: int, sampler: Sampler) -> None:
        if mixture.weights and sampler.own_order:
            raise UsageError(
                f"This protocol gives the tasks weights, and {type(sampler).__name__} an order of its own. Leave the "
                "sampler out, or run this method without the protocol."
            )
        self.sampler = Weighted(mixture.weights) if mixture.weights else sampler
        self._sizes = {name: sizes[name] for name in mixture.tasks}
        self._recipe = recipe
        self._count = min(recipe.tasks_per_step, len(self._sizes))
        self._rng = np.random.default_rng(derive_seed("batches", seed))
        self._decks: dict[str, list[int]] = {name: [] for name in self._sizes}

    def draw(self, step: int) -> Drawn:
        """Draw of step number ``step``; steps are drawn one after another.

        Raises:
            PluginError: If the sampler draws what is no task, one twice, none, or too many.
        """
        tasks = list(self.sampler.draw(Draw(step, self._recipe.steps, self._sizes, self._count, self._rng)))
        self._check(tasks)
        return [(task, self._instances(task)) for task in tasks]

    def _instances(self, task: str) -> tuple[int, ...]:
        drawn: list[int] = []
        while len(drawn) < self._recipe.instances_per_task:
            self._decks[task] = self._decks[task] or self._rng.permutation(self._sizes[task]).tolist()
            drawn.append(self._decks[task].pop())
        return tuple(drawn)

    def _check(self, tasks: Sequence[str]) -> None:
        name = type(self.sampler).__name__
        if strange := [task for task in tasks if task not in self._sizes]:
            raise PluginError(f"{name}.draw names '{strange[0]}', which is no task of this fit.")
        if not 1 <= len(set(tasks)) == len(tasks) <= self._count:
            raise PluginError(f"{name}.draw must give 1 to {self._count} different tasks, but gave {tasks}.")

    def state(self) -> dict[str, Any]:
        """State that a resumed run restores, as JSON."""
        decks = {task: deck for task, deck in self._decks.items() if deck}
        return {"generator": self._rng.bit_generator.state, "decks": decks, "sampler": dict(self.sampler.state())}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self._rng.bit_generator.state = state["generator"]
        self._decks = {task: list(state["decks"].get(task, ())) for task in self._sizes}
        self.sampler.restore(state["sampler"])


def plan_steps(
    mixture: Mixture, sizes: Mapping[str, int], recipe: Recipe, seed: int, sampler: Sampler | None = None
) -> Schedule:
    """All draws of a run whose sampler does not look at losses."""
    draws = Draws(mixture, sizes, recipe, seed, sampler or Deck())
    return [draws.draw(step) for step in range(recipe.steps)]
