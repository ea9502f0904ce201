"""Estimates with their intervals, and the parts that a sampling variance is made of.

Training seeds are crossed with tasks: one fit yields the scores of all tasks, so a seed can shift them all at
once. An interval over tasks alone ignores that shift. Tasks are nested in source datasets; where ``clusters`` names a
source for every task, sources are the independent units.

Axes: S seeds, T tasks, C sources, n instances of a task.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf, isnan, nan, sqrt

import numpy as np
from scipy import special

from snibench.stats.arrays import Codes, Floats, check_level

FEWEST_UNITS = 3  # tasks, sources or instances: with fewer there is no interval
NO_NOISE = 1e-9  # a standard error below it is rounding
UNBOUNDED = (-inf, inf)
SHARE = (0.0, 1.0)  # where a mean score lies
DIFFERENCE = (-1.0, 1.0)  # where a difference of two mean scores lies


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its t interval, its standard error, and the parts of that.

    ``se_task`` is what more tasks (or sources) would reduce, ``se_seed`` what more seeds would reduce. Both hold the
    noise of single cells of seed and task, ``se_cell``, which therefore counts once only in ``se``: the three do not
    add up. In the scope of the suite ``se_task`` is that of instances. ``basis`` names the noise that is counted. Ends
    and ``df`` are NaN where the data cannot give an interval.
    """

    value: float
    low: float
    high: float
    se: float
    se_task: float
    se_seed: float
    se_cell: float
    df: float
    basis: str

    @property
    def p(self) -> float:
        """Two-sided p of the t test that the true value is 0; NaN without an interval."""
        if isnan(self.df) or isnan(self.se):
            return nan
        if self.se == 0.0:
            return 1.0 if self.value == 0.0 else 0.0
        return float(2.0 * special.stdtr(self.df, -abs(self.value) / self.se))

    @property
    def noiseless(self) -> bool:
        """Whether nothing varied, so that the standard error says nothing."""
        return self.se < NO_NOISE

    def without_interval(self) -> Estimate:
        """The value alone, where its noise cannot be estimated."""
        return replace(self, low=nan, high=nan, se=0.0)

    def half_width(self, level: float) -> float:
        """Half the width of the interval at another level, not clipped; NaN without an interval."""
        return self.se * t_quantile(self.df, level) if self.se else 0.0


@dataclass(frozen=True, slots=True)
class Interval:
    """The percentile interval of a statistic."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Variance:
    """A part of a sampling variance, with its degrees of freedom; 0 degrees where it is known or absent."""

    value: float
    df: float


NOTHING = Variance(0.0, 0.0)


def total(parts: Iterable[Variance]) -> Variance:
    """The sum of independent parts, degrees of freedom by Satterthwaite (1946)."""
    known = tuple(parts)
    value = sum(part.value for part in known)
    return Variance(value, satterthwaite(value, known))


def satterthwaite(value: float, parts: Iterable[Variance]) -> float:
    """Degrees of freedom of a variance ``value`` that is a signed sum of ``parts``."""
    spread = sum(part.value**2 / part.df for part in parts if part.df)
    return value**2 / spread if spread > 0.0 else float(sum(part.df for part in parts))


def t_quantile(df: float, level: float) -> float:
    """The two-sided quantile of t that an interval of this level needs; NaN without degrees of freedom."""
    return float(special.stdtrit(df, 0.5 + level / 2.0))


def score_table(scores: Floats, name: str) -> Floats:
    """``scores`` as ``[S, T]``.

    Raises:
        ValueError: If it is not two-dimensional, is empty, or holds a value that is not finite; calls it ``name``.
    """
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"{name} must be [seeds, tasks] with at least one of each, but has shape {table.shape}.")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} holds a score that is not finite; drop its task for all methods first.")
    return table


def task_variance(values: Floats, codes: Codes) -> Variance:
    """CR1 variance of the mean of ``values`` [T]; equal to s^2/T if every task is its own unit."""
    sums = np.bincount(codes, values - values.mean())  # [C]
    units = len(sums)
    if units < 2:
        return Variance(nan, 0)
    return Variance(float(sums @ sums) * units / (units - 1) / len(values) ** 2, units - 1)


def t_estimate(
    value: float,
    variance: Variance,
    *,
    se_task: float,
    se_seed: float,
    se_cell: float,
    level: float,
    bounds: tuple[float, float],
    basis: str,
) -> Estimate:
    """``value`` +- t * SE, cut at the ends of the range in which the true value must lie."""
    check_level(level)
    se = sqrt(variance.value) if variance.value >= 0.0 else nan
    df = variance.df if not isnan(se) else nan
    half = se * t_quantile(df, level) if se else 0.0
    low, high = (float(np.clip(end, *bounds)) for end in (value - half, value + half))
    return Estimate(value, low, high, se, se_task, se_seed, se_cell, df, basis)
