"""The report of a run: a pure function of its stored rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from snibench.base.errors import unknown
from snibench.report.comparison import comparison_tables
from snibench.report.fits import (
    conflict,
    conflict_tables,
    controls,
    cost_table,
    costs,
    facts,
    failed_fits,
    failed_tables,
    finished,
    floors,
    labels,
    run_notes,
    shown_as,
    title,
)
from snibench.report.layouts import METHOD, ordered, present
from snibench.report.measures import Measures, against, measured, protocol_tables
from snibench.report.rates import rate_tables
from snibench.report.values import Column, Report, Table, rows_digest

if TYPE_CHECKING:
    from snibench.store import Results

BASELINE = "unified-prompt"


def build(results: Results, baseline: str | None = None) -> Report:
    """Every table of ``results``: summary, failures, comparison with the baseline, protocols, conflict, cost.

    Row 0 of every table is the untuned model, where it was run. Methods are compared on the questions that all of
    them answered. Fits that are not done are listed with their cause and take no part in any number.

    Args:
        results: What ``store.load_results`` reads.
        baseline: Label of the method that others are compared with. None: what the run asked for, else
            ``unified-prompt``, else the untuned model.

    Raises:
        UsageError: If ``baseline`` has no finished fit.
    """
    chosen, notes = _baseline(results, baseline)
    order = _order(results, chosen)
    measures, faults = measured(results)
    failed = failed_fits(results)
    return Report(
        title=title(results),
        tables=(
            _summary(results, measures, order),
            *failed_tables(failed),
            *comparison_tables(results, chosen, order),
            *(ordered(against(table, chosen), order) for table in protocol_tables(measures)),
            *conflict_tables(results, order),
            cost_table(results, order),
            *rate_tables(results),
        ),
        notes=(*notes, *faults, *run_notes(results)),
        failed=failed,
        baseline=chosen,
        rows_digest=rows_digest(results.answers),
        facts=facts(results),
    )


# ------------------------------------------------------------------------------- who, in which order


def _baseline(results: Results, asked: str | None) -> tuple[str, tuple[str, ...]]:
    """The baseline's label, empty if there is none, and a note if it is not the one that the run asked for."""
    there = [label for label in finished(results) if label not in floors(results)]
    if asked is not None:
        asked = shown_as(results, asked)
        if asked not in there:
            raise unknown("baseline", asked, there)
        return asked, ()
    planned = results.manifest.baseline
    by_method = {spec.method: spec.label for spec in reversed(results.specs) if spec.label in there}
    wishes = (planned, by_method.get(BASELINE), by_method.get("untuned"))
    found = next((str(wish) for wish in wishes if wish in there), "")
    if planned and found != planned:
        return found, (f"The baseline '{planned}' has no finished fit; compared with '{found or 'nothing'}' instead.",)
    return found, ()


def _order(results: Results, baseline: str) -> list[str]:
    """Labels: controls, the baseline, then the others as they were run."""
    return list(dict.fromkeys([*controls(results), *([baseline] if baseline else []), *labels(results)]))


# -------------------------------------------------------------------------------------- summary

SUMMARY = (
    Column("seen", "Seen", "percent", "higher", "seen_low", "seen_high"),
    Column("unseen", "Unseen", "percent", "higher", "unseen_low", "unseen_high"),
    Column("gap", "Gap", "difference", "lower", "gap_low", "gap_high"),
    Column("formats", "Formats", "percent", "higher", "formats_low", "formats_high"),
    Column("spread", "Spread", "points", "lower", "spread_low", "spread_high"),
    Column("combos", "Combos", "percent", "higher", "combos_low", "combos_high"),
    Column("conflict", "Conflict", "number", "lower", "conflict_low", "conflict_high"),
    Column("conflict_raw", "Raw conflict", "number", "lower"),
    Column("trainable_parameters", "Trainable", "count", "lower"),
    Column("seconds", "Time", "seconds", "lower"),
    Column("peak_memory", "Memory", "bytes", "lower"),
    Column("fits", "Fits done"),
)
_NOTES = {
    "seen": "Seen: held-out instances of tasks that were tuned on; unseen: other tasks; gap: seen - unseen. Means over "
    "tasks of exact match or ROUGE-L, whichever is the task's own.",
    "spread": "Formats: mean over formats; spread: best minus worst format of a task, mean over tasks.",
    "combos": "Combos: median score of streams that switch between two families of tasks, mean over those combos and "
    "histories that are scored by the metric that most have.",
    "conflict": "Conflict: between the tasks' gradients at the end of tuning; cross-fitted, so that it is unbiased and "
    "may leave [0, 1] a little. Raw: the plain formula, biased.",
    "seconds": "Time: tuning one fit, mean over seeds. Memory: the highest peak.",
}
_OF_FORMATS = {"mean": "formats", "mean_low": "formats_low", "mean_high": "formats_high", "spread_mean": "spread"}
_OF_CONFLICT = {
    "score": "conflict",
    "score_low": "conflict_low",
    "score_high": "conflict_high",
    "score_raw": "conflict_raw",
}


def _summary(results: Results, measures: Measures, order: Sequence[str]) -> Table:
    """One row per method, also where none of its fits is done."""
    parts = [
        _frame(measures, ("gap", "gap")),
        _frame(measures, ("formats", "format_spread")).rename(columns=_OF_FORMATS),
        _frame(measures, ("combos", "combo_means")).rename(columns={"median": "combos"}),
        conflict(results).query("share == 1").rename(columns=_OF_CONFLICT),
        costs(results),
    ]
    frame = pd.DataFrame({"method": list(order)})
    for part in parts:
        fields = [name for column in SUMMARY for name in column.fields if name in part and name not in frame]
        frame = frame.merge(part[["method", *fields]], on="method", how="left")
    columns = present(SUMMARY, frame)
    notes = tuple(note for field, note in _NOTES.items() if field in {column.field for column in columns})
    return Table("summary", "Summary", frame, (METHOD,), columns, notes)


def _frame(measures: Measures, name: tuple[str, str]) -> pd.DataFrame:
    return measures.get(name, pd.DataFrame({"method": pd.Series(dtype=str)}))
