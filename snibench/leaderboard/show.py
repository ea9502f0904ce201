"""A board as tables: measured entries, and apart from them what papers reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from snibench.report.layouts import METHOD, present
from snibench.report.tables import SUMMARY
from snibench.report.values import Column, Report, Table

# column of the summary -> protocol and measure
_MEASURES = {
    "seen": ("gap", "seen"),
    "unseen": ("gap", "unseen"),
    "gap": ("gap", "gap"),
    "formats": ("formats", "mean"),
    "spread": ("formats", "spread_mean"),
    "combos": ("combos", "median"),
}
_DETAILS = (Column("seeds", "Seeds", "count"), Column("version", "Version"), Column("source", "Source"))
_NOTE = "Sorted by the mean on unseen tasks; where intervals overlap, the order may be chance."


def board_report(board: dict[str, Any], path: Path) -> Report:
    """The valid board read from ``path`` as a report."""
    titles = {"measured": "Measured", "reported": "Reported elsewhere, not measured here"}
    tables = tuple(
        _table(status, title, [entry for entry in board["entries"] if entry["status"] == status])
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


def _table(name: str, title: str, entries: list[dict[str, Any]]) -> Table:
    frame = pd.DataFrame([_row(entry) for entry in entries])
    frame = frame.sort_values("unseen", ascending=False, na_position="last", ignore_index=True)
    columns = tuple(column for column in SUMMARY if column.field != "fits") + _DETAILS
    return Table(name, title, frame, (replace(METHOD, field="label"),), present(columns, frame), (_NOTE,))


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"label": entry["label"]}
    for name, (protocol, measure) in _MEASURES.items():
        found = entry["metrics"].get(protocol, {}).get("overall", {}).get(measure, {})
        for field, key in ((name, "mean"), (f"{name}_low", "ci_low"), (f"{name}_high", "ci_high")):
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
        "seconds": cost.get("seconds"),
        "peak_memory": cost.get("peak_memory_bytes"),
        "seeds": len(entry["seeds"]) or None,
        "version": entry["version"],
        "source": entry["source"],
    }
