"""A report in the terminal. Wide tables wrap into groups of columns, so that 80 columns are enough."""

from __future__ import annotations

import io
import sys
import textwrap

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from snibench.report.cells import Grid, grid, printable
from snibench.report.values import Report, Table, Verdict

LONGEST_NOTE = 2000  # characters
_OUTCOMES = {"better": "bold green", "worse": "bold red"}
GAP = 2  # blank columns between two columns of a table


def show_on_terminal(report: Report) -> None:
    """Print ``report`` on standard output: as wide as the terminal, plain where it is none."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an ASCII terminal has no arrows
    render(report, Console())


def plain_text(report: Report, width: int = 160) -> str:
    """``report`` as text without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        render(report, console)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def render(report: Report, console: Console) -> None:
    """Print every table of ``report``, then its notes.

    Only ``Text`` values reach the console, so nothing in the report is read as markup.
    """
    console.print(Text(printable(report.title), style="bold"))
    for verdict in report.verdicts:
        _print_verdict(verdict, console)
    for table in report.shown:
        render_table(table, console)
    for note in report.notes:
        _print_note(note, console)


def _print_verdict(verdict: Verdict, console: Console) -> None:
    style = _OUTCOMES.get(verdict.outcome, "") if verdict.scope == "tasks like these" else "dim"
    console.print(Text(_wrapped(verdict.sentence, console.width), style=style))


def _wrapped(text: str, width: int) -> str:
    lines = textwrap.wrap(printable(text, LONGEST_NOTE), max(20, width - 1), subsequent_indent="  ")
    return "\n".join(lines)


def render_table(table: Table, console: Console) -> None:
    """Print one table: title, as many groups of columns as the width asks for, footers."""
    cells = grid(table)
    console.print()
    console.print(Text(cells.title, style="bold cyan"))
    for columns in _groups(cells, console.width):
        console.print(_drawn(cells, columns, console.width))
    for note in table.notes:
        _print_note(note, console)


def _print_note(note: str, console: Console) -> None:
    console.print(Text(_wrapped(note, console.width), style="dim"))


def _width(cells: Grid, column: int, width: int) -> int:
    """Columns of the terminal that a column of the table takes; long text folds."""
    widest = max(cell_len(text) for text in (*cells.headings[column], *(row[column] for row in cells.rows)))
    return widest if cells.numeric[column] else min(widest, max(16, width // 3))


def _groups(cells: Grid, width: int) -> list[list[int]]:
    """Columns of each group; the key columns stand at the left of every one."""
    keys = list(range(cells.keys))
    room = width - sum(_width(cells, column, width) + GAP for column in keys)
    groups: list[list[int]] = [[]]
    left = room
    for column in range(cells.keys, len(cells.headings)):
        needed = _width(cells, column, width) + GAP
        if needed > left and groups[-1]:
            groups.append([])
            left = room
        groups[-1].append(column)
        left -= needed
    return [keys + group for group in groups]


def _drawn(cells: Grid, columns: list[int], width: int) -> RichTable:
    # SIMPLE_HEAD has a blank between columns; with one of padding it makes GAP.
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="")
    with_units = any(cells.headings[column][1] for column in columns)
    for column in columns:
        title, unit = cells.headings[column]
        drawn.add_column(
            Text.assemble((title, "bold"), ("\n" + unit if with_units else "", "dim")),
            justify="right" if cells.numeric[column] else "left",
            no_wrap=cells.numeric[column],
            max_width=_width(cells, column, width),
            overflow="fold",
        )
    before: tuple[str, ...] = ()
    for row in cells.rows:
        same = 0  # leading keys that the row shares with the one above; the last key always stands
        while same < cells.keys - 1 and row[: same + 1] == before[: same + 1]:
            same += 1
        texts = ("" if column < same else row[column] for column in columns)
        drawn.add_row(*(Text(text, style=_style(text)) for text in texts))
        before = row
    return drawn


def _style(text: str) -> str:
    if not text.endswith(" *"):
        return ""
    return "bold red" if text.startswith("-") else "bold green"
