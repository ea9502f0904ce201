"""``snibench data`` and ``snibench score``: task folders, and predictions made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snibench.base.wording import counted, terminal_safe
from snibench.cli.output import show_text
from snibench.cli.parameters import Count
from snibench.cli.places import AnyPath, NewFolder

if TYPE_CHECKING:
    from snibench.metrics import Tokenize

_path = AnyPath()
_json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
_data = click.option("--data", type=_path, metavar="PATH", help="Folder in the official layout.")
_partial = click.option("--partial", is_flag=True, help="Go on where split lists name tasks that are not there.")


@click.group()
def data() -> None:
    """Fetch, check, describe and export task folders."""


@data.command()
@click.argument("suite", type=click.Choice(["sni"]))
@click.argument("folder", type=NewFolder(), default=Path("natural-instructions"))
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    default=None,
    help="A git repository (default: the official one), the URL of a .tar.gz, or hub:OWNER/NAME for a mirror.",
)
@click.option("--revision", default="", metavar="COMMIT", help="Commit, tag or branch, for a repository or mirror.")
@click.option("--sha256", default="", metavar="HEX", help="What the archive's digest must be.")
@click.option(
    "--track",
    type=click.Choice(["default", "xlingual", "all"]),
    default="default",
    show_default=True,
    help="default: the train and test tasks of the English track; all: every task.",
)
@click.option("--table", type=_path, metavar="FILE", help="Tab-separated task, category, domain, source, for a mirror.")
def fetch(
    suite: str, folder: Path, source: str | None, revision: str, sha256: str, track: Any, table: Path | None
) -> None:
    """Download SUITE into the new FOLDER (default: natural-instructions).

    What was broken off goes on with the same command. Every file's digest is kept in fetched.json, and `snibench data
    check` compares them.
    """
    from snibench.cli.progress import counting
    from snibench.data.fetching import fetch as fetch_folder
    from snibench.data.fetching.order import OFFICIAL, Order

    order = Order(source or OFFICIAL, revision, sha256, track, table)
    with counting() as progress:
        receipt = fetch_folder(order, folder, progress)
    for note in receipt.notes:
        click.echo(f"Note: {terminal_safe(note)}")
    tasks = counted(sum(path.startswith("tasks/") for path in receipt.files), "task")
    revision = terminal_safe(receipt.revision or "its newest")
    click.echo(f"{tasks} in {folder}, from {terminal_safe(receipt.source)} at {revision}.")
    click.echo(f"Next: snibench data check {folder}, or snibench run --data {folder} --model MODEL --method ours")


@data.command()
@click.argument("folder", type=_path, metavar="FOLDER|FILE")
@_partial
@click.option("--near-duplicates", "near", is_flag=True, help="Look for train inputs that nearly repeat a test input.")
@_json_flag
@click.pass_context
def check(context: click.Context, folder: Path, partial: bool, near: bool, as_json: bool) -> None:
    """List everything that is wrong with the tasks and split lists in FOLDER, or with rows in CSV and JSONL files.

    Errors are what a suite would refuse, and make the exit code 1. Warnings break a rule of the official repository, or
    say what is dropped or changed of rows.
    """
    from snibench.plan import defaults
    from snibench.plan.options import suite_of

    if suite_of(folder) == defaults.SUITE_OF_ROWS:
        from snibench.data.own.checks import check_rows

        findings, number = check_rows(folder)
        checked = counted(number, "task")
    else:
        from snibench.data.checks import check_folder
        from snibench.data.natural_instructions import task_files

        findings = check_folder(folder, partial=partial, near=near)
        checked = f"{len(task_files(folder))} task files"
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        _print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(terminal_safe(f"{finding.severity}: {finding.file}: {finding.message}"))
        click.echo(f"{checked}: {counted(errors, 'error')}, {counted(len(findings) - errors, 'warning')}.")
    context.exit(1 if errors else 0)


@data.command()
@click.argument("source", metavar="FOLDER|FILE|SUITE")
@click.option("--data", type=_path, metavar="PATH", help="Folder or file that SUITE reads.")
@click.option("--split", metavar="NAME|PATH", help="Split of the suite.")
@_json_flag
def info(source: str, data: Path | None, split: str | None, as_json: bool) -> None:
    """Show the tasks, categories, splits and licences of a folder, of a CSV or JSONL file, or of a suite."""
    from snibench.cli.tasks import overview as overview_of
    from snibench.cli.tasks import source_of

    suite, path = source_of(source) if data is None else (source, data)
    overview = overview_of(suite, path, split)
    if as_json:
        _print_json(asdict(overview))
        return
    _table(
        "Tasks",
        ("Task", "Category", "Side", "Instances>", "Labels>", "Metric"),
        (
            (row.name, row.category, row.side, row.instances, "open" if row.labels is None else row.labels, row.metric)
            for row in overview.tasks
        ),
    )
    _table("Categories", ("Category", "Tasks>", "Instances>"), overview.categories())
    _table("Licences of the instances", ("Licence", "Tasks>"), overview.licences())
    _table(
        "Splits",
        ("Split", "Side", "Listed>", "Here>"),
        ((row.split, row.side, row.listed, row.here) for row in overview.splits),
    )
    instances = sum(row.instances for row in overview.tasks)
    click.echo(f"{counted(len(overview.tasks), 'task')}, {counted(instances, 'instance')}.")
    for note in overview.notes:
        click.echo(f"Note: {terminal_safe(note)}")


@data.command()
@click.argument("suite")
@click.argument("folder", type=NewFolder())
@click.option("--data", type=_path, metavar="PATH", help="Folder or file that SUITE reads.")
@click.option("--split", metavar="NAME|PATH", help="Split of the suite.")
@click.option("--tasks", type=Count(), metavar="N", help="At most N seen tasks.")
@_partial
def export(suite: str, folder: Path, data: Path | None, split: str | None, tasks: int | None, partial: bool) -> None:
    """Write SUITE to the new FOLDER in the official layout, seen tasks as train and unseen ones as test."""
    from snibench.base.registry import SUITES
    from snibench.base.types import SuiteRequest
    from snibench.data.natural_instructions import task_files
    from snibench.data.official_layout import export_suite, require_new_folder
    from snibench.plan import defaults

    require_new_folder(folder)
    made = SUITES.get(suite)()
    request = SuiteRequest(suite, data=None if data is None else str(data), split=split, tasks=tasks, partial=partial)
    loaded = made.load(request)
    originals = task_files(data) if data is not None and suite == defaults.SUITE_OF_DATA else {}
    export_suite(loaded, folder, originals=originals)
    for note in loaded.notes:
        click.echo(f"Note: {terminal_safe(note)}")
    click.echo(f"{counted(len(loaded.tasks), 'task')} written to {folder}.")


@click.command()
@click.argument("predictions", type=_path)
@click.option(
    "--references", type=_path, metavar="FILE", help="JSON lines with id, references, task_id, task_category."
)
@_data
@click.option(
    "--track",
    type=click.Choice(["default", "xlingual"]),
    default="default",
    show_default=True,
    help="default: English; xlingual: other languages, whose ROUGE-L is over byte-level tokens.",
)
@click.option(
    "--tokenizer",
    default="gpt2",
    show_default=True,
    metavar="ID|DIR",
    help="Of the xlingual track. The official numbers are of GPT-2's; needs snibench[train].",
)
@click.option("--per-task", is_flag=True, help="Show every task too.")
@_json_flag
def score(
    predictions: Path,
    references: Path | None,
    data: Path | None,
    track: Any,
    tokenizer: str,
    per_task: bool,
    as_json: bool,
) -> None:
    """Score PREDICTIONS (JSON lines) with the official metrics.

    Lines hold id and prediction, and the references come from --references or from the first 100 instances of the test
    tasks in --data; or they are Tk-Instruct's predicted_examples.jsonl, with Task, Instance and Prediction.
    """
    from snibench.data.natural_instructions import EXACT_MATCH_CATEGORIES
    from snibench.data.predictions import match_predictions
    from snibench.metrics import Scored, category_key, exact_match, official_scores, rouge_l

    answers, notes = match_predictions(predictions, references, data, track=track)
    tokenize = _byte_pair_tokens(tokenizer) if track == "xlingual" else None
    rows = [
        Scored(
            a.task,
            a.category,
            exact_match(a.prediction, a.references),
            rouge_l(a.prediction, a.references, tokenize),
        )
        for a in answers
    ]
    scores = official_scores(rows)
    if as_json:
        _print_json({"track": track, "scores": scores, "n_instances": len(rows), "notes": notes})
        return

    def line(label: str, key: str, members: Sequence[Scored], metric: str) -> tuple[Any, ...]:
        pair = (f"{scores[f'{name}_for_{key}']:.4f}" for name in ("exact_match", "rougeL"))
        return (label, len(members), *pair, metric)

    categories = sorted({row.category for row in rows if row.category})
    metric_of = {name: "exact match" if name in EXACT_MATCH_CATEGORIES else "ROUGE-L" for name in categories}
    columns = ("Instances>", "Exact match>", "ROUGE-L>", "Official metric")
    _table(
        "Categories",
        ("Category", *columns),
        (
            line(name, category_key(name), [row for row in rows if row.category == name], metric_of[name])
            for name in categories
        ),
    )
    if per_task:
        tasks: dict[str, list[Scored]] = {}
        for row in rows:
            tasks.setdefault(row.task, []).append(row)
        tasks.pop("", None)
        _table(
            "Tasks",
            ("Task", *columns),
            (line(name, name, tasks[name], metric_of.get(tasks[name][0].category, "")) for name in sorted(tasks)),
        )
    means = [("instances (official)", "exact_match", "rougeL"), ("tasks", "macro_exact_match", "macro_rougeL")]
    _table(
        f"Overall, {track} track, 0 to 100",
        ("Mean over", "Exact match>", "ROUGE-L>"),
        ((name, f"{scores[em]:.4f}", f"{scores[rl]:.4f}") for name, em, rl in means if em in scores),
    )
    for note in notes:
        click.echo(f"Note: {terminal_safe(note)}")


def _byte_pair_tokens(name: str) -> Tokenize:
    """Token ids as the cross-lingual track cuts texts, by the tokenizer called ``name``."""
    from snibench.base.errors import MissingExtra, ModelError, first_line
    from snibench.metrics import byte_pair_tokens

    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtra("The xlingual track", "train") from error
    try:
        return byte_pair_tokens(AutoTokenizer.from_pretrained(name))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The tokenizer '{name}' cannot be loaded ({first_line(error)}). Name its folder: --tokenizer DIR"
        ) from error


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print one table; a column whose name ends in ">" is aligned right. Nothing if there are no rows."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(terminal_safe(str(cell))) for cell in row))
    if table.row_count:
        Console().print(table)


def _print_json(value: Any) -> None:
    show_text(f"{json.dumps(value, indent=1, ensure_ascii=False)}\n")
