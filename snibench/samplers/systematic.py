"""Drawing tasks with unequal probabilities, none twice in a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from snibench.contracts import Draw, Sampler


def systematic(expected: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Different numbers of tasks, task i with probability ``expected[i]``, at most 1; their sum is how many there are.

    Systematic sampling, tasks of equal probability in shuffled order: drawing without replacement would flatten the
    shares, and of each group of equal tasks a step has its share, rounded up or down.

    Source:
        Madow, On the theory of systematic sampling, II (1949).
    """
    count = round(float(expected.sum()))
    order = rng.permutation(len(expected))
    order = order[np.argsort(expected[order], kind="stable")]
    ends = np.cumsum(expected[order])
    places = np.searchsorted(ends, rng.random() + np.arange(count), side="right")
    return [int(order[min(place, len(order) - 1)]) for place in places]


def capped(shares: np.ndarray, count: int) -> np.ndarray:
    """``[N]`` probabilities that add up to ``count``, in proportion to ``shares``, but none above 1.

    A task whose share asks for more than every step is in every step, and the others divide the rest.
    """
    expected = np.zeros(len(shares))
    sure = np.zeros(len(shares), dtype=bool)
    while True:
        left = count - sure.sum()
        expected[sure] = 1.0
        rest = shares * ~sure
        if left <= 0 or not rest.any():
            return expected
        expected[~sure] = (left * rest / rest.sum())[~sure]
        over = ~sure & (expected > 1)
        if not over.any():
            return expected
        sure |= over


class Weighted(Sampler):
    """Tasks by the weights that a protocol gives them: each is in a step with a probability in proportion.

    A step has fewer tasks than asked for where no task may be in every step more than once.
    """

    own_order = False

    def __init__(self, weights: Sequence[float], settings: Any = None) -> None:
        super().__init__(settings)
        self._weights = np.array(weights) / sum(weights)

    def draw(self, step: Draw) -> Sequence[str]:
        """Tasks of this step."""
        count = max(1, min(step.count, math.floor(1 / self._weights.max() + 1e-9)))
        names = list(step.sizes)
        return [names[index] for index in systematic(self._weights * count, step.rng)]
