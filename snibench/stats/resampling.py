"""Bootstraps over tasks, over seeds and tasks, and over streams; and what streams spread by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from snibench.stats.arrays import Floats, rounded, unit_codes
from snibench.stats.estimates import Interval, percentiles, resampled_means, score_table

Statistic = Callable[..., Floats]  # arrays [..., n] -> [...]


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
    first, second = score_table(ours, "ours"), score_table(baseline, "baseline")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"ours has shape {first.shape} but baseline has {second.shape}; "
            "a paired interval needs the same tasks in both."
        )
    differences = rounded(first.mean(axis=0) - second.mean(axis=0))  # [T]
    codes = unit_codes(clusters, len(differences))
    resampled = resampled_means(differences, np.zeros_like(differences), codes, rng, draws)
    return percentiles(float(differences.mean()), resampled, level)


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
    table = score_table(scores, "scores")
    seeds, tasks = table.shape
    rows = rng.integers(seeds, size=(draws, seeds, 1))
    columns = rng.integers(tasks, size=(draws, 1, tasks))
    value = float(statistic(table[None], axis=(1, 2))[0])
    return percentiles(value, statistic(table[rows, columns], axis=(1, 2)), level)


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
    return percentiles(value, difference([values[picks].reshape(draws, -1) for values in arrays]), level)


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
