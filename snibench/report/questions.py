"""Scores of all methods for each question of a report, as the statistics take them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from snibench.base.errors import SnibenchError
from snibench.base.hashing import canonical_json
from snibench.protocols.formats.measures import compared_formats, extremes
from snibench.protocols.gap.crossfit import of_split
from snibench.protocols.panel import (
    FEWEST_SOURCES,
    QUESTION,
    Floats,
    Panel,
    above_chance,
    by_task,
    comparable,
    panel,
    source_clusters,
    task_means,
    task_means_of,
    with_facts,
)
from snibench.report.fits import floors
from snibench.report.measures import as_planned, compared_rows
from snibench.report.values import QUESTIONS
from snibench.stats.power import Design
from snibench.stats.scopes import Sample, Side, Tuning
from snibench.stats.scores import Scores, with_lenders

if TYPE_CHECKING:
    from snibench.base.types import FitSpec
    from snibench.plan.plan import Plan
    from snibench.store import StoredRun

SPLITS = {"unseen": "unseen", "seen": "held_out"}  # question -> split of its answers


def tunings(results: StoredRun) -> dict[str, Tuning]:
    """Groups of methods whose seed noise may be pooled, by label.

    One recipe: the same model, tasks, format, budget and schedule, whatever the learning rate, which every method has
    of its own. The same adapter: as many trainable parameters.
    """
    sizes = {
        spec.label: str(record.trainable_parameters)
        for record, spec in zip(results.records, results.specs, strict=True)
        if record.status == "done"
    }
    return {spec.label: _tuning(spec, sizes.get(spec.label, "")) for spec in results.specs}


def _tuning(spec: FitSpec, adapter: str) -> Tuning:
    if spec.elsewhere:  # of a recipe that nobody knows: its seeds are its own
        return Tuning(recipe=f"{spec.elsewhere} {spec.label}")
    if not spec.trains:
        return Tuning(deterministic=True)
    recipe = replace(spec.recipe, learning_rate=0.0)
    design = [repr(recipe), spec.model.digest, spec.suite_digest, spec.train_format, spec.precision]
    return Tuning(recipe=canonical_json(design), adapter=adapter)


@dataclass(frozen=True)
class Questions:
    """Reads the scores of every question from the rows of a run; floors are left out, they take no part in tests."""

    results: StoredRun
    everyone: StoredRun | None = None  # further fits, whose seed noise may be pooled with theirs

    @cached_property
    def _all(self) -> Questions | None:
        return None if self.everyone is None else Questions(self.everyone)

    @cached_property
    def tunings(self) -> dict[str, Tuning]:
        """Tuning of each method, by label."""
        return tunings(self.results)

    @cached_property
    def sources(self) -> dict[str, str]:
        """The independent unit of each task."""
        return {str(task): str(source) for task, source in source_clusters(self.results.tasks).items()}

    @cached_property
    def floors(self) -> frozenset[str]:
        """Labels of what answers without a model."""
        return frozenset(floors(self.results))

    def _rows(self, protocol: str) -> pd.DataFrame:
        return self.results.asked_by(protocol)

    def _sample(self, method: str, *sides: Side) -> Sample:
        return Sample(sides, self.tunings[method])

    def _methods(self, shared: Panel) -> list[str]:
        return [method for method in shared.methods if method not in self.floors]

    # ------------------------------------------------------------------------------ seen, unseen, gap

    def split(self, question: str, *, floors_too: bool = False) -> Scores | None:
        """Scores on unseen tasks, or on held-out instances of seen ones ("seen"); None without answers."""
        if question not in self._splits:
            self._splits[question] = self._split(question)
        scores = self._splits[question]
        if scores is None or floors_too:
            return scores
        return replace(scores, methods={name: one for name, one in scores.methods.items() if name not in self.floors})

    @cached_property
    def _splits(self) -> dict[str, Scores | None]:
        return {}

    def _split(self, question: str) -> Scores | None:
        rows = self._rows("gap")
        rows = rows[of_split(rows) & (rows["split"] == SPLITS[question]).to_numpy()]
        shared = panel(rows, questions=("task", "instance", "format"))
        if not len(shared.questions):
            return None
        names = shared.questions["task"]
        tasks = tuple(map(str, np.sort(names.unique())))
        scores = Scores(
            methods={
                method: self._sample(method, side)
                for method, side in _sides(
                    {method: shared.values("score", method=method) for method in shared.methods}, names
                ).items()
            },
            tasks=tasks,
            clusters=(self._clusters(tasks),),
            excluded=tuple(sorted(set(map(str, rows["task"].unique())) - set(tasks))),
        )
        return with_lenders(scores, self._all.split(question)) if self._all else scores

    def gap(self) -> Scores | None:
        """Scores on seen tasks and on unseen ones, from the fits that answered both; None without both."""
        seen, unseen = self.split("seen"), self.split("unseen")
        if seen is None or unseen is None:
            return None
        both = {
            method: self._sample(method, *sample.sides, *unseen.methods[method].sides)
            for method, sample in seen.methods.items()
            if method in unseen.methods and sample.seeds == unseen.methods[method].seeds
        }
        scores = Scores(both, seen.tasks, (*seen.clusters, *unseen.clusters), (*seen.excluded, *unseen.excluded))
        return with_lenders(scores, self._all.gap()) if self._all else scores

    # ------------------------------------------------------------------------------ other protocols

    @cached_property
    def further(self) -> dict[str, str]:
        """Protocols with a verdict of their own, and what it is on; those that are not installed have none."""
        titles = {}
        for name in dict.fromkeys(map(str, self.results.answers["protocol"].unique())):
            with suppress(SnibenchError):  # a report says which cannot be shown
                if on := as_planned(name, self.results).verdict_on:
                    titles[name] = on
        return titles

    def title(self, question: str) -> str:
        """Subject of a question, in words."""
        return QUESTIONS.get(question) or self.further[question]

    def of_protocol(self, name: str) -> Scores | None:
        """Scores by what protocol ``name`` compares, mean over tasks; None without common questions."""
        rows = self._rows(name)
        try:
            rows = compared_rows(as_planned(name, self.results), rows)
        except Exception:  # which a note of the report names
            return None
        shared = panel(rows, questions=QUESTION)
        if not len(shared.questions):
            return None
        names = shared.questions["task"]
        tasks = tuple(map(str, np.sort(names.unique())))
        by_method = {method: shared.values("score", method=method) for method in self._methods(shared)}
        scores = Scores(
            {method: self._sample(method, side) for method, side in _sides(by_method, names).items()},
            tasks,
            (self._clusters(tasks),),
            tuple(sorted(set(map(str, rows["task"].unique())) - set(tasks))),
        )
        return with_lenders(scores, self._all.of_protocol(name)) if self._all else scores

    # --------------------------------------------------------------------------------------- formats

    @cached_property
    def _in_formats(self) -> tuple[Panel, list[str]] | None:
        rows = self._rows("formats")
        shared = panel(rows, fits=("method", "format", "seed"), questions=("task", "instance"))
        formats = compared_formats(shared) if len(shared.questions) else []
        return (shared, formats) if formats else None

    def formats(self) -> dict[str, Scores]:
        """Scores by measure: their mean over formats, in the worst format of each task, and the spread."""
        if self._in_formats is None:
            return {}
        shared, formats = self._in_formats
        names = shared.questions["task"]
        samples: dict[str, dict[str, Sample]] = {"mean": {}, "worst": {}, "spread": {}}
        means: dict[str, Floats] = {}
        for method in self._methods(shared):
            values = np.stack([shared.values("score", method=method, format=name) for name in formats])  # [F, S, Q]
            means[method] = values.mean(axis=0)
            top, bottom = extremes(task_means(values, names))
            samples["worst"][method] = self._sample(method, Side(bottom))
            samples["spread"][method] = self._sample(method, Side(top - bottom))
        samples["mean"] = {method: self._sample(method, side) for method, side in _sides(means, names).items()}
        others = self._all.formats() if self._all else {}
        return {
            measure: with_lenders(self._of_formats(shared, scores), others.get(measure))
            for measure, scores in samples.items()
        }

    def by_format(self) -> dict[str, Scores]:
        """Scores in each format that all fits answered."""
        if self._in_formats is None:
            return {}
        shared, formats = self._in_formats
        names = shared.questions["task"]
        others = self._all.by_format() if self._all else {}

        def scores(format: str) -> Scores:
            values = {method: shared.values("score", method=method, format=format) for method in self._methods(shared)}
            sides = _sides(values, names)
            return self._of_formats(shared, {method: self._sample(method, side) for method, side in sides.items()})

        return {format: with_lenders(scores(format), others.get(format)) for format in formats}

    def _of_formats(self, shared: Panel, methods: Mapping[str, Sample]) -> Scores:
        tasks = tuple(map(str, np.sort(shared.questions["task"].unique())))
        return Scores(methods, tasks, (self._clusters(tasks),))

    # ---------------------------------------------------------------------------------------- combos

    @cached_property
    def _in_combos(self) -> tuple[Panel, pd.DataFrame] | None:
        rows = self._rows("combos")
        rows = rows[~rows["variant"].str.contains('"mixture"', regex=False).to_numpy(dtype=bool)]
        if not len(rows):
            return None
        parts = pd.DataFrame([json.loads(text) for text in rows["variant"].unique()], index=rows["variant"].unique())
        shared = panel(
            rows.join(parts, on="variant"),
            questions=("combo", "schedule", "history", "stream", "position"),
            facts=("task",),
        )
        return (shared, with_facts(shared.questions, self.results.tasks)) if len(shared.questions) else None

    def combos(self) -> Scores | None:
        """Scores of each task above chance, over all combos and histories: one unit for exact match and ROUGE-L."""
        if self._in_combos is None:
            return None
        shared, questions = self._in_combos
        compared = questions[questions["informative"]]
        if not len(compared):
            return None
        chance, tasks = (
            compared["chance"].to_numpy(dtype=np.float64),
            tuple(map(str, np.sort(compared["task"].unique()))),
        )
        methods = {}
        for method in self._methods(shared):
            values = above_chance(shared.values("score", method=method)[:, compared.index], chance)
            methods[method] = self._sample(method, Side(task_means(values, compared["task"])))
        scores = Scores(methods, tasks, (self._clusters(tasks),))
        return with_lenders(scores, self._all.combos()) if self._all else scores

    def by_combo(self) -> Iterator[tuple[dict[str, str], Scores]]:
        """Scores of every combo, schedule and history, in its metric."""
        if self._in_combos is None:
            return
        shared, questions = self._in_combos
        others = {tuple(names.values()): scores for names, scores in self._all.by_combo()} if self._all else {}
        for combo, members in questions.groupby("combo"):
            metric, compared = comparable(members)
            for (schedule, history), part in compared.groupby(["schedule", "history"]):
                names = {"combo": str(combo), "schedule": str(schedule), "history": str(history), "metric": metric}
                yield names, with_lenders(self._streams(shared, part), others.get(tuple(names.values())))

    def _streams(self, shared: Panel, questions: pd.DataFrame) -> Scores:
        """Scores whose unit is the source, or with too few of them the stream."""
        unit = "source" if questions["source"].nunique() >= FEWEST_SOURCES else "stream"
        zero = questions["zero"].to_numpy(dtype=np.float64)
        return Scores(
            methods={
                method: self._sample(
                    method, Side(above_chance(shared.values("score", method=method)[:, questions.index], zero))
                )
                for method in self._methods(shared)
            },
            tasks=tuple(map(str, questions["task"])),
            clusters=(questions[unit].astype(str).tolist(),),
        )

    def _clusters(self, tasks: tuple[str, ...]) -> list[str]:
        return [self.sources[task] for task in tasks]


def design_of(design: Plan, seeds: int) -> Design:
    """Number of unseen tasks that a planned run asks, and of questions for each."""
    unseen = {
        one.question
        for fit in design.fits
        for part in fit.questions
        for one in part.rendered
        if part.protocol == "gap" and one.question.split == "unseen"
    }
    tasks = len({question.task for question in unseen})
    return Design(tasks, max(1, round(len(unseen) / max(1, tasks))), seeds)


def _sides(values: Mapping[str, Floats], tasks: pd.Series[str]) -> dict[str, Side]:
    """By method, from ``values`` [S, Q] of questions that are sorted by task."""
    means = task_means_of(values, tasks)
    return {method: Side(means[method], tuple(by_task(own, tasks))) for method, own in values.items()}
