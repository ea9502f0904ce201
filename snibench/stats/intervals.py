"""Intervals for means and differences over tasks and seeds, and for the generalization gap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snibench.stats.arrays import Floats
from snibench.stats.estimates import UNBOUNDED, Estimate, score_table
from snibench.stats.scopes import Clusters, Sample, Side, Tuning, compare

_FIXED = Tuning(deterministic=True)


def mean_interval(
    scores: Floats,
    *,
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Estimate:
    """The t interval for the mean score of one method, over tasks and seeds.

    The variance is the one over tasks (or the CR1 cluster variance over sources) of the seed means, plus the
    variance over seeds of the grand mean, without the noise of cells that both hold; degrees of freedom by
    Satterthwaite. With one seed there is the first part alone and ``basis`` says "tasks only". With fewer than three
    tasks (or sources) there is no interval.

    Args:
        scores: ``[S, T]``, without NaN.
        clusters: The source of each task, in the order of the columns.
        level: Probability in (0, 1) that the interval should cover the true mean.
        bounds: The range in which the true mean must lie.

    Raises:
        ValueError: If the shapes differ, a score is NaN, or ``level`` is not inside (0, 1).
    """
    table = score_table(scores, "scores")
    return sample_interval(_sample(table), clusters=(clusters,), level=level, bounds=bounds)


def sample_interval(
    sample: Sample, *, clusters: Clusters, level: float = 0.95, bounds: tuple[float, float] = UNBOUNDED
) -> Estimate:
    """The t interval for the mean of one method; a difference from nothing."""
    nothing = Sample(tuple(Side(np.zeros((1, side.table.shape[1]))) for side in sample.sides), _FIXED)
    fixed = sample if sample.seeds > 1 else Sample(sample.sides, _FIXED)
    return compare(fixed, nothing, clusters=clusters, level=level, bounds=bounds).like_these


def difference_interval(
    ours: Floats,
    theirs: Floats,
    *,
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Estimate:
    """The t interval for the mean score of ``ours`` minus ``theirs``, paired by task, for tasks like these.

    Seeds are not taken as paired. A method with one seed is taken as deterministic: "tasks only" if both have one.

    Args:
        ours: ``[S, T]``, without NaN.
        theirs: ``[S', T]``, the same tasks in the same order.
        clusters: The source of each task.
        level: Probability in (0, 1) that the interval should cover the true difference.
        bounds: The range in which the true difference must lie.

    Raises:
        ValueError: If the tasks differ in number, a score is NaN, or ``level`` is not inside (0, 1).
    """
    first, second = score_table(ours, "ours"), score_table(theirs, "theirs")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"ours has shape {first.shape} but theirs has {second.shape}; "
            "a paired interval needs the same tasks in both."
        )
    return compare(_sample(first), _sample(second), clusters=(clusters,), level=level, bounds=bounds).like_these


def gap_interval(
    seen: Floats, unseen: Floats, *, clusters: tuple[Sequence[str], Sequence[str]] | None = None, level: float = 0.95
) -> Estimate:
    """The t interval for the generalization gap: mean over seen tasks minus mean over unseen ones.

    As ``mean_interval``, with the variances over tasks of both sides, and over seeds that of the gap itself: seed s is
    the same fit on both sides.

    Args:
        seen: ``[S, T]`` scores of seen tasks.
        unseen: ``[S, T']`` scores of unseen ones.
        clusters: Sources of the seen tasks, and of the unseen ones.
        level: Probability in (0, 1) that the interval should cover the true gap.

    Raises:
        ValueError: If a side is empty, seeds differ in number between the sides, or a score is NaN.
    """
    sides = score_table(seen, "seen"), score_table(unseen, "unseen")
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"the sides have {len(sides[0])} and {len(sides[1])} seeds; every fit must answer both.")
    return sample_interval(
        Sample((Side(sides[0]), Side(sides[1]))), clusters=clusters or (), level=level, bounds=(-1.0, 1.0)
    )


def _sample(table: Floats) -> Sample:
    return Sample((Side(table),), _FIXED if len(table) < 2 else Tuning())
