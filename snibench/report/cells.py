"""Values as a person reads them. The only place that writes percent and points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snibench.base.wording import terminal_safe
from snibench.report.values import Column, Table, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MISSING = "–"
LONGEST_TITLE = 300
LONGEST = 120  # characters of a text from a data file, a plugin or an exception
ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}
UNITS: dict[Unit, str] = {"percent": "%", "difference": "points", "points": "points"}


def printable(text: object, longest: int = LONGEST) -> str:
    """``text`` on one line, without control characters, cut at ``longest`` characters."""
    clean = terminal_safe(str(text)[: longest + 1]).strip()
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def missing(value: Any) -> bool:
    """Whether there is nothing to show: None, NaN, NA."""
    # pandas' NA has no truth value; whether this is it is asked without importing pandas.
    return value is None or type(value).__name__ == "NAType" or value != value


def cell(row: Mapping[Any, Any], column: Column) -> str:
    """Text of ``column`` for ``row``: ``value``, ``value [low, high]``, or a dash where there is none."""
    value = row.get(column.field)
    if missing(value):
        return MISSING
    text = worded(column.field, value) if column.unit == "text" else number(value, column.unit)
    low, high = row.get(column.low), row.get(column.high)
    if not missing(low) and not missing(high):
        text += f" [{number(low, column.unit)}, {number(high, column.unit)}]"
    if column.also:
        text = "/".join([text, *(MISSING if missing(row.get(f)) else number(row[f], column.unit) for f in column.also)])
    marked = row.get(column.mark)
    return f"{text} *" if not missing(marked) and bool(marked) else text


def worded(field: str, value: Any) -> str:
    """A text as a person reads it: metrics by their usual names, formats without underscores."""
    if field == "metric" and str(value) in _WORDS:
        return _WORDS[str(value)]
    text = number(value, "text")
    return text.replace("_", " ") if field == "format" else text


_ZERO = {"percent": 0.0005, "points": 0.0005, "difference": 0.0005, "share": 0.005, "number": 0.005}  # shown as 0
_WORDS = {"exact_match": "exact match", "rouge_l": "ROUGE-L", "above_chance": "above chance"}


def number(value: Any, unit: Unit) -> str:
    """``value`` in ``unit``; text for ``text``."""
    if unit == "text":
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else printable(value)
    value = float(value)
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    value += 0.0 if abs(value) >= _ZERO.get(unit, 0.0) else -value  # never -0.0
    match unit:
        case "percent" | "points":
            return f"{100 * value:.1f}"
        case "share":
            return f"{100 * value:.0f}%"
        case "difference":
            return f"{100 * value:+.1f}"
        case "number":
            return f"{value:.2f}"
        case "count":
            return f"{value:,.0f}"
        case "p":
            return "<0.001" if value < 0.001 else f"{value:.3f}"
        case "seconds":
            return (
                f"{value:.1f} s"
                if value < 100
                else f"{value / 60:.1f} min"
                if value < 6000
                else f"{value / 3600:.1f} h"
            )
        case "bytes":
            return f"{value / 2**20:,.0f} MiB" if value < 10 * 2**30 else f"{value / 2**30:.1f} GiB"


def heading(column: Column, records: Sequence[Mapping[Any, Any]]) -> tuple[str, str]:
    """The two lines above a column: its title with an arrow towards better, and its unit."""
    interval = "[95% CI]" if any(not missing(row.get(column.low)) for row in records) else ""
    unit = " ".join(part for part in (UNITS.get(column.unit, ""), interval) if part)
    return printable(column.title) + ARROWS[column.better], unit


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as text: two heading lines a column, then rows; the first ``keys`` columns name the row.

    A key with one value in all rows is no column: it is said in ``title``.
    """

    title: str
    headings: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    keys: int
    numeric: tuple[bool, ...]
    better: tuple[str, ...] = ()  # "higher" or "lower" where a star says which, "" elsewhere


def grid(table: Table) -> Grid:
    """The cells of ``table`` as every rendering shows them."""
    records: list[dict[Any, Any]] = table.frame.to_dict("records")
    constant = _constant_keys(table, records)
    keys = tuple(key for key in table.keys if key not in constant and key.field != table.across)
    said = "; ".join(f"{key.title.lower()} {cell(records[0], key)}" for key in constant)
    title = printable(f"{table.title} ({said})" if said else table.title, LONGEST_TITLE)
    if table.across:
        return _pivoted(table, records, keys, title)
    columns = (*keys, *table.columns)
    return Grid(
        title=title,
        headings=tuple(heading(column, records) for column in columns),
        rows=tuple(tuple(cell(row, column) for column in columns) for row in records),
        keys=len(keys),
        numeric=tuple(column.unit != "text" for column in columns),
        better=tuple(column.better if column.mark == "significant" else "" for column in columns),
    )


def _constant_keys(table: Table, records: Sequence[Mapping[Any, Any]]) -> tuple[Column, ...]:
    """Keys that do not tell rows apart; at least one key stays."""
    if len(records) < 2:
        return ()
    constant = [key for key in table.keys[:-1] if len({cell(row, key) for row in records}) == 1]
    return tuple(key for key in constant if key.field not in (table.across, "method"))


def _pivoted(table: Table, records: list[dict[Any, Any]], keys: tuple[Column, ...], title: str) -> Grid:
    column = table.columns[0]
    values = list(dict.fromkeys(row[table.across] for row in records))
    cells: dict[tuple[str, ...], dict[Any, str]] = {}
    for row in records:
        cells.setdefault(tuple(cell(row, key) for key in keys), {})[row[table.across]] = cell(row, column)
    below = (heading(column, records)[1] + ARROWS[column.better]).strip()
    return Grid(
        title=title,
        headings=(*(heading(key, records) for key in keys), *((printable(value, 40), below) for value in values)),
        rows=tuple(
            (*key, *(cells_of_row.get(value, MISSING) for value in values)) for key, cells_of_row in cells.items()
        ),
        keys=len(keys),
        numeric=(*(key.unit != "text" for key in keys), *(column.unit != "text" for _ in values)),
    )
