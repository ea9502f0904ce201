"""Scores of all methods on the same questions, and what is asked of them in more than one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan, nan

import numpy as np

from snibench.stats.arrays import Floats
from snibench.stats.estimates import DIFFERENCE
from snibench.stats.scopes import Comparison, Sample, Side, compare, pooled_noise

DOMINANT = 1 / 3  # a source with more of the tasks than this makes the scope "tasks like these" unsafe


@dataclass(frozen=True)
class Scores:
    """Scores of all methods on the same questions.

    ``clusters`` names the source of every task, for each side; None: every task is its own. ``tasks`` are those of the
    first side. ``excluded`` are tasks that some method or seed has not answered. ``lenders`` answered the same
    questions and are not compared, but their seed noise may be pooled with that of the methods that are.
    """

    methods: Mapping[str, Sample]
    tasks: tuple[str, ...]
    clusters: tuple[Sequence[str] | None, ...] = (None,)
    excluded: tuple[str, ...] = ()
    lenders: Mapping[str, Sample] = field(default_factory=dict)

    @property
    def paired(self) -> bool:
        """Whether the question is about one group of tasks, so that each task gives one difference."""
        return all(len(sample.sides) == 1 for sample in self.methods.values())


def compared(
    scores: Scores, ours: str, theirs: str, *, level: float = 0.95, bounds: tuple[float, float] = DIFFERENCE
) -> Comparison:
    """``ours`` minus ``theirs`` in both scopes, with the seed noise of all methods that may lend theirs.

    Differences that do not vary at all have no interval: a variance of 0 was not measured, it was not seen.
    """
    first, second = scores.methods[ours], scores.methods[theirs]
    found = compare(
        first,
        second,
        clusters=scores.clusters,
        pool=pooled_noise({**scores.lenders, **scores.methods}, ours, theirs),
        level=level,
        bounds=bounds,
    )
    same = _only_score(first, second)
    like_these, suite = (
        estimate and (estimate.without_interval() if estimate.noiseless or not isnan(same) else estimate)
        for estimate in (found.like_these, found.suite)
    )
    assert like_these is not None
    return replace(found, like_these=like_these, suite=suite, same=same)


def _only_score(*samples: Sample) -> float:
    """The score of every question under every seed if there is but one, else NaN."""
    tables = [table for sample in samples for side in sample.sides for table in (side.instances or (side.table,))]
    first = float(tables[0].flat[0])
    return first if all((table == first).all() for table in tables) else nan


def with_lenders(scores: Scores, everyone: Scores | None) -> Scores:
    """``scores`` of some methods, with those of ``everyone`` as lenders where they are of the very same questions."""
    if everyone is None or everyone.tasks != scores.tasks or everyone.clusters != scores.clusters:
        return scores
    shapes = {
        tuple((side.table.shape[1], *(task.shape[1] for task in side.instances)) for side in sample.sides)
        for sample in (*scores.methods.values(), *everyone.methods.values())
    }
    if len(shapes) != 1:
        return scores
    return replace(scores, lenders={name: one for name, one in everyone.methods.items() if name not in scores.methods})


def only_tasks(scores: Scores, kept: Sequence[int]) -> Scores:
    """``scores`` on some tasks of one group, by their numbers."""
    sources = scores.clusters[0]

    def part(sample: Sample) -> Sample:
        (side,) = sample.sides
        instances = tuple(side.instances[index] for index in kept) if side.instances else ()
        return Sample((Side(side.table[:, list(kept)], instances),), sample.tuning)

    return Scores(
        methods={name: part(sample) for name, sample in scores.methods.items()},
        tasks=tuple(scores.tasks[index] for index in kept),
        clusters=(None if sources is None else [sources[index] for index in kept],),
        lenders={name: part(sample) for name, sample in scores.lenders.items()},
    )


def dominant_source(scores: Scores) -> tuple[str, float] | None:
    """The source that holds over a third of the tasks of a side, with its share; None if there is none."""
    for sources in scores.clusters:
        names = [] if sources is None else list(sources)
        for name in sorted(set(names)):
            if (share := names.count(name) / len(names)) > DOMINANT and share < 1.0:
                return name, share
    return None


def task_means(sample: Sample) -> Floats:
    """``[T]`` means over seeds, of the first side."""
    return np.asarray(sample.sides[0].table.mean(axis=0))
