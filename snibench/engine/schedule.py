"""The learning rate of every step, the same for all methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from snibench.base.types import Recipe

# Share of the highest rate, by the share of the steps after the warm-up that are still to come, in (0, 1].
_SHAPES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda left: 1.0,
    "averaged": lambda left: 1.0,  # the parameters are averaged, not the rate (`averaging.py`)
    "linear": lambda left: left,
    "cosine": lambda left: (1 - math.cos(math.pi * left)) / 2,
}


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of one step, counted from 0.

    It rises linearly over the first ``warmup`` share of the steps, and then follows ``schedule``: constant
    (``averaged``, too), or down to zero, which it would reach one step after the last, so that no step is wasted.
    """
    warm = max(1, math.ceil(recipe.warmup * recipe.steps))
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    left = (recipe.steps - step) / (recipe.steps - warm + 1)
    return recipe.learning_rate * _SHAPES[recipe.schedule](left)
