"""Intervals for means and differences over tasks and seeds, and for the accuracy on one task."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats

from snibench.stats.arrays import Floats, check_level, rounded, unit_codes
from snibench.stats.estimates import Estimate, Interval, score_table, seed_variance, t_interval, task_variance


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
    table = score_table(scores, "scores")
    codes = unit_codes(clusters, table.shape[1])
    tasks = table.mean(axis=0)  # [T]
    return t_interval(float(tasks.mean()), [task_variance(tasks, codes)], [seed_variance(table)], level)


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
    first, second = score_table(ours, "ours"), score_table(theirs, "theirs")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"ours has shape {first.shape} but theirs has {second.shape}; "
            "a paired interval needs the same tasks in both."
        )
    differences = rounded(first.mean(axis=0) - second.mean(axis=0))  # [T]
    return t_interval(
        float(differences.mean()),
        [task_variance(differences, unit_codes(clusters, len(differences)))],
        [seed_variance(first), seed_variance(second)],
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
