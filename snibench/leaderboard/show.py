"""A board as tables: measured entries, and apart from them what papers reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from snibench.base.errors import SnibenchError
from snibench.base.registry import PROTOCOLS
from snibench.report.layouts import METHOD, present, summary_columns
from snibench.report.tables import OF_RECORDS
from snibench.report.values import Column, Report, Table

_DETAILS = (Column("seeds", "Seeds", "count"), Column("version", "Version"), Column("source", "Source"))
_NOTE = "Sorted by {}; where intervals overlap, the order may be chance."


@dataclass(frozen=True, slots=True)
class _Measures:
    """The measures of a board that stand in its tables: (protocol, field) -> column; ``headline``: to sort by."""

    columns: dict[tuple[str, str], Column]
    headline: Column | None


def board_report(board: dict[str, Any], path: Path) -> Report:
    """The valid board read from ``path`` as a report."""
    titles = {"measured": "Measured", "reported": "Reported elsewhere, not measured here"}
    measures = _summary_measures(board["protocols"])
    tables = tuple(
        _table(status, title, measures, [entry for entry in board["entries"] if entry["status"] == status])
        for status, title in titles.items()
        if any(entry["status"] == status for entry in board["entries"])
    )
    versions = ", ".join(f"{name} {version}" for name, version in board["protocols"].items())
    return Report(
        title=f"{path.name}: suite {board['suite']['name']}, model {board['model']['name']}, protocols {versions}",
        tables=tables,
        notes=() if tables else ("The board has no entries.",),
        failed=pd.DataFrame(),
        baseline="",
        rows_digest="",
        facts={name: board[name] for name in ("suite", "model", "protocols")},
    )


def _summary_measures(protocols: Iterable[str]) -> _Measures:
    """Summary columns of those ``protocols`` that are installed."""
    columns: dict[tuple[str, str], Column] = {}
    headlines = []
    for protocol in protocols:
        try:
            frames = PROTOCOLS.get(protocol).frames.values()
        except SnibenchError:
            continue
        for frame in frames:
            columns |= {(protocol, field): column for field, column in summary_columns(frame).items()}
            headlines += [columns[protocol, frame.headline]] if frame.headline in frame.summary else []
    return _Measures(columns, headlines[0] if headlines else None)


def _table(name: str, title: str, measures: _Measures, entries: list[dict[str, Any]]) -> Table:
    frame = pd.DataFrame([_row(entry, measures) for entry in entries])
    notes: tuple[str, ...] = ()
    if (headline := measures.headline) is not None:
        down = headline.better != "lower"
        frame = frame.sort_values(headline.field, ascending=not down, na_position="last", ignore_index=True)
        notes = (_NOTE.format(headline.title),)
    columns = (*measures.columns.values(), *(column for column in OF_RECORDS if column.field != "fits"), *_DETAILS)
    return Table(name, title, frame, (replace(METHOD, field="label"),), present(columns, frame), notes)


def _rate(budget: dict[str, Any], config: dict[str, Any]) -> str | None:
    """The learning rates, marked where the entry says that they were not searched for."""
    found = budget.get("learning_rate")
    rates = [
        f"{rate:g}"
        for rate in (found if isinstance(found, list) else [found])
        if isinstance(rate, int | float) and rate
    ]
    mark = " (not searched)" if config.get("rate_searched") is False else ""
    return ", ".join(rates) + mark if rates else None


def _row(entry: dict[str, Any], measures: _Measures) -> dict[str, Any]:
    row: dict[str, Any] = {"label": entry["label"]}
    for (protocol, measure), column in measures.columns.items():
        found = entry["metrics"].get(protocol, {}).get("overall", {}).get(measure, {})
        for field, key in ((column.field, "mean"), (column.low, "ci_low"), (column.high, "ci_high")):
            value = found.get(key)
            row[field] = float("nan") if value is None else float(value)
    end = (entry["conflict"] or {}).get("1", {})
    cost = entry["cost"] or {}
    return row | {
        "conflict": end.get("score"),
        "conflict_low": end.get("score_low"),
        "conflict_high": end.get("score_high"),
        "conflict_raw": end.get("score_raw"),
        "trainable_parameters": cost.get("trainable_parameters"),
        "learning_rate": _rate(entry["budget"] or {}, entry["config"] or {}),
        "seconds": cost.get("seconds"),
        "peak_memory": cost.get("peak_memory_bytes"),
        "seeds": len(entry["seeds"]) or None,
        "version": entry["version"],
        "source": entry["source"],
    }
