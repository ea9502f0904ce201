"""Rank correlation of two measurements of tasks, with an interval that respects what tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from snibench.stats.arrays import Floats, check_level, rounded, unit_codes
from snibench.stats.estimates import Interval

FEWEST_UNITS = 5  # with fewer there is no interval


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Spearman's rho and Kendall's tau-b over ``n`` tasks of ``units`` sources; NaN where a side does not vary."""

    spearman: Interval
    kendall: Interval
    n: int
    units: int


def rank_correlation(
    x: Floats,
    y: Floats,
    *,
    rng: np.random.Generator,
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    draws: int = 2_000,
) -> RankCorrelation:
    """Rank correlation of ``x`` and ``y`` over tasks, with percentile bootstrap intervals over sources.

    Args:
        x: ``[T]``.
        y: ``[T]``, the same tasks.
        rng: Source of the resampling noise; nothing else is random.
        clusters: Source of each task; whole sources are resampled. None: each task is its own.
        level: Probability in (0, 1) that an interval should cover the true correlation.
        draws: B.

    Returns:
        Intervals are NaN with fewer than five units. Resamples in which a side does not vary are left out.

    Raises:
        ValueError: If the lengths differ or ``level`` is not inside (0, 1).
    """
    check_level(level)
    first, second = rounded(np.asarray(x, dtype=np.float64)), rounded(np.asarray(y, dtype=np.float64))
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"x has shape {first.shape} and y {second.shape}; both need one number for each task.")
    codes = unit_codes(clusters, len(first))
    units = int(codes.max(initial=-1)) + 1
    observed = _correlations(np.ones((1, len(first))), first, second)
    resampled: tuple[Floats, Floats] = (np.empty(0), np.empty(0))
    if units >= FEWEST_UNITS:
        weights = rng.multinomial(units, np.full(units, 1 / units), size=draws)[:, codes].astype(np.float64)  # [B, T]
        resampled = _correlations(weights, first, second)
    spearman, kendall = (
        _interval(float(value[0]), draw, level) for value, draw in zip(observed, resampled, strict=True)
    )
    return RankCorrelation(spearman, kendall, len(first), units)


def _interval(value: float, draws: Floats, level: float) -> Interval:
    known = draws[~np.isnan(draws)]
    ends = np.quantile(known, (0.5 - level / 2, 0.5 + level / 2)) if len(known) and value == value else (nan, nan)
    return Interval(value, float(ends[0]), float(ends[1]))


def _correlations(weights: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """``[B]`` Spearman and Kendall tau-b of resamples that hold task t ``weights[b, t]`` times."""
    orders = [np.sign(values[:, None] - values[None, :]) for values in (x, y)]  # [T, T]: 1 where the row is above
    with np.errstate(invalid="ignore", divide="ignore"):
        # Midranks but for a constant: tasks below, minus tasks above.
        ranks = [weights @ order.T for order in orders]  # [B, T]
        means = [(weights * rank).sum(1, keepdims=True) / weights.sum(1, keepdims=True) for rank in ranks]
        a, b = (rank - mean for rank, mean in zip(ranks, means, strict=True))
        spread = np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1))
        spearman = (weights * a * b).sum(1) / spread

        def pairs(matrix: Floats) -> Floats:
            return np.asarray(((weights @ matrix) * weights).sum(1))

        untied = np.sqrt(pairs(np.abs(orders[0])) * pairs(np.abs(orders[1])))
        kendall = pairs(orders[0] * orders[1]) / untied
    # Rounding leaves a little where nothing varies.
    flat = (spread < 1e-9) | (untied < 1e-9)
    return np.where(flat, nan, spearman), np.where(flat, nan, kendall)
