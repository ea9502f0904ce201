"""What every interval is made of: estimates, the variance over tasks and over seeds, t quantiles, percentiles.

Training seeds are crossed with tasks: one fit yields the scores of all tasks, so a seed can shift them all at
once. An interval over tasks alone ignores that shift. Tasks are nested in source datasets; where ``clusters`` names a
source for every task, sources are the independent units.

Axes: S seeds, T tasks, C sources, n instances of a task, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt

import numpy as np
from scipy import stats

from snibench.stats.arrays import Codes, Floats, check_level


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval and the two parts of its standard error.

    ``se_task`` is what more tasks (or sources) would reduce, ``se_seed`` what more seeds would reduce. ``df`` is
    NaN for bootstrap intervals. ``kind`` says how the interval was made, e.g. "t, tasks+seeds". Ends are NaN
    where the data cannot give an interval (one task, one source).
    """

    value: float
    low: float
    high: float
    se_task: float
    se_seed: float
    df: float
    kind: str

    @property
    def se(self) -> float:
        """The standard error: both parts together."""
        return sqrt(self.se_task**2 + self.se_seed**2)

    @property
    def p(self) -> float:
        """Two-sided p of the t test that the true value is 0; NaN for bootstrap intervals."""
        if np.isnan(self.df) or np.isnan(self.se):
            return nan
        if self.se == 0.0:
            return 1.0 if self.value == 0.0 else 0.0
        return float(2.0 * stats.t.sf(abs(self.value) / self.se, self.df))


@dataclass(frozen=True, slots=True)
class Interval:
    """The percentile interval of a statistic."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Variance:
    """The sampling variance of a mean, with its degrees of freedom."""

    value: float
    df: int


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


def seed_variance(table: Floats) -> Variance:
    """Variance of the grand mean of ``table`` [S, T] over seeds; 0 with one seed."""
    seeds = len(table)
    if seeds < 2:
        return Variance(0.0, 0)
    return Variance(float(table.mean(axis=1).var(ddof=1)) / seeds, seeds - 1)


def unit_kind(seeds: Sequence[Variance]) -> str:
    """What an interval counts as noise, for people."""
    return "tasks+seeds" if any(part.df for part in seeds) else "tasks only"


def t_quantile(parts: Sequence[Variance], level: float) -> tuple[float, float]:
    """Degrees of freedom of the sum of ``parts`` by Welch and Satterthwaite, and the two-sided t quantile."""
    total = sum(part.value for part in parts)
    if isnan(total):
        return nan, nan
    if total == 0.0:
        return float(sum(part.df for part in parts)), 0.0  # no spread at all: the interval is a point
    df = total**2 / sum(part.value**2 / part.df for part in parts if part.value > 0.0)
    return df, float(stats.t.ppf(0.5 + level / 2.0, df))


def t_interval(value: float, tasks: Sequence[Variance], seeds: Sequence[Variance], level: float) -> Estimate:
    """``value`` +- t * SE."""
    check_level(level)
    df, quantile = t_quantile([*tasks, *seeds], level)
    se_task, se_seed = (sqrt(sum(part.value for part in parts)) for parts in (tasks, seeds))
    half = quantile * sqrt(se_task**2 + se_seed**2)
    return Estimate(value, value - half, value + half, se_task, se_seed, df, f"t, {unit_kind(seeds)}")


def resampled_means(means: Floats, within: Floats, codes: Codes, rng: np.random.Generator, draws: int) -> Floats:
    """B means over tasks, units drawn with replacement, plus normal noise of variance ``within`` per task drawn."""
    sizes = np.bincount(codes)  # [C]
    picks = rng.integers(len(sizes), size=(draws, len(sizes)))
    tasks = sizes[picks].sum(axis=1)  # [B], varies where sources differ in size
    resampled = np.bincount(codes, means)[picks].sum(axis=1) / tasks
    if within.any():
        noise = np.sqrt(np.bincount(codes, within)[picks].sum(axis=1)) / tasks
        resampled = resampled + noise * rng.standard_normal(draws)
    return np.asarray(resampled)


def percentiles(value: float, resampled: Floats, level: float) -> Interval:
    """The middle ``level`` of ``resampled`` [B], around ``value``."""
    check_level(level)
    low, high = np.quantile(resampled, (0.5 - level / 2.0, 0.5 + level / 2.0))
    return Interval(value, float(low), float(high))
