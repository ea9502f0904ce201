"""``snibench ls``: what is installed and what was run. Imports no torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from snibench.base.errors import StoreError, UsageError, unknown
from snibench.base.reading import is_folder
from snibench.base.registry import EXECUTORS, FORMATS, METHODS, METRICS, PROTOCOLS, RULES, SAMPLERS, SUITES
from snibench.base.wording import terminal_safe
from snibench.cli.outline import Unreadable, outline
from snibench.cli.output import console, plain_text, show_text
from snibench.cli.places import AnyPath

if TYPE_CHECKING:
    from rich.console import Console

    from snibench.base.registry import Entry

REGISTRIES = {
    **{"methods": METHODS, "rules": RULES, "samplers": SAMPLERS, "formats": FORMATS},
    **{"protocols": PROTOCOLS, "suites": SUITES, "metrics": METRICS, "executors": EXECUTORS},
}

_PIPED = 240  # columns where nobody looks


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of ``snibench ls`` for what is installed. ``problem``: why it cannot be used, else ""."""

    name: str
    distribution: str
    version: str
    summary: str
    problem: str


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A row of ``snibench ls runs``. ``seconds``: of tuning, None while unknown; ``cause``: why it is not done."""

    fit: str
    label: str
    seed: int | None
    status: str
    seconds: float | None
    cause: str


_DRAWN = 1000  # rows that are laid out for the terminal's width

suite_option = click.option("--suite", metavar="NAME", help="Whose tasks. Default: mini, or what reads --data.")
data_option = click.option(
    "--data", type=AnyPath(), metavar="PATH", help="Folder of tasks, or a CSV or JSONL file or folder."
)


@click.command()
@click.argument("group", metavar="GROUP", default="methods")
@click.option(
    "-o",
    "--output",
    "folder",
    type=AnyPath(),
    default="runs",
    show_default=True,
    help="Where runs lie.",
)
@suite_option
@data_option
@click.option("--split", metavar="NAME|PATH", help="With tasks: split of the suite.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ls(group: str, folder: Path, suite: str | None, data: Path | None, split: str | None, as_json: bool) -> None:
    """List KIND: methods (default), rules, samplers, formats, protocols, suites, metrics, executors, tasks or runs."""
    if group not in {*REGISTRIES, "runs", "tasks"}:
        raise unknown("group", group, [*REGISTRIES, "tasks", "runs"])
    if group == "tasks":
        _list_tasks(suite, data, split, as_json)
        return
    for option, value in (("--suite", suite), ("--data", data), ("--split", split)):
        if value is not None:
            raise UsageError(f"{option} says whose tasks are listed. Write: snibench ls tasks {option} {value}")
    rows: Sequence[Listed | ListedRun] = _runs(folder) if group == "runs" else _installed(REGISTRIES[group].entries())
    if as_json:
        show_text(f"{json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False)}\n")
        return
    _print_rows(console(), group, rows)
    if group != "runs":
        click.echo("\nMore of one: snibench show NAME")


# ------------------------------------------------------------------------------------ values


def _installed(entries: Iterable[Entry]) -> list[Listed]:
    entries = list(entries)
    claims = Counter(entry.name for entry in entries)
    rows = []
    for entry in entries:
        summary, problem = "", ""
        try:
            summary = outline(entry.point.value).summary
        except Unreadable as error:
            problem = str(error) if error.certain else ""
        if claims[entry.name] > 1:
            owners = sorted(f"{other.distribution} {other.version}" for other in entries if other.name == entry.name)
            problem = f"claimed by {' and '.join(owners)}; uninstall one of them"
        rows.append(Listed(entry.name, entry.distribution, entry.version, summary, problem))
    return rows


def _runs(folder: Path) -> list[ListedRun]:
    from snibench.store import Store

    if not is_folder(folder):
        raise StoreError(f"There is no folder '{folder}'. Start a run: snibench run --method ours -o {folder}")
    store = Store(folder)
    rows = []
    for path in sorted(folder.glob("*/spec.json")):
        fit = path.parent.name
        try:
            record, spec = store.record(fit), store.spec(fit)
        except StoreError as error:
            rows.append(ListedRun(fit, "", None, "unreadable", None, str(error)))
            continue
        if record is None:
            rows.append(ListedRun(fit, spec.label, spec.seed, "unfinished", None, "no record.json: repeat the run"))
        else:
            rows.append(ListedRun(fit, record.label, record.seed, record.status, record.seconds, record.cause))
    return rows


def _list_tasks(suite: str | None, data: Path | None, split: str | None, as_json: bool) -> None:
    from snibench.cli.tasks import overview

    rows = overview(suite, data, split).tasks
    if as_json:
        show_text(f"{json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False)}\n")
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("task", "category", "side", "instances", "labels", "metric"):
        justify: Literal["left", "right"] = "right" if title in ("instances", "labels") else "left"
        table.add_column(title, justify=justify, overflow="fold")
    for row in rows:
        labels = "open" if row.labels is None else str(row.labels)
        cells = (row.name, row.category, row.side, f"{row.instances:,}", labels, row.metric)
        table.add_row(*map(plain_text, cells))
    out = console()
    if not out.is_terminal:
        out.width = _PIPED  # names stay whole for what reads them
    out.print(table)
    click.echo("\nMore of one: snibench show --task NAME")


# ----------------------------------------------------------------------------------- drawing


def _print_rows(out: Console, group: str, rows: Sequence[Listed | ListedRun]) -> None:
    from rich import box
    from rich.table import Table

    titles = ["fit", "method", "seed", "status", "seconds", ""] if group == "runs" else ["name", "from", ""]
    if len(rows) > _DRAWN:
        _print_plain(titles, [[text for text, _ in _cells(row)] for row in rows])
        return
    table = Table(*titles, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in table.columns[: len(titles) - 1]:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(plain_text(text, style) for text, style in _cells(row)))
    out.print(table)


def _print_plain(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need, without the seconds that rich takes to lay out thousands of rows."""
    lines = [titles, *([terminal_safe(cell, keep="") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cells(row: Listed | ListedRun) -> list[tuple[str, str]]:
    if isinstance(row, Listed):
        note = (f"broken: {row.problem}", "red") if row.problem else (row.summary, "")
        return [(row.name, "bold"), (f"{row.distribution} {row.version}", "dim"), note]
    seed = "" if row.seed is None else str(row.seed)
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    status = (row.status, "green" if row.status == "done" else "red")
    return [(row.fit, "dim"), (row.label, "bold"), (seed, ""), status, (seconds, ""), (row.cause, "")]
