"""Which tasks and which of their instances every step draws, the same for every method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from snibench.base.hashing import derive_seed
from snibench.base.types import Mixture, Recipe

Drawn = Sequence[tuple[str, tuple[int, ...]]]  # K tasks, each with the indices of its m instances
Schedule = list[list[tuple[str, tuple[int, ...]]]]  # per step: what is drawn


def plan_steps(mixture: Mixture, sizes: Mapping[str, int], recipe: Recipe, seed: int) -> Schedule:
    """Which instances every step draws, the same for every method.

    With equal weights tasks are dealt from a shuffled deck, so that all are visited equally often; with weights,
    each task is in a step with a probability in proportion to its weight. A step then has fewer than K tasks where
    no task may be in every step oftener than once. A task's instances are dealt from a deck of its own.
    """
    rng = np.random.default_rng(derive_seed("batches", seed))
    names = list(mixture.tasks)
    count = min(recipe.tasks_per_step, len(names))
    weights = np.array(mixture.weights) / sum(mixture.weights) if mixture.weights else None
    if weights is not None:
        count = max(1, min(count, math.floor(1 / weights.max() + 1e-9)))
    decks: dict[str, list[int]] = {name: [] for name in names}
    pile: list[str] = []
    steps: Schedule = []
    for _ in range(recipe.steps):
        if weights is None:
            tasks, pile = _deal(pile, names, count, rng)
        else:
            tasks = [names[index] for index in _by_weight(weights, count, rng)]
        step = []
        for task in tasks:
            drawn: list[int] = []
            while len(drawn) < recipe.instances_per_task:
                decks[task] = decks[task] or rng.permutation(sizes[task]).tolist()
                drawn.append(decks[task].pop())
            step.append((task, tuple(drawn)))
        steps.append(step)
    return steps


def _deal(pile: list[str], names: Sequence[str], count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """``count`` different names off the pile, and the pile that is left; a new shuffle goes under an empty one."""
    hand: list[str] = []
    while len(hand) < count:
        if not pile:
            fresh = [names[index] for index in rng.permutation(len(names))]
            # Those already in the hand go to the bottom: no task twice in one step.
            pile = [name for name in fresh if name in hand] + [name for name in fresh if name not in hand]
        hand.append(pile.pop())
    return hand, pile


def _by_weight(weights: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """``count`` different numbers of tasks, task i with probability ``count * weights[i]``, which is at most 1.

    Systematic sampling, tasks of equal weight in shuffled order: drawing without replacement would flatten the
    weights, and of each group of equal tasks a step has its share, rounded up or down.

    Source:
        Madow, On the theory of systematic sampling, II (1949).
    """
    order = rng.permutation(len(weights))
    order = order[np.argsort(weights[order], kind="stable")]
    ends = np.cumsum(weights[order]) * count
    places = np.searchsorted(ends, rng.random() + np.arange(count), side="right")
    return [int(order[min(place, len(order) - 1)]) for place in places]
