"""``snibench ls`` and ``snibench show``: what is installed and what was run. Neither imports torch."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from snibench.base.errors import StoreError, UsageError, unknown
from snibench.base.reading import is_folder
from snibench.base.registry import EXECUTORS, FORMATS, METHODS, METRICS, PROTOCOLS, RULES, SAMPLERS, SUITES
from snibench.base.wording import terminal_safe
from snibench.cli.outline import Outline, Unreadable, outline
from snibench.cli.output import show_text
from snibench.cli.places import AnyPath

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from snibench.base.registry import Entry
    from snibench.base.types import Frame, Prompt, Task

REGISTRIES = {
    **{"methods": METHODS, "rules": RULES, "samplers": SAMPLERS, "formats": FORMATS},
    **{"protocols": PROTOCOLS, "suites": SUITES, "metrics": METRICS, "executors": EXECUTORS},
}

_PIPED = 240  # columns where nobody looks
_FIRST = 3  # instances of a task that are shown
_STYLES = {"instruction": "cyan", "example": "magenta", "history": "blue", "input": "bold green", "cue": "dim"}


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

_suite = click.option("--suite", metavar="NAME", help="Whose tasks. Default: mini, or what reads --data.")
_data = click.option(
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
@_suite
@_data
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
    _print_rows(_console(), group, rows)
    if group != "runs":
        click.echo("\nMore of one: snibench show NAME")


@click.command()
@click.argument("name", required=False)
@click.option("--task", metavar="TASK", help="Show this task, or how the format NAME renders its first instance.")
@_suite
@_data
def show(name: str | None, task: str | None, suite: str | None, data: Path | None) -> None:
    """Describe NAME: its docstring, settings with defaults, and source; of a protocol also its tables."""
    console = _console()
    if task is not None:
        from snibench.cli.tasks import task_named

        shown = task_named(task, suite, data)
        if name is None:
            _print_task(console, shown)
        else:
            _print_prompt(console, _render(name, shown))
        return
    if name is None:
        raise UsageError("Name what to show, such as `snibench show ours`, or a task: --task TASK.")
    for option, value in (("--suite", suite), ("--data", data)):
        if value is not None:
            raise UsageError(f"{option} says where --task is found. Name a task, or leave {option} out.")
    owners = [
        (group, entry) for group, registry in REGISTRIES.items() for entry in registry.entries() if entry.name == name
    ]
    if not owners:
        raise unknown("name", name, {entry for registry in REGISTRIES.values() for entry in registry.names()})
    for group, entry in owners:
        _print_entry(console, group.removesuffix("s"), entry)


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
        table.add_row(*map(_text, cells))
    console = _console()
    if not console.is_terminal:
        console.width = _PIPED  # names stay whole for what reads them
    console.print(table)
    click.echo("\nMore of one: snibench show --task NAME")


def _render(format_name: str, task: Task) -> Prompt:
    from random import Random

    prompt: Prompt = FORMATS.get(format_name)().render(task.card, task.instances[0].input, Random(0))
    return prompt


# ----------------------------------------------------------------------------------- drawing


def _console() -> Console:
    import io

    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console()


def _text(text: str, style: str = "") -> Text:
    """``text`` as it is but for control characters: text of data files and plugins must not move the cursor."""
    from rich.text import Text

    return Text(terminal_safe(text, keep="\n\t"), style=style)


def _prose(docstring: str) -> Text:
    """A docstring whose paragraphs fold at the terminal's width; indented lines stay as they are."""
    paragraphs = docstring.replace("``", "`").split("\n\n")
    return _text("\n\n".join(one if "\n " in one else " ".join(one.split("\n")) for one in paragraphs))


def _print_rows(console: Console, group: str, rows: Sequence[Listed | ListedRun]) -> None:
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
        table.add_row(*(_text(text, style) for text, style in _cells(row)))
    console.print(table)


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


def _print_entry(console: Console, noun: str, entry: Entry) -> None:
    console.print(_text(f"{noun} {entry.name}", "bold cyan"), _text(f"({entry.distribution} {entry.version})", "dim"))
    try:
        about = outline(entry.point.value)
    except Unreadable as error:
        if error.certain:
            console.print(_text(f"broken: {error}", "red"))
            return
        _print_imported(console, entry)
        return
    console.print(_prose(about.doc or "No docstring."))
    _print_settings(console, about, f"{entry.name}." if noun == "protocol" else "")
    if noun == "protocol":
        _print_frames(console, entry.load().frames)
    console.print(_text(f"\nCode: {about.path}:{about.line}", "dim"), soft_wrap=True)


def _print_imported(console: Console, entry: Entry) -> None:
    """For a class that only running its module makes."""
    import inspect

    console.print(_prose(inspect.getdoc(entry.load()) or "No docstring."))
    console.print(_text(f"\nCode: {entry.point.value}", "dim"), soft_wrap=True)


def _print_settings(console: Console, about: Outline, prefix: str) -> None:
    from rich.table import Table

    if not about.settings:
        return
    console.print(_text(f"\nSettings (--set {prefix}NAME=VALUE)", "bold"))
    table = Table.grid(padding=(0, 2))
    for setting in about.settings:
        table.add_row(_text(f"  {setting.name}"), _text(setting.default or "required"), _text(setting.type, "dim"))
    console.print(table)
    if about.settings_doc:
        console.print()
        console.print(_prose(about.settings_doc))


def _print_frames(console: Console, frames: Mapping[str, Frame]) -> None:
    """The tables of a protocol: of each its columns, as CSV and JSON name them, with their headings and meanings."""
    from rich.table import Table

    for name, frame in frames.items():
        console.print(_text(f"\nTable {name}", "bold"), _text(f"({frame.title})", "dim"))
        table = Table.grid(padding=(0, 2))
        for column in (*frame.keys, *frame.columns):
            table.add_row(_text(f"  {column.field}"), _text(column.title, "dim"), _text(column.description))
        console.print(table)


def _print_task(console: Console, task: Task) -> None:
    """A task's card, its examples and its first instances."""
    card = task.card
    console.print(_text(f"task {card.name}", "bold cyan"))
    console.print(_text(card.definition), soft_wrap=True)
    labels = "open" if card.labels is None else ", ".join(card.labels)
    about = {"Category": card.category, "Domains": ", ".join(card.domains), "Sources": ", ".join(card.sources)}
    about |= {"Labels": labels, "Metric": card.metric, "Instances": f"{len(task.instances):,}"}
    console.print()
    for title, value in about.items():
        if value:
            console.print(_text(f"{title}: {value}"), soft_wrap=True)
    shown = [("Positive example", one.input, one.output) for one in card.positive]
    shown += [("Negative example", one.input, one.output) for one in card.negative]
    shown += [(one.id, one.input, " | ".join(one.outputs)) for one in task.instances[:_FIRST]]
    for title, question, answer in shown:
        console.print(_text(f"\n{title}", "bold"))
        console.print(_text(question), soft_wrap=True)
        console.print(_text(f"-> {answer}", "green"), soft_wrap=True)


def _print_prompt(console: Console, prompt: Prompt) -> None:
    from rich.text import Text

    if console.color_system:
        legend = [
            part
            for role in _STYLES
            if role in {s.role for s in prompt.segments}
            for part in ((role, _STYLES[role]), " ")
        ]
        console.print(Text.assemble(*legend), style="italic")
    console.print(Text.assemble(*(_text(one.text, _STYLES[one.role]) for one in prompt.segments)), soft_wrap=True)
