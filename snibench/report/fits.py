"""Tables of a run's records: cost, failures, and caveats of a comparison."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from snibench.base.registry import METHODS
from snibench.base.wording import counted
from snibench.report.layouts import METHOD, ordered, present
from snibench.report.values import Column, Table
from snibench.store import what_to_do

if TYPE_CHECKING:
    from snibench.base.types import FitRecord, FitSpec
    from snibench.store import StoredRun

NOT_SEARCHED = "not searched"  # of a learning rate, in cells


def labels(results: StoredRun) -> list[str]:
    """Methods as tables call them, in the order in which they were run."""
    return list(dict.fromkeys(spec.label for spec in results.specs))


def controls(results: StoredRun) -> list[str]:
    """Labels of the untuned model and the floors, which stand above the methods, in the order of the run."""
    known = {*results.manifest.controls, *floors(results)}
    return [label for label in labels(results) if label in known]


def floors(results: StoredRun) -> list[str]:
    """Labels of what answers without a model: rows of every table, but no part of tests and ranks."""
    return list(dict.fromkeys(spec.label for spec in results.specs if spec.floor))


def label_of(results: StoredRun, asked: str) -> str:
    """The label under which ``asked`` is shown: another one where the two are names of one method."""
    known = labels(results)
    name, rest = _head(asked), asked[len(_head(asked)) :]
    if asked in known or name not in METHODS.names():
        return asked
    same = {alias + rest for alias in METHODS.aliases(name)}
    return next((label for label in known if label in same), asked)


def _head(label: str) -> str:
    """The method's name in a label, without settings, rule and sampler."""
    return re.split(r"[(+@]", label, maxsplit=1)[0]


def finished(results: StoredRun) -> list[str]:
    """Methods with at least one finished fit, in the order in which they were run."""
    answered = set(results.answers["method"].unique())
    return [label for label in labels(results) if label in answered]


def only(results: StoredRun, kept: Sequence[str]) -> StoredRun:
    """``results`` of these methods alone."""
    pairs = [pair for pair in zip(results.records, results.specs, strict=True) if pair[1].label in kept]
    return replace(
        results,
        answers=results.answers[results.answers["method"].isin(list(kept))].reset_index(drop=True),
        records=tuple(record for record, _ in pairs),
        specs=tuple(spec for _, spec in pairs),
    )


def done(results: StoredRun) -> list[tuple[FitRecord, FitSpec]]:
    """Finished fits."""
    return [pair for pair in zip(results.records, results.specs, strict=True) if pair[0].status == "done"]


def on_most_tasks(results: StoredRun) -> list[tuple[FitRecord, FitSpec]]:
    """Finished fits on the largest set of tasks, equally weighted: none on folds or on mixtures of two families."""
    fits = done(results)
    mixtures = [spec.mixture for _, spec in fits]
    largest = max(mixtures, key=lambda mixture: (len(mixture.tasks), not mixture.weights), default=None)
    return [pair for pair in fits if pair[1].mixture == largest]


# ------------------------------------------------------------------------------------- failures


def failed_fits(results: StoredRun) -> pd.DataFrame:
    """Fits that are not done: method, seed, status, stage, cause, fit."""
    rows = [
        (spec.label, spec.seed, record.status, record.stage, record.cause or "not recorded", record.fit)
        for record, spec in zip(results.records, results.specs, strict=True)
        if record.status != "done"
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "status", "stage", "cause", "fit"])


def failed_tables(failed: pd.DataFrame) -> list[Table]:
    """One table, or none if every fit is done."""
    if not len(failed):
        return []
    columns = (Column("status", "Status"), Column("stage", "Stage"), Column("cause", "Cause"), Column("fit", "Fit"))
    notes = (
        f"These fits take no part in any number or test. Each one's folder is named like the fit. "
        f"{what_to_do(failed['status'])}",
    )
    return [
        Table("failed", "Fits that are not done", failed, (METHOD, Column("seed", "Seed", "count")), columns, notes)
    ]


# ----------------------------------------------------------------------------------------- cost

_COST = (
    Column("trainable_parameters", "Trainable", "count", "lower"),
    Column("total_parameters", "All parameters", "count"),
    Column("seconds", "Tuning", "seconds", "lower"),
    Column("seconds_min", "Fastest", "seconds"),
    Column("seconds_max", "Slowest", "seconds"),
    Column("peak_memory", "Peak memory", "bytes", "lower"),
    Column("learning_rate", "Rate"),
    Column("device", "Device"),
    Column("fits", "Fits done"),
)


def costs(results: StoredRun) -> pd.DataFrame:
    """One row per method: fits done, and what one of them costs."""
    fits: dict[str, list[FitRecord]] = {}
    rates: dict[str, dict[str, None]] = {}
    for record, spec in zip(results.records, results.specs, strict=True):
        fits.setdefault(spec.label, []).append(record)
        if spec.trains and spec.recipe.learning_rate:
            mark = "" if spec.searched else f" ({NOT_SEARCHED})"
            rates.setdefault(spec.label, {})[f"{spec.recipe.learning_rate:g}{mark}"] = None
    rows = [_cost(label, records) for label, records in fits.items()]
    return pd.DataFrame([{**row, "learning_rate": ", ".join(rates.get(row["method"], ())) or None} for row in rows])


def _cost(label: str, fits: Sequence[FitRecord]) -> dict[str, Any]:
    finished = [record for record in fits if record.status == "done"]
    others = sorted({record.status for record in fits} - {"done"})
    row: dict[str, Any] = {"method": label, "fits": ", ".join([f"{len(finished)}/{len(fits)}", *others])}
    if not finished:
        return row
    seconds = [record.seconds for record in finished]
    return row | {
        "trainable_parameters": max(record.trainable_parameters for record in finished),
        "total_parameters": max(record.total_parameters for record in finished),
        "seconds": float(np.median(seconds)),  # a busy machine slows single fits
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "peak_memory": max(record.peak_memory for record in finished),
        "device": ", ".join(sorted({record.device for record in finished if record.device})),
    }


def cost_table(results: StoredRun, order: Sequence[str]) -> Table:
    """Cost of one fit of each method."""
    frame = costs(results)
    notes = ("Tuning alone, without conflict measurement and answering. Time: median over fits; memory: the highest.",)
    return ordered(Table("cost", "Cost of one fit", frame, (METHOD,), present(_COST, frame), notes), order)


# --------------------------------------------------------------------------------- the run itself


def public_name(spec: str) -> str:
    """A suite's or model's name without the folders that it lies in, which say more about a machine than about it."""
    path = PurePath(spec)
    return path.name if path.is_absolute() or path.parts[:1] in ((".",), ("..",)) else spec


def title(results: StoredRun) -> str:
    """Suite, model, budget and seeds on one line."""
    specs = results.specs
    suites = ", ".join(dict.fromkeys(public_name(spec.suite.name) for spec in specs))
    models = ", ".join(dict.fromkeys(public_name(spec.model.spec) for spec in specs))
    recipe = max((spec.recipe for spec in specs), key=lambda recipe: recipe.steps)
    seeds = len({spec.seed for spec in specs})
    steps = f"{recipe.steps} steps of {recipe.tasks_per_step} tasks x {recipe.instances_per_task} instances"
    return f"Suite {suites}, model {models}: {steps if recipe.steps else 'nothing tuned'}, {counted(seeds, 'seed')}"


def facts(results: StoredRun) -> dict[str, Any]:
    """Identity of suite, model, methods and recipe, on which the numbers depend, for exports."""
    specs = results.specs
    return {
        "suite": sorted({public_name(spec.suite.name) for spec in specs}),
        "suite_digest": sorted({spec.suite_digest for spec in specs}),
        "model": sorted({public_name(spec.model.spec) for spec in specs}),
        "model_digest": sorted({spec.model.digest for spec in specs}),
        "tokenizer_digest": sorted({spec.model.tokenizer_digest for spec in specs}),
        "methods": {spec.label: dict(spec.source) for spec in specs},
        "seeds": sorted({spec.seed for spec in specs}),
        "steps": sorted({spec.recipe.steps for spec in specs}),
        "train_formats": sorted({spec.train_format for spec in specs}),
        "precision": sorted({spec.precision for spec in specs}),
        "rows": len(results.answers),
    }


def run_notes(results: StoredRun) -> tuple[str, ...]:
    """Caveats of a comparison: unequal questions, budgets, software, fall-backs."""
    trained = [spec.recipe.steps for record, spec in done(results) if record.trainable_parameters]
    budgets = [f"Budgets differ between fits: {', '.join(map(str, sorted(set(trained))))} steps."]
    return (
        *results.manifest.notes,
        *_question_notes(results.answers),
        *(budgets if len(set(trained)) > 1 else ()),
        *_rate_notes(results),
        *_elsewhere_notes(results),
        *_version_notes(results),
        *_record_notes(results),
    )


def _rate_notes(results: StoredRun) -> list[str]:
    """Methods that were tuned with a rate that nobody searched for, where others' rates were."""
    searched = {spec.label: spec.searched for record, spec in done(results) if record.trainable_parameters}
    lacking = [label for label, known in searched.items() if not known]
    if not lacking or len(lacking) == len(searched):
        return []
    return [f"Learning rate not searched for, unlike the others': {', '.join(lacking)}. Give all one --tune-budget N."]


def _elsewhere_notes(results: StoredRun) -> list[str]:
    """Notes on rows that were tuned or answered outside of snibench."""
    known = dict.fromkeys((spec.label, spec.elsewhere) for spec in results.specs if spec.elsewhere)
    return [f"{label} was {origin}: every difference to it is one of that, too." for label, origin in known]


BELOW_FLOOR = "on seen tasks: tune for more steps before you compare methods."
UNEQUAL_QUESTIONS = "not all fits answered the same questions"  # in a note that changes how numbers are read
# Fewer questions are easily answered alike by chance.
_FEWEST_ALIKE = 20
_QUESTION = ("seed", "protocol", "format", "task", "instance", "variant", "stream", "position")


def equal_answers(results: StoredRun, baseline: str | None) -> tuple[str, ...]:
    """A sentence for each method that answers every question as the baseline does, by another fit."""
    skipped = {baseline, *controls(results)}
    notes = []
    for label in _about_alike(results, baseline) if baseline else ():
        alike = 0 if label in skipped else _answered_alike(results.answers, label, str(baseline))
        if alike >= _FEWEST_ALIKE:
            notes.append(f"{label}'s answers are the baseline's on all {alike:,} questions: is it wired in?")
    return tuple(notes)


def _about_alike(results: StoredRun, baseline: str) -> list[str]:
    """Methods with as many answers as the baseline under the same seeds, and about the same mean score.

    Rows are many and equal answers rare: the means, which are cheap, decide nearly always.
    """
    answers = results.answers
    sums = answers.groupby(["method", "seed"], sort=False, observed=True)["score"].agg(["sum", "size"])
    by_method = {str(name): own.droplevel("method") for name, own in sums.groupby(level="method", observed=True)}
    if baseline not in by_method:
        return []
    theirs, labels = by_method[baseline], []
    for label in finished(results):
        shared = by_method[label].index.intersection(theirs.index)
        apart = (by_method[label].loc[shared].sum() - theirs.loc[shared].sum()).abs()
        if len(shared) and apart["size"] == 0 and apart["sum"] < 1e-6:
            labels.append(label)
    return labels


def _answered_alike(answers: pd.DataFrame, first: str, second: str) -> int:
    """Questions that both methods were asked under the same seed, if all have equal answers; else 0."""
    mine, theirs = (answers[answers["method"] == label] for label in (first, second))
    shared = set(mine["seed"]) & set(theirs["seed"])
    mine, theirs = (some[some["seed"].isin(shared)] for some in (mine, theirs))
    if len(mine) != len(theirs):
        return 0
    columns = [*_QUESTION, "prediction", "score"]
    first_rows, second_rows = (some[columns].sort_values(list(_QUESTION)) for some in (mine, theirs))
    equal = np.array_equal(first_rows.astype(str).to_numpy(), second_rows.astype(str).to_numpy())
    return len(mine) if equal else 0


def _question_notes(answers: pd.DataFrame) -> list[str]:
    notes = []
    counts = answers.groupby(["protocol", "method", "seed"], sort=False, observed=True).size()
    for protocol, sizes in counts.reset_index(name="questions").groupby("protocol", sort=False, observed=True):
        sizes = sizes.sort_values(["questions", "method", "seed"])
        fewest, most = sizes.iloc[0], sizes.iloc[-1]
        if fewest["questions"] < most["questions"]:
            notes.append(
                f"Protocol {protocol}: {UNEQUAL_QUESTIONS} (the fewest: {fewest['method']}, "
                f"{fewest['questions']:,}; the most: {most['questions']:,}); only those that all answered are compared."
            )
    return notes


def _version_notes(results: StoredRun) -> list[str]:
    versions: dict[str, set[str]] = {}
    for record, _ in done(results):
        for name, version in record.versions.items():
            versions.setdefault(name, set()).add(version)
    differ = [f"{name} {' and '.join(sorted(values))}" for name, values in sorted(versions.items()) if len(values) > 1]
    return [f"Fits were made with different software: {'; '.join(differ)}."] if differ else []


def _record_notes(results: StoredRun) -> list[str]:
    said: dict[str, list[str]] = {}
    for record, spec in done(results):
        for note in record.notes:
            said.setdefault(note, []).append(spec.label)
    return [f"{', '.join(dict.fromkeys(labels))}: {note}" for note, labels in said.items()]
