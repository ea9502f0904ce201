"""Two scopes of a paired comparison: tasks like these, and this very suite.

A score is made of its task, of method x task (differences between methods by task), of the instance and method x
instance, of a shift by the seed, of task x seed, and of seed x instance. Mean squares that hold several of these are
combined so that each counts once. docs/statistics.md has definitions and simulated error rates.

Axes: S seeds, T tasks, C sources, n instances of a task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan, nan, sqrt
from typing import Literal

import numpy as np

from snibench.stats.arrays import Codes, Floats, rounded, unit_codes
from snibench.stats.estimates import (
    DIFFERENCE,
    FEWEST_UNITS,
    NOTHING,
    Estimate,
    Variance,
    satterthwaite,
    t_estimate,
    task_variance,
    total,
)

FEWEST_POOLED = 4  # methods, whose seed variances may stand for each other's

Pooling = Literal["methods", "pair", "one method", "unpooled", "none"]


@dataclass(frozen=True)
class Side:
    """Scores of one method on some tasks: ``table`` [S, T], and per task ``[S, n]`` where instances are known."""

    table: Floats
    instances: tuple[Floats, ...] = ()


@dataclass(frozen=True, slots=True)
class Tuning:
    """Groups, by design and never by the scores, of methods whose seed noise may be pooled.

    A ``deterministic`` method scores the same with any seed: nothing was tuned. Methods of one ``recipe`` had the same
    budget and schedule; those that share an ``adapter`` too train parameters of the same kind.
    """

    deterministic: bool = False
    recipe: str = ""
    adapter: str = ""


_TUNED = Tuning()


@dataclass(frozen=True)
class Sample:
    """Scores of one method for one question.

    ``sides`` is one group of tasks, or two if the question is about the first minus the second (the gap).
    """

    sides: tuple[Side, ...]
    tuning: Tuning = _TUNED

    @property
    def deterministic(self) -> bool:
        """Whether another seed would have given the same scores."""
        return self.tuning.deterministic

    @property
    def seeds(self) -> int:
        """S."""
        return len(self.sides[0].table)

    @cached_property
    def by_seed(self) -> Floats:
        """``[S]`` means over tasks; the first side's minus the second's."""
        means = [side.table.mean(axis=1) for side in self.sides]
        return np.asarray(rounded(means[0] - means[1] if len(means) > 1 else means[0]))

    @property
    def mean(self) -> float:
        """The mean over seeds and tasks."""
        return float(self.by_seed.mean())

    @cached_property
    def over_seeds(self) -> Variance:
        """The variance of the mean over seeds; nothing for a deterministic method or with one seed."""
        if self.deterministic or self.seeds < 2:
            return NOTHING
        return Variance(float(self.by_seed.var(ddof=1)) / self.seeds, self.seeds - 1)


Clusters = Sequence[Sequence[str] | None]  # the source of each task, for each side


@dataclass(frozen=True, slots=True)
class SeedNoise:
    """The variance that seeds give to a difference, with the rule by which it was pooled.

    ``ratio`` is the larger variance over seeds of the two methods over the smaller one; ``pooled`` names the methods
    behind the estimate where they are more than the pair.
    """

    variance: Variance
    pooling: Pooling
    ratio: float = nan
    pooled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MeanSquares:
    """The parts of the sampling variance of a difference; those of two methods are added.

    ``task`` holds everything that varies between tasks; ``cell`` is task x seed; ``inst`` and ``res`` are instances
    within tasks and seed x instance, None where instances are not known. ``units`` is the smaller number of sources
    of the sides.
    """

    delta: float
    task: Variance
    cell: Variance
    inst: Variance | None
    res: Variance | None
    units: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One method minus another, in both scopes.

    ``like_these`` speaks of other tasks of this kind, ``suite`` of these tasks alone (None where single instances
    are not known). Neither has an interval if a tuned method has one seed.
    """

    like_these: Estimate
    suite: Estimate | None
    seeds: SeedNoise
    squares: MeanSquares
    same: float = nan  # the score of both methods on every question, if there is but one


def compare(
    ours: Sample,
    theirs: Sample,
    *,
    clusters: Clusters = (),
    pool: SeedNoise | None = None,
    level: float = 0.95,
    bounds: tuple[float, float] = DIFFERENCE,
) -> Comparison:
    """``ours`` minus ``theirs`` on the same tasks and instances, whose seeds are not paired.

    Args:
        ours: S seeds.
        theirs: The same tasks and instances in the same order; any number of seeds.
        clusters: For each side the source of each task; none: every task is its own.
        pool: Seed noise from several methods, in place of that of the pair.
        level: Probability in (0, 1) that an interval should cover the true difference.
        bounds: The range in which the true difference must lie.

    Raises:
        ValueError: If tasks or instances differ in number, a score is NaN, or ``level`` is not inside (0, 1).
    """
    squares = mean_squares(ours, theirs, clusters)
    noise = pool if pool is not None else seed_noise(ours, theirs)
    if min(_free_seeds(ours), _free_seeds(theirs)) < 1:
        noise = SeedNoise(Variance(nan, 0), "none")
    return Comparison(
        like_these=_scope(
            squares, squares.task, squares.cell, noise, squares.units, level, bounds, f"t, {_noise(ours, theirs)}"
        ),
        suite=None
        if squares.inst is None or squares.res is None
        else _scope(
            squares, squares.inst, squares.res, noise, squares.inst.df + 1, level, bounds, "t, instances+seeds"
        ),
        seeds=noise,
        squares=squares,
    )


def _free_seeds(sample: Sample) -> int:
    """Degrees of freedom that a method's seeds give; a deterministic one needs none."""
    return 1 if sample.deterministic else sample.seeds - 1


def _noise(*samples: Sample) -> str:
    return "tasks only" if all(sample.deterministic for sample in samples) else "tasks+seeds"


def _scope(
    squares: MeanSquares,
    base: Variance,
    twice: Variance,
    noise: SeedNoise,
    units: float,
    level: float,
    bounds: tuple[float, float],
    basis: str,
) -> Estimate:
    """The estimate whose variance is ``base`` and that of seeds, without ``twice``, which both of them hold."""
    seeds = noise.variance
    value = max(base.value + seeds.value - twice.value, base.value, seeds.value)
    if isnan(base.value) or isnan(seeds.value) or units < FEWEST_UNITS:
        value = nan
    df = max(1.0, satterthwaite(value, (base, seeds, twice)))
    return t_estimate(
        squares.delta,
        Variance(value, df),
        se_task=sqrt(base.value),
        se_seed=sqrt(seeds.value),
        se_cell=sqrt(twice.value),
        level=level,
        bounds=bounds,
        basis=basis,
    )


# ---------------------------------------------------------------------------------- mean squares


def mean_squares(ours: Sample, theirs: Sample, clusters: Clusters = ()) -> MeanSquares:
    """Every part of the variance of ``ours`` minus ``theirs`` but that of seeds; sides are added."""
    if [side.table.shape[1] for side in ours.sides] != [side.table.shape[1] for side in theirs.sides]:
        raise ValueError("ours and theirs have different tasks; a paired comparison needs the same tasks in both.")
    parts = []
    for number, (first, second) in enumerate(zip(ours.sides, theirs.sides, strict=True)):
        codes = unit_codes(clusters[number] if clusters else None, first.table.shape[1])
        parts.append(_side_squares(first, second, codes, ours.deterministic, theirs.deterministic))
    inst = [part.inst for part in parts if part.inst is not None]
    res = [part.res for part in parts if part.res is not None]
    known = len(inst) == len(parts)
    return MeanSquares(
        delta=parts[0].delta - (parts[1].delta if len(parts) > 1 else 0.0),
        task=total(part.task for part in parts),
        cell=total(part.cell for part in parts),
        inst=total(inst) if known else None,
        res=total(res) if known else None,
        units=min(part.units for part in parts),
    )


def _side_squares(ours: Side, theirs: Side, codes: Codes, fixed: bool, fixed_theirs: bool) -> MeanSquares:
    differences = rounded(ours.table.mean(axis=0) - theirs.table.mean(axis=0))  # [T]
    random = [side for side, known in ((ours, fixed), (theirs, fixed_theirs)) if not known]
    inst = _instance_variance(ours, theirs)
    return MeanSquares(
        delta=float(differences.mean()),
        task=task_variance(differences, codes),
        cell=total(_cell_variance(side.table, codes) for side in random),
        inst=inst,
        res=None if inst is None else total(_residual_variance(side) for side in random),
        units=int(codes.max()) + 1,
    )


def _cell_variance(table: Floats, codes: Codes) -> Variance:
    """Task x seed: what ``table`` [S, T] holds beyond its task means and its seed means, tasks summed by source."""
    seeds, tasks = table.shape
    units = int(codes.max()) + 1
    if seeds < 2 or units < 2:
        return NOTHING
    residual = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    sums = residual @ np.eye(units)[codes]  # [S, C]
    small = units / (units - 1) * seeds / (seeds - 1)
    return Variance(float((sums**2).sum()) * small / (seeds * tasks) ** 2, (seeds - 1) * (units - 1))


def _instance_variance(ours: Side, theirs: Side) -> Variance | None:
    """Instances within tasks, of the seed means of the difference; None unless every task has two."""
    if not ours.instances or not theirs.instances or min(task.shape[1] for task in ours.instances) < 2:
        return None
    if any(a.shape[1] != b.shape[1] for a, b in zip(ours.instances, theirs.instances, strict=True)):
        raise ValueError("ours and theirs differ in instances; a paired comparison needs the same in both.")
    tasks = len(ours.instances)
    return total(
        Variance(float(rounded(a.mean(axis=0) - b.mean(axis=0)).var(ddof=1)) / a.shape[1] / tasks**2, a.shape[1] - 1)
        for a, b in zip(ours.instances, theirs.instances, strict=True)
    )


def _residual_variance(side: Side) -> Variance:
    """Seed x instance within tasks."""
    tasks = len(side.instances)
    return total(_task_residual(task, tasks) for task in side.instances if min(task.shape) > 1)


def _task_residual(task: Floats, tasks: int) -> Variance:
    seeds, instances = task.shape
    residual = task - task.mean(axis=0) - task.mean(axis=1, keepdims=True) + task.mean()
    df = (seeds - 1) * (instances - 1)
    return Variance(float((residual**2).sum()) / df / (seeds * instances) / tasks**2, df)


# ------------------------------------------------------------------------------------ seed noise


def seed_variance(sample: Sample) -> Variance:
    """The variance over seeds of one method's mean; nothing for a deterministic one or with one seed."""
    return sample.over_seeds


def seed_noise(ours: Sample, theirs: Sample) -> SeedNoise:
    """The seed noise of a pair: pooled if both were tuned by one recipe, so that their seeds may be taken as alike."""
    parts = [(sample.seeds, seed_variance(sample)) for sample in (ours, theirs) if not sample.deterministic]
    if not parts:
        return SeedNoise(NOTHING, "none")
    if len(parts) == 1:
        return SeedNoise(parts[0][1], "one method")
    scales = sorted(seeds * part.value for seeds, part in parts)
    ratio = scales[1] / scales[0] if scales[0] > 0.0 else nan
    if ours.tuning.recipe != theirs.tuning.recipe:
        return SeedNoise(total(part for _, part in parts), "unpooled", ratio)
    df = sum(part.df for _, part in parts)
    pooled = sum(part.df * seeds * part.value for seeds, part in parts) / df if df else 0.0
    return SeedNoise(Variance(pooled * sum(1.0 / seeds for seeds, _ in parts), df), "pair", ratio)


def pooled_noise(samples: Mapping[str, Sample], ours: str, theirs: str) -> SeedNoise:
    """The seed noise of ``ours`` against ``theirs``, from at least four alike methods of the run if there are.

    Methods are alike that were tuned by one recipe, with as many seeds and the same kind of adapter.
    """
    own = seed_noise(samples[ours], samples[theirs])
    if own.pooling != "pair" or not _alike(samples[theirs], samples[ours]):
        return own
    kin = [name for name, sample in samples.items() if _alike(sample, samples[ours])]
    if len(kin) < FEWEST_POOLED:
        return own
    variance = 2.0 * float(np.mean([seed_variance(samples[name]).value for name in kin]))
    return SeedNoise(
        Variance(variance, sum(samples[name].seeds - 1 for name in kin)), "methods", own.ratio, tuple(sorted(kin))
    )


def _alike(first: Sample, second: Sample) -> bool:
    alike = first.tuning == second.tuning and first.seeds == second.seeds
    return alike and not first.deterministic and first.seeds > 1
