"""A report that fits one screen: the verdicts, one summary, one comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from snibench.base.errors import unknown
from snibench.base.wording import counted
from snibench.report.fits import BELOW_FLOOR, NOT_SEARCHED, UNEQUAL_QUESTIONS
from snibench.report.values import Asked, Report, Table, Verdict
from snibench.store import what_to_do

FULL_VERDICTS = 2  # methods; with more of them each has its verdict on the first question alone
SUMMARY = ("seen", "unseen", "gap", "formats", "combos", "conflict")
COMPARED: Asked = "unseen"  # the question whose comparison is shown
_COMPARISON = {
    "comparison_unseen": ("delta", "outcome", "mde", "wins", "group"),
    "comparison": ("first", "second", "delta", "outcome", "mde"),
}
_DAGGER = " †"
_RATE_NOTE = (
    "†: its learning rate was not searched for with this model size, optimizer and schedule; --tune-budget N searches "
    "for all alike."
)
_MORE = "Every table, footer and note: --all. What the words mean: --explain. A page with figures: --as html."


def brief(report: Report) -> Report:
    """The part of ``report`` to read first; what is left out is counted in its last note."""
    tables = [
        *(_shortened(table, (*SUMMARY, *table.headlines)) for table in report.tables if table.name == "summary"),
        *(_shortened(table, _COMPARISON[table.name]) for table in report.tables if table.name in _COMPARISON),
    ]
    return replace(report, tables=tuple(tables), verdicts=_first(report.verdicts), notes=_notes(report))


def picked(report: Report, tables: Sequence[str], columns: Sequence[str]) -> Report:
    """``report`` with some of its tables, by name, and some of their columns, by field; all where none are named.

    Raises:
        UsageError: If a table, or a column in every one of them, is not there.
    """
    names = [table.name for table in report.tables]
    for name in tables:
        if name not in names:
            raise unknown("table", name, names)
    chosen = [table for table in report.tables if not tables or table.name in tables]
    fields = list(dict.fromkeys(column.field for table in chosen for column in table.columns))
    for field in columns:
        if field not in fields:
            raise unknown("column", field, fields)
    if columns:
        kept = [(table, tuple(column for column in table.columns if column.field in columns)) for table in chosen]
        chosen = [replace(table, columns=own) for table, own in kept if own]
    return replace(report, tables=tuple(chosen), verdicts=() if tables else report.verdicts)


def _shortened(table: Table, fields: tuple[str, ...]) -> Table:
    """``table`` with some of its columns, in their order; without footers, and in a summary without intervals."""
    columns = [column for column in table.columns if column.field in fields]
    if table.name == "summary":
        columns = [replace(column, low="", high="") for column in columns]
    frame = table.frame[table.frame["delta"].notna()] if "delta" in table.frame else table.frame
    kept = tuple(note for note in table.notes if note.endswith(BELOW_FLOOR))
    short = replace(table, frame=frame, columns=tuple(columns), notes=kept)
    return _marked(short) if table.name == "summary" else short


def _marked(summary: Table) -> Table:
    """``summary`` with a dagger behind each method whose learning rate was not searched for, and what it means."""
    frame = summary.frame
    if "learning_rate" not in frame:
        return summary
    lacking = frame["learning_rate"].astype("string").str.contains(NOT_SEARCHED, regex=False).fillna(False)
    if not lacking.any():
        return summary
    names = frame["method"].where(~lacking.astype(bool), frame["method"] + _DAGGER)
    return replace(summary, frame=frame.assign(method=names), notes=(*summary.notes, _RATE_NOTE))


def _first(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Verdicts on tasks like these, and those on this suite for the first question."""
    methods = list(dict.fromkeys(verdict.method for verdict in verdicts))
    first = verdicts[0].question if verdicts else ""
    like_these = [v for v in verdicts if v.scope == "tasks like these" or v.question == first]
    if len(methods) > FULL_VERDICTS:
        return tuple(v for v in like_these if v.question == first and v.scope == "tasks like these")
    return tuple(like_these)


def _notes(report: Report) -> tuple[str, ...]:
    """Notes: fits that failed and why, caveats of a comparison, and the way to the rest."""
    failed = len(report.failed)
    notes = []
    if failed:
        notes.append(f"{counted(failed, 'fit')} of this run {'is' if failed == 1 else 'are'} not done.")
        notes += [
            f"{', '.join(dict.fromkeys(some['method']))} ({stage or 'not begun'}): {cause}"
            for (stage, cause), some in report.failed.groupby(["stage", "cause"], sort=False)
        ]
        notes.append(what_to_do(report.failed["status"]))
    if report.notes:
        shown = [*report.notes[:1], *(note for note in report.notes[1:] if UNEQUAL_QUESTIONS in note)]
        notes += [f"{counted(len(report.notes), 'note')} on this run: {shown[0]}", *shown[1:]]
    return (*notes, _MORE)
