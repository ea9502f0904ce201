"""The report of a run: a pure function of its stored rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from snibench.base.errors import unknown
from snibench.plan import defaults
from snibench.report import brief
from snibench.report.comparison import comparison_table, comparison_tables
from snibench.report.conflict import conflict_points, conflict_tables
from snibench.report.fits import (
    BELOW_FLOOR,
    controls,
    cost_table,
    costs,
    done,
    equal_answers,
    facts,
    failed_fits,
    failed_tables,
    finished,
    floors,
    label_of,
    labels,
    only,
    run_notes,
    title,
)
from snibench.report.forgetting import COLUMN, NOTE, forgetting, forgetting_tables
from snibench.report.layouts import METHOD, distinct, ordered, present, summary_columns
from snibench.report.measures import Measured, against, measured, protocol_tables
from snibench.report.parts import part_tables
from snibench.report.questions import Questions
from snibench.report.rates import rate_tables
from snibench.report.values import SCOPES, Asked, Column, Frame, Report, Scope, Table, rows_digest
from snibench.report.verdicts import each_summary, summaries, verdicts

if TYPE_CHECKING:
    from snibench.stats.summary import Summary
    from snibench.store import StoredRun


def build(results: StoredRun, baseline: str | None = None, *, everyone: StoredRun | None = None) -> Report:
    """Every table of ``results``: summary, failures, comparison with the baseline, protocols, conflict, cost.

    Row 0 of every table whose rows are methods is the untuned model, where it was run. Methods are compared on the
    questions that all of them answered. Fits that are not done are listed with their cause and take no part in any
    number.

    Args:
        results: What ``store.load_results`` reads.
        baseline: Label of the method that others are compared with. None: what the run asked for, else
            the default baseline, else the untuned model.
        everyone: Further fits, whose seed noise may be pooled with that of ``results``; they are not shown.

    Raises:
        UsageError: If ``baseline`` has no finished fit.
    """
    chosen, notes = baseline_of(results, baseline)
    order = _order(results, chosen)
    measures, faults = measured(results)
    failed = failed_fits(results)
    questions = Questions(results, everyone)
    by_question = summaries(questions, chosen) if chosen else {}
    tables = (
        _summary(results, measures, order),
        *failed_tables(failed),
        *comparison_tables(questions, by_question, chosen, order),
        *part_tables(results),
        *(ordered(against(table, chosen), _across(table, order, results)) for table in protocol_tables(measures)),
        *conflict_tables(results, order),
        cost_table(results, order),
        *forgetting_tables(results, order),
        *rate_tables(results),
    )
    return Report(
        title=title(results),
        tables=distinct(tables),
        notes=(*notes, *faults, *run_notes(results), *equal_answers(results, chosen)),
        failed=failed,
        baseline=chosen,
        rows_digest=rows_digest(results.answers),
        verdicts=verdicts(by_question, chosen, _judged(questions, order), further=questions.further),
        facts=facts(results),
    )


def build_brief(results: StoredRun, baseline: str | None = None, *, everyone: StoredRun | None = None) -> Report:
    """The part of ``build`` that ``brief`` shows; nothing else is computed, so an export of it would lack tables.

    Raises:
        UsageError: If ``baseline`` has no finished fit.
    """
    chosen, notes = baseline_of(results, baseline)
    order = _order(results, chosen)
    measures, faults = measured(results)
    questions = Questions(results, everyone)
    judged = _judged(questions, order)
    by_question, scopes = _few_summaries(questions, chosen, judged) if chosen else ({}, SCOPES)
    tables = [
        _summary(results, measures, order, (*brief.SUMMARY, *_headlines(measures), "learning_rate")),
        *(
            comparison_table(questions, summary, question, chosen, whole=False)
            for question, summary in by_question.items()
            if question == brief.COMPARED
        ),
    ]
    return brief.brief(
        Report(
            title=title(results),
            tables=tuple(tables),
            notes=(*notes, *faults, *run_notes(results), *equal_answers(results, chosen)),
            failed=failed_fits(results),
            baseline=chosen,
            rows_digest="",
            verdicts=verdicts(by_question, chosen, judged, scopes=scopes, further=questions.further),
        )
    )


def _judged(questions: Questions, order: Sequence[str]) -> list[str]:
    """The methods that get a verdict: those that were tuned."""
    return [label for label in order if not questions.tunings[label].deterministic]


def _few_summaries(
    questions: Questions, baseline: str, judged: Sequence[str]
) -> tuple[dict[Asked, Summary], Sequence[Scope]]:
    """The comparisons and scopes whose verdicts are shown: with many methods the first question's alone."""
    if len(judged) > brief.FULL_VERDICTS:
        question, summary = next(each_summary(questions, baseline, suite_power=False), (None, None))
        if question and summary and sum(label in summary.comparisons for label in judged) > brief.FULL_VERDICTS:
            return {question: summary}, SCOPES[:1]
    return summaries(questions, baseline), SCOPES


# ------------------------------------------------------------------------------- who, in which order


def selected(results: StoredRun, methods: Sequence[str], baseline: str | None = None) -> StoredRun:
    """``results`` of ``methods``, of the baseline and of the controls; all of them if none is named.

    Raises:
        UsageError: If one of them is not there.
    """
    if not methods:
        return results
    there = labels(results)
    wanted = [label_of(results, method) for method in methods]
    for label in wanted:
        if label not in there:
            raise unknown("method", label, there)
    return only(results, [*controls(results), baseline_of(results, baseline)[0], *wanted])


def baseline_of(results: StoredRun, requested: str | None = None) -> tuple[str, tuple[str, ...]]:
    """The baseline's label, empty if there is none, and a note if it is not the one that the run asked for."""
    there = [label for label in finished(results) if label not in floors(results)]
    if requested is not None:
        requested = label_of(results, requested)
        if requested not in there:
            raise unknown("baseline", requested, there)
        return requested, ()
    planned = results.manifest.baseline
    by_method = {spec.method: spec.label for spec in reversed(results.specs) if spec.label in there}
    wishes = (planned, by_method.get(defaults.METHOD), *controls(results))
    baseline = next((str(wish) for wish in wishes if wish in there), "")
    if planned and baseline != planned:
        return baseline, (
            f"The baseline '{planned}' has no finished fit; compared with '{baseline or 'nothing'}' instead.",
        )
    return baseline, ()


def _order(results: StoredRun, baseline: str) -> list[str]:
    """Labels: controls, the baseline, then the others as they were run."""
    return list(dict.fromkeys([*controls(results), *([baseline] if baseline else []), *labels(results)]))


def _across(table: Table, order: Sequence[str], results: StoredRun) -> Sequence[str]:
    """``order``, with controls last where methods are columns: those under test stand next to the name of a row."""
    first = controls(results)
    return order if table.across != "method" else [*(one for one in order if one not in first), *first]


# -------------------------------------------------------------------------------------- summary

OF_RECORDS = (
    Column("conflict", "Conflict", "number", "lower", "conflict_low", "conflict_high", mark="unresolved"),
    Column("conflict_raw", "Raw conflict", "number", "lower"),
    COLUMN,
    Column("trainable_parameters", "Trainable", "count", "lower"),
    Column("learning_rate", "Rate"),
    Column("seconds", "Time", "seconds", "lower"),
    Column("peak_memory", "Memory", "bytes", "lower"),
    Column("fits", "Fits done"),
)
_NOTES = {
    "conflict": "Conflict: between the tasks' gradients at the end of tuning; cross-fitted, so that it is unbiased and "
    "may leave [0, 1] a little. Raw: the plain formula, biased. A star: too noisy to read.",
    "forgetting": NOTE,
    "learning_rate": "Rate: the learning rate; not searched: not chosen for this method with this model size, "
    "optimizer and schedule (--tune-budget N does).",
    "seconds": "Time: tuning one fit, median over seeds. Memory: the highest peak.",
}
_OF_CONFLICT = {
    "score": "conflict",
    "score_low": "conflict_low",
    "score_high": "conflict_high",
    "score_raw": "conflict_raw",
}


def _summary(
    results: StoredRun, measures: Sequence[Measured], order: Sequence[str], wanted: Collection[str] | None = None
) -> Table:
    """One row per method, also where none of its fits is done; ``wanted``: only these fields, by default all."""
    described = [column for _, _, layout in _in_summary(measures) for column in summary_columns(layout).values()]
    columns = [column for column in (*described, *OF_RECORDS) if wanted is None or column.field in wanted]
    shown = {column.field for column in columns}
    parts = [
        *(
            _summarised(own.frames[name], layout)
            for own, name, layout in _in_summary(measures)
            if shown & {column.field for column in summary_columns(layout).values()}
        ),
        *([_last_conflict(results)] if shown & {"conflict", "conflict_raw"} else []),
        *([forgetting(results)] if COLUMN.field in shown else []),
        costs(results),
    ]
    frame = pd.DataFrame({"method": list(order)})
    for part in parts:
        fields = [name for column in columns for name in column.fields if name in part and name not in frame]
        frame = frame.merge(part[["method", *dict.fromkeys(fields)]], on="method", how="left")
    there = present(columns, frame)
    shown = {column.field for column in there}
    notes = (
        *_below_a_floor(results, frame),
        *(layout.summary_note for _, _, layout in _in_summary(measures) if layout.summary_note),
        *(note for field, note in _NOTES.items() if field in shown),
    )
    return Table("summary", "Summary", frame, (METHOD,), there, notes, headlines=_headlines(measures))


def _below_a_floor(results: StoredRun, summary: pd.DataFrame) -> list[str]:
    """A sentence where every tuned method scores below a baseline that reads no model."""
    if "seen" not in summary:
        return []
    seen = summary.set_index("method")["seen"].dropna()
    trivial = seen[seen.index.isin(floors(results))]
    tuned = seen[seen.index.isin({spec.label for record, spec in done(results) if record.trainable_parameters})]
    if not len(trivial) or not len(tuned) or tuned.max() >= trivial.max():
        return []
    return [
        f"Every tuned method scores below {trivial.idxmax()} ({100 * trivial.max():.1f} %), which uses no model, "
        f"{BELOW_FLOOR}"
    ]


def _headlines(measures: Sequence[Measured]) -> tuple[str, ...]:
    """The summary's fields that protocols call their headline."""
    return tuple(
        summary_columns(layout)[layout.headline].field
        for _, _, layout in _in_summary(measures)
        if layout.headline in layout.summary
    )


def _last_conflict(results: StoredRun) -> pd.DataFrame:
    """The gradient conflict at the end of tuning, with the names of its columns in the summary."""
    return conflict_points(results).query("share == 1").rename(columns=_OF_CONFLICT)


def _in_summary(measures: Sequence[Measured]) -> list[tuple[Measured, str, Frame]]:
    """The frames that have columns for the summary."""
    return [
        (own, name, layout)
        for own in measures
        for name, layout in own.layouts.items()
        if layout.summary and len(own.frames.get(name, ()))
    ]


def _summarised(frame: pd.DataFrame, layout: Frame) -> pd.DataFrame:
    """``frame`` with the names that its columns have in the summary."""
    by_field = {column.field: column for column in layout.columns}
    named: dict[str, str] = {}
    for field, column in summary_columns(layout).items():
        own = by_field[field]
        named |= {own.field: column.field, own.low: column.low, own.high: column.high}
    return frame[["method", *(name for name in named if name in frame)]].rename(columns=named)
