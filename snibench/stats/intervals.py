"""Intervals for means, differences, gaps and spreads over tasks.

Training seeds are crossed with tasks: one fit yields the scores of all tasks, so a seed can shift them all at
once. An interval over tasks alone ignores that shift; those here add it. Tasks are nested in source datasets;
where ``clusters`` names a source for every task, sources are the independent units.

Axes: S seeds, T tasks, C sources, n instances of a task, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from snibench.stats.arrays import Codes, Floats, check_level, rounded, unit_codes

if TYPE_CHECKING:
    import pandas as pd

Side = Sequence[Floats]  # one array [S, n] (or [n]) of instance scores per task
Statistic = Callable[..., Floats]  # arrays [..., n] -> [...]

WELCH_BELOW = 8  # tasks a side: with fewer, a bootstrap interval is too narrow


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


# --------------------------------------------------------------------------------- t intervals


@dataclass(frozen=True, slots=True)
class _Variance:
    """The sampling variance of a mean, with its degrees of freedom."""

    value: float
    df: int


def mean_interval(scores: Floats, *, clusters: Sequence[str] | None = None, level: float = 0.95) -> Estimate:
    """The t interval for the mean score of one method, over tasks and seeds.

    The variance is the one over tasks (or the CR1 cluster variance over sources) of the seed means, plus the
    variance over seeds of the grand mean divided by S; degrees of freedom by Welch and Satterthwaite. With one
    seed the second part is 0 and ``kind`` says "tasks only".

    Args:
        scores: ``[S, T]``, without NaN.
        clusters: The source of each task, in the order of the columns.
        level: Probability in (0, 1) that the interval should cover the true mean.

    Raises:
        ValueError: If the shapes differ, a score is NaN, or ``level`` is not inside (0, 1).
    """
    table = _table(scores, "scores")
    codes = unit_codes(clusters, table.shape[1])
    tasks = table.mean(axis=0)  # [T]
    return _t_interval(float(tasks.mean()), [_task_variance(tasks, codes)], [_seed_variance(table)], level)


def difference_interval(
    ours: Floats, theirs: Floats, *, clusters: Sequence[str] | None = None, level: float = 0.95
) -> Estimate:
    """The t interval for the mean score of ``ours`` minus ``theirs``, paired by task.

    The seed terms of both methods are added as if seeds were not shared, which is conservative if they are. A
    method with one seed adds none: exact for a deterministic one, "tasks only" if it holds for both.

    Args:
        ours: ``[S, T]``, without NaN.
        theirs: ``[S', T]``, the same tasks in the same order.
        clusters: The source of each task.
        level: Probability in (0, 1) that the interval should cover the true difference.

    Raises:
        ValueError: If the tasks differ in number, a score is NaN, or ``level`` is not inside (0, 1).
    """
    first, second = _table(ours, "ours"), _table(theirs, "theirs")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"ours has shape {first.shape} but theirs has {second.shape}; "
            "a paired interval needs the same tasks in both."
        )
    differences = rounded(first.mean(axis=0) - second.mean(axis=0))  # [T]
    return _t_interval(
        float(differences.mean()),
        [_task_variance(differences, unit_codes(clusters, len(differences)))],
        [_seed_variance(first), _seed_variance(second)],
        level,
    )


def proportion_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval for the accuracy on one task. Not for ROUGE-L, which is no proportion.

    Raises:
        ValueError: If ``n`` < 1 or ``successes`` is not in 0..n.

    Source:
        Wilson, Journal of the American Statistical Association 22 (1927).
    """
    check_level(level)
    bounds = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    return Interval(successes / n, float(bounds.low), float(bounds.high))


# ------------------------------------------------------------------------------------- the gap


def gap_interval(
    seen: Side,
    unseen: Side,
    *,
    rng: np.random.Generator,
    clusters: tuple[Sequence[str], Sequence[str]] | None = None,
    level: float = 0.95,
    draws: int = 10_000,
) -> Estimate:
    """The interval for the generalization gap: mean over seen tasks minus mean over unseen ones.

    Percentile bootstrap on two levels: tasks of each side (sources, if declared), then instances within each task
    drawn. The second level is drawn from its normal limit, to which the mean over all instances of at least eight
    tasks is close, so that the cost does not grow with n. Seeds are too few to resample: both ends move outwards by
    as much as the seed noise of the gap widens the t interval. With fewer than eight tasks (or sources) on a side:
    Welch's t interval over task means, with the seed term of ``mean_interval``.

    Args:
        seen: Instance scores of each seen task, ``[S, n]``; n may differ between tasks, S may not.
        unseen: The same for unseen tasks; seed s is the same fit on both sides.
        rng: Source of the resampling noise.
        clusters: Sources of the seen tasks, and of the unseen ones.
        level: Probability in (0, 1) that the interval should cover the true gap.
        draws: B.

    Raises:
        ValueError: If a side is empty, seeds differ in number between tasks, or a score is NaN.
    """
    sides = (_side(seen, "seen"), _side(unseen, "unseen"))
    return _gap(
        [side.tasks.mean(axis=0) for side in sides],
        [side.noise for side in sides],
        _side_codes(clusters, sides),
        [_gap_seed_variance(sides)],
        rng=rng,
        level=level,
        draws=draws,
        kind="two-level bootstrap",
    )


def gap_difference_interval(
    ours: tuple[Side, Side],
    theirs: tuple[Side, Side],
    *,
    rng: np.random.Generator,
    clusters: tuple[Sequence[str], Sequence[str]] | None = None,
    level: float = 0.95,
    draws: int = 10_000,
) -> Estimate:
    """The interval for the gap of ``ours`` minus the gap of ``theirs``, on the same tasks and instances.

    As ``gap_interval``, on the differences of the two methods per task, so that the difficulty of tasks cancels; the
    same tasks are drawn for both methods. Instances are not resampled: without difficulty, most of the variance
    between tasks is that between instances already, and a second level would count it twice. The seed terms of both
    methods are added.

    Args:
        ours: (seen, unseen), each as in ``gap_interval``.
        theirs: The same tasks and instances in the same order; the number of seeds may differ.
        rng: Source of the resampling noise.
        clusters: Sources of the seen tasks, and of the unseen ones.
        level: Probability in (0, 1) that the interval should cover the true difference of gaps.
        draws: B.

    Raises:
        ValueError: If tasks or instances differ in number between the methods.
    """
    first = (_side(ours[0], "ours, seen"), _side(ours[1], "ours, unseen"))
    second = (_side(theirs[0], "theirs, seen"), _side(theirs[1], "theirs, unseen"))
    if any(a.instances != b.instances for a, b in zip(first, second, strict=True)):
        raise ValueError("ours and theirs differ in tasks or instances; a paired interval needs the same in both.")
    differences = [
        rounded(a.tasks.mean(axis=0) - b.tasks.mean(axis=0)) for a, b in zip(first, second, strict=True)
    ]  # [T] each
    return _gap(
        differences,
        [np.zeros_like(difference) for difference in differences],
        _side_codes(clusters, first),
        [_gap_seed_variance(first), _gap_seed_variance(second)],
        rng=rng,
        level=level,
        draws=draws,
        kind="bootstrap over tasks",
    )


def instance_scores(rows: pd.DataFrame) -> dict[str, Floats]:
    """Arrays ``[S, n]`` by task, of the rows of one method: the sides of ``gap_interval``.

    Args:
        rows: Columns task, seed, instance, score; one row per triple. Seeds and instances are sorted.

    Raises:
        ValueError: If a triple occurs twice.
    """
    wide = rows.pivot(index="seed", columns=["task", "instance"], values="score").sort_index(axis=1)
    tasks = wide.columns.get_level_values("task").to_numpy()
    values = wide.to_numpy(dtype=np.float64)
    starts = np.flatnonzero(np.r_[True, tasks[1:] != tasks[:-1]])
    return dict(zip(tasks[starts].tolist(), np.split(values, starts[1:], axis=1), strict=True))


# --------------------------------------------------------------------------------- the bootstrap


def paired_bootstrap(
    ours: Floats,
    baseline: Floats,
    *,
    rng: np.random.Generator,
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    draws: int = 9_999,
) -> Interval:
    """Percentile interval for the mean score of ``ours`` minus ``baseline``, conditional on these fits.

    Whole tasks (sources, if declared) are resampled: the instances of one task are not independent of each
    other. Seeds are averaged, never resampled, so the interval is about these checkpoints. With few tasks it is
    too narrow: at ten, 95% nominal covers about 90% of the time.

    Args:
        ours: ``[S, T]``, one row per seed, one column per task.
        baseline: ``[S', T]``, the same tasks in the same order.
        rng: Source of the resampling noise. Nothing else in this function is random.
        clusters: The source of each task.
        level: Probability in (0, 1) that the interval should cover the true difference.
        draws: B.

    Raises:
        ValueError: If the tasks differ in number or ``level`` is not inside (0, 1).

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Example:
        >>> interval = paired_bootstrap(
        ...     np.array([[0.75, 0.5]]), np.array([[0.25, 0.0]]), rng=np.random.default_rng(0)
        ... )
        >>> interval.low, interval.high
        (0.5, 0.5)
    """
    first, second = _table(ours, "ours"), _table(baseline, "baseline")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"ours has shape {first.shape} but baseline has {second.shape}; "
            "a paired interval needs the same tasks in both."
        )
    differences = rounded(first.mean(axis=0) - second.mean(axis=0))  # [T]
    codes = unit_codes(clusters, len(differences))
    resampled = _resampled_means(differences, np.zeros_like(differences), codes, rng, draws)
    return _percentiles(float(differences.mean()), resampled, level)


def crossed_bootstrap(
    scores: Floats,
    *,
    rng: np.random.Generator,
    statistic: Statistic = np.mean,
    level: float = 0.95,
    draws: int = 9_999,
) -> Interval:
    """Percentile interval of a statistic of ``[S, T]`` scores, resampling whole seeds and whole tasks.

    Unlike the stratified bootstrap of rliable, which draws runs anew within every task, one draw of seeds holds
    for all tasks, so the shift that a seed gives to all tasks survives. Percentiles over three seeds still
    cover too little (docs/statistics.md): for means, ``mean_interval`` is the better choice.

    Args:
        scores: ``[S, T]``, without NaN.
        rng: Source of the resampling noise.
        statistic: Called with ``[B, S, T]`` and ``axis=(1, 2)``; returns ``[B]``.
        level: Probability in (0, 1) that the interval should cover the true value.
        draws: B.
    """
    table = _table(scores, "scores")
    seeds, tasks = table.shape
    rows = rng.integers(seeds, size=(draws, seeds, 1))
    columns = rng.integers(tasks, size=(draws, 1, tasks))
    value = float(statistic(table[None], axis=(1, 2))[0])
    return _percentiles(value, statistic(table[rows, columns], axis=(1, 2)), level)


def resample_streams(
    statistic: Statistic,
    ours: Sequence[Floats],
    theirs: Sequence[Floats],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 9_999,
) -> Interval:
    """Percentile interval for a statistic of ``ours`` minus that of ``theirs``, over the same streams.

    Streams are resampled in pairs: both methods answered the same ones.

    Args:
        statistic: Reduces the last axis of its arguments, e.g. ``iqr`` or ``excess_sd``.
        ours: The arguments of ``statistic``, each ``[n]`` or ``[n, S]``: one row per stream. With seeds, the
            statistic is over all n x S values, and a stream is drawn with all its seeds.
        theirs: The same for the other method.
        rng: Source of the resampling noise.
        level: Probability in (0, 1) that the interval should cover the true difference.
        draws: B.

    Raises:
        ValueError: If the numbers of streams differ.
    """
    arrays = [np.asarray(values, dtype=np.float64) for values in (*ours, *theirs)]
    streams = len(arrays[0])
    if any(len(values) != streams for values in arrays):
        raise ValueError(f"streams are paired, but their numbers are {[len(values) for values in arrays]}.")
    picks = rng.integers(streams, size=(draws, streams))

    def difference(values: list[Floats]) -> Floats:
        return statistic(*values[: len(ours)]) - statistic(*values[len(ours) :])

    value = float(difference([values.reshape(-1) for values in arrays]))
    return _percentiles(value, difference([values[picks].reshape(draws, -1) for values in arrays]), level)


def iqr(values: Floats) -> Floats:
    """The interquartile range over the last axis, type-7 quartiles."""
    low, high = np.quantile(values, (0.25, 0.75), axis=-1)
    return np.asarray(high - low)


def noise_variance(probabilities: Floats) -> Floats:
    """The variance of a stream's accuracy if its L answers are right with these probabilities ``[..., L]``."""
    p = np.asarray(probabilities, dtype=np.float64)
    return np.asarray((p * (1.0 - p)).sum(axis=-1) / p.shape[-1] ** 2)


def excess_sd(accuracies: Floats, noise: Floats) -> Floats:
    """SD of stream accuracies beyond binomial noise, over the last axis; 0 where noise explains all.

    Args:
        accuracies: ``[..., n]``, one per stream.
        noise: ``[..., n]``, each stream's ``noise_variance``.
    """
    return np.asarray(np.sqrt(np.maximum(0.0, np.var(accuracies, axis=-1, ddof=1) - np.mean(noise, axis=-1))))


# ------------------------------------------------------------------------------------- helpers


def _table(scores: Floats, name: str) -> Floats:
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"{name} must be [seeds, tasks] with at least one of each, but has shape {table.shape}.")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} holds a score that is not finite; drop its task for all methods first.")
    return table


def _task_variance(values: Floats, codes: Codes) -> _Variance:
    """CR1 variance of the mean of ``values`` [T]; equal to s^2/T if every task is its own unit."""
    sums = np.bincount(codes, values - values.mean())  # [C]
    units = len(sums)
    if units < 2:
        return _Variance(nan, 0)
    return _Variance(float(sums @ sums) * units / (units - 1) / len(values) ** 2, units - 1)


def _seed_variance(table: Floats) -> _Variance:
    """Variance of the grand mean of ``table`` [S, T] over seeds; 0 with one seed."""
    seeds = len(table)
    if seeds < 2:
        return _Variance(0.0, 0)
    return _Variance(float(table.mean(axis=1).var(ddof=1)) / seeds, seeds - 1)


def _unit_kind(seeds: Sequence[_Variance]) -> str:
    return "tasks+seeds" if any(part.df for part in seeds) else "tasks only"


def _t_quantile(parts: Sequence[_Variance], level: float) -> tuple[float, float]:
    """Degrees of freedom of the sum of ``parts`` by Welch and Satterthwaite, and the two-sided t quantile."""
    total = sum(part.value for part in parts)
    if isnan(total):
        return nan, nan
    if total == 0.0:
        return float(sum(part.df for part in parts)), 0.0  # no spread at all: the interval is a point
    df = total**2 / sum(part.value**2 / part.df for part in parts if part.value > 0.0)
    return df, float(stats.t.ppf(0.5 + level / 2.0, df))


def _t_interval(value: float, tasks: Sequence[_Variance], seeds: Sequence[_Variance], level: float) -> Estimate:
    """``value`` +- t * SE."""
    check_level(level)
    df, quantile = _t_quantile([*tasks, *seeds], level)
    se_task, se_seed = (sqrt(sum(part.value for part in parts)) for parts in (tasks, seeds))
    half = quantile * sqrt(se_task**2 + se_seed**2)
    return Estimate(value, value - half, value + half, se_task, se_seed, df, f"t, {_unit_kind(seeds)}")


@dataclass(frozen=True, slots=True)
class _SideScores:
    """One side of a gap."""

    tasks: Floats  # [S, T]
    noise: Floats  # [T], variance of each task's mean from its instances alone
    instances: tuple[int, ...]  # n of each task


_Sides = tuple[_SideScores, _SideScores]


def _side(side: Side, name: str) -> _SideScores:
    arrays = [np.atleast_2d(np.asarray(task, dtype=np.float64)) for task in side]
    if not arrays or any(task.size == 0 for task in arrays):
        raise ValueError(f"{name} needs at least one task, and each task at least one instance.")
    if len({len(task) for task in arrays}) > 1:
        raise ValueError(f"{name} has tasks with different numbers of seeds; every fit must answer every task.")
    if not all(np.isfinite(task).all() for task in arrays):
        raise ValueError(f"{name} holds a score that is not finite; drop its task for all methods first.")
    return _SideScores(
        tasks=np.stack([task.mean(axis=1) for task in arrays], axis=1),
        noise=np.array([task.mean(axis=0).var() / task.shape[1] for task in arrays]),
        instances=tuple(task.shape[1] for task in arrays),
    )


def _side_codes(clusters: tuple[Sequence[str], Sequence[str]] | None, sides: _Sides) -> tuple[Codes, Codes]:
    seen, unseen = clusters or (None, None)
    return unit_codes(seen, len(sides[0].instances)), unit_codes(unseen, len(sides[1].instances))


def _gap_seed_variance(sides: _Sides) -> _Variance:
    """Of the gap per seed: seed s is the same fit on both sides."""
    seen, unseen = (side.tasks.mean(axis=1, keepdims=True) for side in sides)  # [S, 1]
    if len(seen) != len(unseen):
        raise ValueError(f"the sides have {len(seen)} and {len(unseen)} seeds; every fit must answer both.")
    return _seed_variance(seen - unseen)


def _gap(
    means: Sequence[Floats],
    noise: Sequence[Floats],
    codes: Sequence[Codes],
    seeds: Sequence[_Variance],
    *,
    rng: np.random.Generator,
    level: float,
    draws: int,
    kind: str,
) -> Estimate:
    """Interval of the difference of two means over tasks, each side ``[T]`` with ``[T]`` instance noise."""
    value = float(means[0].mean() - means[1].mean())
    tasks = [_task_variance(side, units) for side, units in zip(means, codes, strict=True)]
    if min(part.df for part in tasks) + 1 < WELCH_BELOW:
        return _t_interval(value, tasks, seeds, level)
    seen, unseen = (_resampled_means(m, n, c, rng, draws) for m, n, c in zip(means, noise, codes, strict=True))
    interval = _percentiles(value, seen - unseen, level)
    alone, together = (
        _t_quantile(parts, level)[1] * sqrt(sum(part.value for part in parts)) for parts in (tasks, [*tasks, *seeds])
    )
    widening = together - alone
    return Estimate(
        value=value,
        low=interval.low - widening,
        high=interval.high + widening,
        se_task=float((seen - unseen).std()),
        se_seed=sqrt(sum(part.value for part in seeds)),
        df=nan,
        kind=f"{kind}, {_unit_kind(seeds)}",
    )


def _resampled_means(means: Floats, within: Floats, codes: Codes, rng: np.random.Generator, draws: int) -> Floats:
    """B means over tasks, units drawn with replacement, plus normal noise of variance ``within`` per task drawn."""
    sizes = np.bincount(codes)  # [C]
    picks = rng.integers(len(sizes), size=(draws, len(sizes)))
    tasks = sizes[picks].sum(axis=1)  # [B], varies where sources differ in size
    resampled = np.bincount(codes, means)[picks].sum(axis=1) / tasks
    if within.any():
        noise = np.sqrt(np.bincount(codes, within)[picks].sum(axis=1)) / tasks
        resampled = resampled + noise * rng.standard_normal(draws)
    return np.asarray(resampled)


def _percentiles(value: float, resampled: Floats, level: float) -> Interval:
    check_level(level)
    low, high = np.quantile(resampled, (0.5 - level / 2.0, 0.5 + level / 2.0))
    return Interval(value, float(low), float(high))
