"""A report as a file: Markdown and LaTeX show what the terminal shows, CSV and JSON carry fractions in full."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from snibench.base.version import __version__
from snibench.report.cells import grid, missing, printable
from snibench.store import require_file_place, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from snibench.report.values import Report, Table

LONGEST = 2000  # characters of a note


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to the file ``path``, all or nothing.

    Raises:
        StoreError: If ``path`` is a folder, or the disk does not take it.
    """
    require_file_place(path)
    write_whole(path, lambda new: new.write_text(text, encoding="utf-8"))


def to_json(report: Report) -> str:
    """``report`` as JSON text: what ``as_json`` says."""
    return json.dumps(as_json(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_json(report: Report) -> dict[str, Any]:
    """``report`` as JSON values: every column of every table, fractions, raw and adjusted p, NaN as null."""
    return {
        "snibench": __version__,
        "title": report.title,
        "baseline": report.baseline or None,
        "rows_digest": report.rows_digest,
        "facts": _plain(report.facts),
        "verdicts": [_plain({**asdict(verdict), "sentence": verdict.sentence}) for verdict in report.verdicts],
        "notes": list(report.notes),
        "tables": {table.name: _table_json(table) for table in report.tables},
        "failed": rows_as_json(report.failed),
    }


def _table_json(table: Table) -> dict[str, Any]:
    shown = (*table.keys, *table.columns)
    return {
        "title": table.title,
        "protocol": table.protocol or None,
        "keys": [key.field for key in table.keys],
        "columns": {
            column.field: {"title": column.title, "unit": column.unit, "better": column.better or None}
            for column in shown
        },
        "rows": rows_as_json(table.frame),
        "notes": list(table.notes),
    }


def rows_as_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of ``frame`` as JSON values: no NumPy, NaN as null."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    """``value`` without NumPy, tuples and numbers that JSON has not."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if missing(value) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, str | int | float) else str(value)


def csv_text(report: Report) -> str:
    """One tidy table: table, its keys, measure, value, low, high. Fractions in full precision."""
    keys = list(dict.fromkeys(key.field for table in report.tables for key in table.keys))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", *keys, "measure", "value", "low", "high"])
    for table in report.tables:
        own = {key.field for key in table.keys}
        ends = {column.field: (column.low, column.high) for column in table.columns}
        inside = own | {end for pair in ends.values() for end in pair}
        for row in rows_as_json(table.frame):
            names = [_csv_cell(row.get(key) if key in own else None) for key in keys]
            for name in (field for field in row if field not in inside):
                low, high = ends.get(name, ("", ""))
                values = [_csv_cell(row.get(field)) for field in (name, low, high)]
                writer.writerow([table.name, *names, name, *values])
    return out.getvalue()


def frame_csv(frame: pd.DataFrame) -> str:
    """``frame`` as CSV as it is: fractions in full precision, an empty cell for what is missing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([str(name) for name in frame.columns])
    for row in rows_as_json(frame):
        writer.writerow([_csv_cell(value) for value in row.values()])
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    # A spreadsheet runs what starts like a formula.
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return "" if value is None else value


def markdown_text(report: Report) -> str:
    """Every table in GitHub's Markdown."""
    parts = [f"# {_markdown(report.title)}"]
    if report.verdicts:
        parts.append("\n".join(f"- {_markdown(verdict.sentence)}" for verdict in report.verdicts))
    for table in report.shown:
        cells = grid(table)
        heads = (" ".join(part for part in heading if part) for heading in cells.headings)
        rule = ("---:" if numeric else "---" for numeric in cells.numeric)
        lines = [_line(map(_markdown, heads)), _line(rule), *(_line(map(_markdown, row)) for row in cells.rows)]
        notes = [f"- {_markdown(note)}" for note in table.notes]
        parts += [f"## {_markdown(cells.title)}", "\n".join(lines), *(["\n".join(notes)] if notes else [])]
    if report.notes:
        parts.append("\n".join(f"- {_markdown(note)}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_|<>&~#])", r"\\\1", printable(text, LONGEST))
    return escaped.replace("](", "]\\(")


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", "↑": r"$\uparrow$",
    "↓": r"$\downarrow$", "Δ": r"$\Delta$", "–": "--", "−": "$-$", "±": r"$\pm$", "∞": r"$\infty$", "…": r"\dots{}",
    "�": "?",
}  # fmt: skip


def latex_text(report: Report) -> str:
    """Every table as a ``tabular`` for the package booktabs: a short caption, a label, footers as comments."""
    parts = ["% \\usepackage{booktabs}"]
    for table in report.shown:
        cells = grid(table)
        align = "".join("r" if numeric else "l" for numeric in cells.numeric)
        heads = [[_latex(heading[line]) for heading in cells.headings] for line in (0, 1)]
        parts.append(
            "\n".join(
                [
                    *(f"% {printable(note, LONGEST)}" for note in table.notes),
                    r"\begin{table}",
                    r"\centering",
                    rf"\caption{{{_latex(cells.title)}.}}",
                    rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', table.name)}}}",
                    rf"\begin{{tabular}}{{{align}}}",
                    r"\toprule",
                    *(" & ".join(line) + r" \\" for line in heads if any(line)),
                    r"\midrule",
                    *(" & ".join(map(_latex, row)) + r" \\" for row in cells.rows),
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in printable(text, LONGEST))


WRITERS: Mapping[str, Callable[[Report], str]] = {
    "md": markdown_text,
    "latex": latex_text,
    "csv": csv_text,
    "json": to_json,
}
