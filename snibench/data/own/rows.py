"""Rows of one's own data: CSV, TSV and JSON-lines files, each row an input with its outputs."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any

from snibench.base import reading
from snibench.base.errors import DataError
from snibench.base.reading import quoted
from snibench.base.wording import counted
from snibench.data.json_lines import LARGEST_FILE, BadLine, every_line
from snibench.data.task_faults import LONGEST_TEXT

SUFFIXES = (".csv", ".tsv", ".jsonl")
COLUMNS = "input and output, and maybe task, category, definition, output_2"
# A column by its names; the first is the one that messages use.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "input": ("input",),
    "output": ("output",),
    "task": ("task",),
    "category": ("category", "family"),
    "definition": ("definition", "instruction"),
}
_FURTHER_OUTPUT = re.compile(r"output[ _-]?\d+")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_TASK_NAME = 200  # characters; it may become a file's name


@dataclass(frozen=True, slots=True)
class Row:
    """One instance. An empty ``task`` is that of the file, an empty ``category`` or ``definition`` none."""

    where: str  # file and line
    input: str
    outputs: tuple[str, ...]
    task: str = ""
    category: str = ""
    definition: str = ""
    padded: bool = False  # an output had blanks around it


@dataclass(frozen=True, slots=True)
class RowFault:
    """A fault that keeps a row from being an instance."""

    where: str
    message: str  # a sentence

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def read_rows(path: Path) -> Iterator[Row | RowFault]:
    """The rows of the file ``path``, by the ending of its name.

    Raises:
        DataError: If the file as a whole cannot be used: missing, empty, not UTF-8, no such columns; says what to do.
    """
    empty = True
    for one in _json_rows(path) if path.suffix.lower() == ".jsonl" else _table_rows(path):
        empty = False
        yield one
    if empty:
        raise DataError(f"{path} holds no row. Write a row for each instance, with {COLUMNS}.")


# ------------------------------------------------------------------------------------ from files


def _table_rows(path: Path) -> Iterator[Row | RowFault]:
    lines = csv.reader(StringIO(text := _text(path), newline=""), delimiter=_delimiter(path, text), strict=True)
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_TEXT + 1))
    columns: dict[str, str] = {}
    header: list[str] = []
    while True:
        where = f"{path}, line {lines.line_num + 1}"
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise DataError(
                f"{where} is not a row of a table: {error}. Put texts with commas, quotes or line breaks in double "
                "quotes, and write a quote inside twice."
            ) from None
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = [cell.strip() for cell in cells]
            try:
                columns = _columns(header)
            except _NotThere as fault:
                raise DataError(f"{path} {fault}") from None
        elif len(cells) != len(header):
            sizes = f"has {counted(len(cells), 'cell')}, but the header {len(header)}"
            many = "Put texts with commas in double quotes."
            few = "Write the missing ones; one that is empty needs its separator, too."
            yield RowFault(where, f"{sizes}. {many if len(cells) > len(header) else few}")
        else:
            record = dict(zip(header, cells, strict=True))
            yield _row(where, {column: record[name] for name, column in columns.items()})


def _text(path: Path) -> str:
    try:
        content = reading.read_bytes(path, LARGEST_FILE)
        if content.startswith(_UTF16):
            raise reading.Unreadable("is UTF-16")
        return reading.decoded(content)
    except reading.Unreadable as error:
        raise DataError(f"{path} {error}. Check the path, or save it as UTF-8 (in a spreadsheet: CSV UTF-8).") from None


def _delimiter(path: Path, text: str) -> str:
    """A tab for .tsv; else what stands most often in the header, as spreadsheets of many countries write ";"."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header.count)


def _json_rows(path: Path) -> Iterator[Row | RowFault]:
    with_task = ""  # the first line that names its task
    for line in every_line(path):
        if isinstance(line, BadLine):
            yield RowFault(line.where, line.message)
            continue
        try:
            columns = _columns(list(line.values))
        except _NotThere as fault:
            yield RowFault(line.where, str(fault))
            continue
        if "task" in columns.values():
            with_task = with_task or line.where
        elif with_task:
            yield RowFault(line.where, f"has no 'task', unlike {Path(with_task).name}. Name it, or drop the line.")
            continue
        yield _row(line.where, {column: line.values[name] for name, column in columns.items()})


class _NotThere(Exception):
    """Columns that are missing or there twice; the message completes "FILE ..."."""


def _columns(names: Sequence[str]) -> dict[str, str]:
    """Name in the file -> ``Row``'s name, of those that are read.

    Raises:
        _NotThere: If one is missing, or stands twice.
    """
    known = {alias: column for column, aliases in _NAMES.items() for alias in aliases}
    found: dict[str, str] = {}
    for name in names:
        key = name.strip().lower()
        column = known.get(key) or (key if _FURTHER_OUTPUT.fullmatch(key) else None)
        if column in found.values():
            raise _NotThere(f"has two columns for '{column}', the second is {quoted(name)}. Keep one.")
        if column:
            found[name] = column
    if lacking := [column for column in ("input", "output") if column not in found.values()]:
        others = [name.lower() for name in names if name not in found]
        near = {column: close[0] for column in lacking if (close := get_close_matches(column, others, n=1))}
        hints = "".join(f" Is {quoted(name)} the {column}?" for column, name in near.items())
        there = ", ".join(map(quoted, names[:8])) + (", ..." if len(names) > 8 else "")
        what = " and no column ".join(map(repr, lacking))
        raise _NotThere(f"has no column {what}, but {there}.{hints} Call its columns {COLUMNS}.")
    return found


# ----------------------------------------------------------------------------------- from records


def _row(where: str, record: Mapping[str, Any]) -> Row | RowFault:
    """The row that ``record`` describes, whose keys are those of ``_NAMES`` and further outputs."""
    texts: dict[str, str] = {}
    for column in ("input", "task", "category", "definition"):
        value = _plain(record.get(column, ""))
        if not isinstance(value, str):
            return RowFault(where, f"'{column}' must be a text. Correct that line.")
        texts[column] = value.strip()
    outputs: list[str] = []
    for column, value in record.items():
        if not column.startswith("output"):
            continue
        several = [_plain(one) for one in (value if isinstance(value, list) else [value])]
        if not all(isinstance(one, str) for one in several):
            return RowFault(where, f"'{column}' must be a text, or a list of texts. Correct that line.")
        outputs += [one for one in several if one.strip() or column == "output"]
    if not texts["input"] or not outputs or not all(one.strip() for one in outputs):
        empty = "output" if texts["input"] else "input"
        return RowFault(where, f"'{empty}' is empty. Fill it in, or drop the row.")
    if "task" in record and not texts["task"]:
        return RowFault(where, "'task' is empty. Fill it in, or drop the row.")
    if (longest := max(map(len, (*texts.values(), *outputs)))) > LONGEST_TEXT:
        return RowFault(where, f"a text has {longest:,} characters, and at most {LONGEST_TEXT:,} are read. Shorten it.")
    task = texts["task"]
    if not task.isprintable() or len(task) > _TASK_NAME or set(task) & set("/\\"):
        named = f"{quoted(task)} cannot be a task's name."
        return RowFault(where, f"{named} Write at most {_TASK_NAME} characters on one line, without / and \\.")
    stripped = tuple(dict.fromkeys(one.strip() for one in outputs))
    return Row(where=where, outputs=stripped, padded=any(one != one.strip() for one in outputs), **texts)


def _plain(value: Any) -> Any:
    """A whole number as the text that it is written as: labels often are."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
