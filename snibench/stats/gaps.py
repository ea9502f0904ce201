"""Intervals for the mean on seen tasks minus that on unseen ones, and for how it differs between methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt
from typing import TYPE_CHECKING

import numpy as np

from snibench.stats.arrays import Codes, Floats, rounded, unit_codes
from snibench.stats.estimates import (
    Estimate,
    Variance,
    percentiles,
    resampled_means,
    seed_variance,
    t_interval,
    t_quantile,
    task_variance,
    unit_kind,
)

if TYPE_CHECKING:
    import pandas as pd

Side = Sequence[Floats]  # one array [S, n] (or [n]) of instance scores per task

WELCH_BELOW = 8  # tasks a side: with fewer, a bootstrap interval is too narrow


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


def _gap_seed_variance(sides: _Sides) -> Variance:
    """Of the gap per seed: seed s is the same fit on both sides."""
    seen, unseen = (side.tasks.mean(axis=1, keepdims=True) for side in sides)  # [S, 1]
    if len(seen) != len(unseen):
        raise ValueError(f"the sides have {len(seen)} and {len(unseen)} seeds; every fit must answer both.")
    return seed_variance(seen - unseen)


def _gap(
    means: Sequence[Floats],
    noise: Sequence[Floats],
    codes: Sequence[Codes],
    seeds: Sequence[Variance],
    *,
    rng: np.random.Generator,
    level: float,
    draws: int,
    kind: str,
) -> Estimate:
    """Interval of the difference of two means over tasks, each side ``[T]`` with ``[T]`` instance noise."""
    value = float(means[0].mean() - means[1].mean())
    tasks = [task_variance(side, units) for side, units in zip(means, codes, strict=True)]
    if min(part.df for part in tasks) + 1 < WELCH_BELOW:
        return t_interval(value, tasks, seeds, level)
    seen, unseen = (resampled_means(m, n, c, rng, draws) for m, n, c in zip(means, noise, codes, strict=True))
    interval = percentiles(value, seen - unseen, level)
    alone, together = (
        t_quantile(parts, level)[1] * sqrt(sum(part.value for part in parts)) for parts in (tasks, [*tasks, *seeds])
    )
    widening = together - alone
    return Estimate(
        value=value,
        low=interval.low - widening,
        high=interval.high + widening,
        se_task=float((seen - unseen).std()),
        se_seed=sqrt(sum(part.value for part in seeds)),
        df=nan,
        kind=f"{kind}, {unit_kind(seeds)}",
    )
