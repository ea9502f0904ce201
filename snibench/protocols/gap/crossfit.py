"""Mode ``crossfit`` of protocol ``gap``: every task asked of a fit that saw it and of one that did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import nan
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from snibench.base.errors import UsageError
from snibench.base.hashing import canonical_json
from snibench.base.types import Ask, Mixture, Question, SuiteData
from snibench.protocols.choice import chosen_seen, held_out_questions
from snibench.protocols.frames import Frames
from snibench.protocols.gap.settings import Settings
from snibench.protocols.panel import (
    FEWEST_SOURCES,
    Bools,
    Floats,
    above_chance,
    mean,
    panel,
    source_clusters,
    task_means,
    with_facts,
)
from snibench.stats.estimates import DIFFERENCE, SHARE
from snibench.stats.intervals import difference_interval, mean_interval


def crossfit_asks(suite: SuiteData, settings: Settings, limit: int | None) -> Iterator[Ask]:
    """Two fits on half of the seen tasks each, both asked the same instances of tasks of both halves."""
    halves = folds(suite, settings.seed)
    questions = [
        question
        for task in chosen_seen(suite, settings.tasks, settings.seed)
        for question in held_out_questions(suite, "gap", task, settings.format, settings.instances, limit)
    ]
    for number, half in enumerate(halves):
        variant = canonical_json({"fold": number})
        yield Ask(Mixture(half), tuple(_asked(question, variant, question.task in half) for question in questions))


def _asked(question: Question, variant: str, seen: bool) -> Question:
    return replace(question, variant=variant, seen=seen, split="held_out" if seen else "unseen")


def folds(suite: SuiteData, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The seen tasks in two halves without a common source, each in the suite's order.

    Tasks that share a source, even indirectly, stay together. Larger groups are dealt first, each to the half that has
    fewer tasks of its categories, then to the one with fewer tasks, so that the halves are alike.

    Raises:
        UsageError: If all seen tasks share a source.
    """
    cards = [suite.tasks[task].card for task in suite.seen]
    sources = source_clusters(
        pd.DataFrame({"task": [card.name for card in cards], "sources": [card.sources for card in cards]})
    )
    groups = sorted(sources.groupby(sources).groups.items())
    Random(f"{seed}|folds").shuffle(groups)
    dealt: tuple[set[str], set[str]] = (set(), set())
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for _, group in sorted(groups, key=lambda item: -len(item[1])):
        categories = Counter(suite.tasks[task].card.category for task in group)
        half = min((0, 1), key=lambda i: (sum(counts[i][name] for name in categories), len(dealt[i])))
        dealt[half].update(group)
        counts[half].update(categories)
    if not all(dealt):
        raise UsageError(
            "The gap by cross-fitting needs seen tasks of at least two sources, but all of them share one. "
            "Choose more tasks, or leave --gap crossfit out."
        )
    first, second = (tuple(task for task in suite.seen if task in half) for half in dealt)
    return first, second


# ------------------------------------------------------------------------------------ measures


def of_split(answers: pd.DataFrame) -> Bools:
    """Mask of the answers of protocol ``gap`` that are of its mode ``split``."""
    if "variant" not in answers:
        return np.ones(len(answers), dtype=bool)
    return ~answers["variant"].str.contains('"fold"', regex=False).to_numpy(dtype=bool)


def crossfit_frames(answers: pd.DataFrame, tasks: pd.DataFrame) -> Frames:
    """``gap_crossfit``, and the same by category, by pair of methods and by task, over the questions of both halves."""
    shared = panel(answers, questions=("task", "instance", "format", "seen"))
    twins = shared.questions.groupby(["task", "instance", "format"])["seen"].transform("size").to_numpy() == 2
    names = shared.questions.loc[twins, "task"].to_numpy()[::2]
    about = with_facts(pd.DataFrame({"task": np.unique(names)}), tasks).merge(tasks[["task", "category"]], on="task")
    methods = {
        # Sorted by ``seen`` last: of every two columns the first is of the fit that did not see the task.
        method: _Both.of(shared.values("score", method=method)[:, twins], names)
        for method in shared.methods
    }
    seeds = shared.fits.groupby("method")["seed"].agg(list)
    every = np.ones(len(about), dtype=bool)
    categories = about[["category", "metric"]].drop_duplicates().sort_values(["category", "metric"]).to_dict("records")
    groups = [(category, (about[list(category)] == category).all(axis=1).to_numpy()) for category in categories]
    makers: dict[str, Callable[[], pd.DataFrame]] = {
        "gap_crossfit": lambda: pd.DataFrame(
            {"method": name, **one.row(about, every, 2)} for name, one in methods.items()
        ),
        "gap_crossfit_categories": lambda: pd.DataFrame(
            {"method": name, **category, **one.row(about, chosen, FEWEST_SOURCES)}
            for category, chosen in groups
            for name, one in methods.items()
        ),
        "gap_crossfit_differences": lambda: pd.DataFrame(
            _differences(methods, about["source"].tolist()), columns=["method", "versus", "difference", "low", "high"]
        ),
        "gap_crossfit_tasks": lambda: pd.DataFrame(
            row for name, one in methods.items() for row in one.task_rows(name, about, seeds[name])
        ),
    }
    return Frames(makers)


@dataclass(frozen=True)
class _Both:
    """Scores of one method on each task when it was seen and when it was not, ``[S, T]`` each."""

    seen: Floats
    unseen: Floats

    @classmethod
    def of(cls, values: Floats, tasks: Any) -> _Both:
        """``values`` [S, 2 Q]: not seen and seen in turns; ``tasks`` [Q]."""
        names = pd.Series(tasks)
        return cls(task_means(values[:, 1::2], names), task_means(values[:, ::2], names))

    @property
    def gap(self) -> Floats:
        """``[S, T]`` what not having trained on a task costs it."""
        return self.seen - self.unseen

    def row(self, about: pd.DataFrame, chosen: Bools, fewest: int) -> dict[str, float]:
        """Means over the chosen tasks, with intervals if there are at least ``fewest`` sources."""
        sources = about["source"][chosen].tolist()
        row: dict[str, float] = {}
        sides = (("seen", self.seen, SHARE), ("unseen", self.unseen, SHARE), ("gap", self.gap, DIFFERENCE))
        for name, values, bounds in sides:
            row |= {name: mean(values[:, chosen]), f"{name}_low": nan, f"{name}_high": nan}
            if len(set(sources)) >= fewest:
                level = mean_interval(values[:, chosen], clusters=sources, bounds=bounds)
                row |= {f"{name}_low": level.low, f"{name}_high": level.high}
        fair = chosen & about["informative"].to_numpy()
        chance = about["chance"].to_numpy(dtype=np.float64)[fair]
        normalised = {
            f"{name}_normalised": mean(above_chance(values[:, fair], chance))
            for name, values in (("seen", self.seen), ("unseen", self.unseen))
        }
        return {
            **row,
            "relative_gap": row["gap"] / row["seen"] if row["seen"] else nan,
            **normalised,
            "gap_normalised": normalised["seen_normalised"] - normalised["unseen_normalised"],
            "n_tasks": int(chosen.sum()),
            "n_sources": len(set(sources)),
            "n_seeds": len(self.seen),
        }

    def task_rows(self, method: str, about: pd.DataFrame, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
        """One row per task and seed."""
        for (row, column), seen in np.ndenumerate(self.seen):
            names = {"method": method, "task": about["task"].iloc[column], "seed": seeds[row]}
            yield {**names, "seen": seen, "unseen": self.unseen[row, column], "gap": self.gap[row, column]}


def _differences(
    methods: Mapping[str, _Both], sources: Sequence[str]
) -> Iterator[tuple[str, str, float, float, float]]:
    """The gap of each method minus that of each other, paired by task."""
    for (first, ours), (second, theirs) in permutations(methods.items(), 2):
        interval = difference_interval(ours.gap, theirs.gap, clusters=sources)
        yield first, second, interval.value, interval.low, interval.high
