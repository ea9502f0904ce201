"""A board as tables: ranked entries, incomplete ones, and apart from them what papers reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from snibench.base.registry import installed_names
from snibench.leaderboard.columns import Measures, board_measures, compared_on
from snibench.leaderboard.validate import incomplete
from snibench.report.layouts import METHOD, present
from snibench.report.tables import OF_RECORDS
from snibench.report.values import Column, Report, Table

if TYPE_CHECKING:
    from snibench.leaderboard.pool import Board

TITLES = {
    "ranked": "Measured",
    "incomplete": "Incomplete, so without rank and test",
    "reported": "Reported elsewhere, not measured here",
}
AGAINST = (
    Column("rank", "Rank", "number", "lower"),
    Column("group", "Group"),
    Column("delta", "Δ baseline", "difference", "higher", "delta_low", "delta_high", mark="significant"),
    Column("outcome", "Outcome"),
)
_LACKS = (Column("lacks", "Lacks"),)
_DETAILS = (Column("seeds", "Seeds", "count"), Column("version", "Version"), Column("source", "Source"))
_SORTED = "Sorted by {}; where intervals overlap, the order may be chance."
_COMPARED = (
    "Δ, outcome, rank and group are those on {}, against {}, among all complete entries. Entries that share a letter "
    "are not separated; a star: both tests find a difference."
)


@installed_names()
def board_report(board: Board, path: Path) -> Report:
    """The valid board read from ``path`` as a report."""
    measures = board_measures(board)
    places = {kind: [one for one in board["entries"] if place_of(board, one) == kind] for kind in TITLES}
    tables = tuple(_table(kind, title, measures, board, places[kind]) for kind, title in TITLES.items() if places[kind])
    versions = ", ".join(
        name + (f" {one['version']}" if one["version"] else "") for name, one in board["protocols"].items()
    )
    return Report(
        title=f"{path.name}: suite {board['suite']['name']}, model {board['model']['name']}, protocols {versions}",
        tables=tables,
        notes=() if tables else ("The board has no entries.",),
        failed=pd.DataFrame(),
        baseline=board["baseline"] or "",
        rows_digest="",
        facts={name: board[name] for name in ("suite", "model", "protocols", "limit")},
    )


def place_of(board: Board, entry: dict[str, Any]) -> str:
    """The table that ``entry`` stands in: ranked, incomplete, or reported."""
    if entry["status"] == "reported":
        return "reported"
    return "incomplete" if incomplete(board, entry) else "ranked"


def headline_question(board: Board) -> str | None:
    """The question that boards rank by: the first that was compared."""
    return next(iter(compared_on(board)), None)


def _table(state: str, title: str, measures: Measures, board: Board, entries: list[dict[str, Any]]) -> Table:
    question = headline_question(board) if state == "ranked" else None
    compared = {row["label"]: row for row in board["comparisons"].get(question or "", ())}
    frame = pd.DataFrame([row_of(entry, measures, compared.get(entry["label"], {})) for entry in entries])
    frame["lacks"] = ["; ".join(incomplete(board, one)) if state == "incomplete" else None for one in entries]
    notes: tuple[str, ...] = ()
    if measures.headline is not None:
        headline = measures.summary[measures.headline]
        down = headline.better != "lower"
        frame = frame.sort_values(headline.field, ascending=not down, na_position="last", ignore_index=True)
        notes = (_SORTED.format(headline.title),)
    if question:
        notes += (_COMPARED.format(compared_on(board)[question], board["baseline"]),)
    records = tuple(column for column in OF_RECORDS if column.field != "fits")
    columns = (*measures.summary.values(), *AGAINST, *_LACKS, *records, *_DETAILS)
    return Table(state, title, frame, (replace(METHOD, field="label"),), present(columns, frame), notes)


def _rate(budget: dict[str, Any], config: dict[str, Any]) -> str | None:
    """The learning rates, marked where the entry says that they were not searched for."""
    chosen = budget.get("learning_rate")
    rates = [
        f"{rate:g}"
        for rate in (chosen if isinstance(chosen, list) else [chosen])
        if isinstance(rate, int | float) and rate
    ]
    mark = " (not searched)" if config.get("rate_searched") is False else ""
    return ", ".join(rates) + mark if rates else None


def row_of(entry: dict[str, Any], measures: Measures, compared: dict[str, Any]) -> dict[str, Any]:
    """Row of ``entry`` in tables; ``compared``: its row of the comparison, empty if it has none."""
    row: dict[str, Any] = {"label": entry["label"]}
    for (protocol, measure), column in measures.summary.items():
        values = entry["metrics"].get(protocol, {}).get("overall", {}).get(measure, {})
        for field, key in ((column.field, "mean"), (column.low, "ci_low"), (column.high, "ci_high")):
            value = values.get(key)
            row[field] = float("nan") if value is None else float(value)
    end = (entry["conflict"] or {}).get("1", {})
    cost = entry["cost"] or {}
    lost = entry["forgetting"] or {}
    return (
        row
        | {name: compared.get(name) for name in ("delta", "delta_low", "delta_high", "outcome", "rank", "group")}
        | {
            "significant": bool(compared.get("significant")),
            "conflict": end.get("score"),
            "conflict_low": end.get("score_low"),
            "conflict_high": end.get("score_high"),
            "conflict_raw": end.get("score_raw"),
            "forgetting": lost.get("mean"),
            "forgetting_low": lost.get("ci_low"),
            "forgetting_high": lost.get("ci_high"),
            "trainable_parameters": cost.get("trainable_parameters"),
            "learning_rate": _rate(entry["budget"] or {}, entry["config"] or {}),
            "seconds": cost.get("seconds"),
            "peak_memory": cost.get("peak_memory_bytes"),
            "seeds": len(entry["seeds"]) or None,
            "version": entry["version"],
            "source": entry["source"],
        }
    )
