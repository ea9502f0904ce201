"""``snibench leaderboard``: boards that can be checked by anybody who has the file and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from snibench.cli.places import AnyPath, NewBoard, NewFile, NewFolder

if TYPE_CHECKING:
    from snibench.leaderboard.export import Exported
    from snibench.leaderboard.validate import Fault

file_ = click.argument("file", type=AnyPath())
files = click.argument("files", nargs=-1, required=True, type=AnyPath())


@click.group()
def leaderboard() -> None:
    """Export, check, merge and show leaderboard files."""


@leaderboard.command()
@click.argument("folder", type=AnyPath(), default="runs")
@click.option("-o", "--output", type=NewBoard(), default="leaderboards", show_default=True)
@click.option("--author", "authors", multiple=True, help="Who stands behind the entries; repeatable.")
@click.option("--suite-name", metavar="NAME", help="What the board calls the suite. Default: the suite's own name.")
@click.option(
    "--references",
    type=click.Choice(("text", "digests")),
    help="Whether rows hold references and labels, or SHA-256 of them. Default: digests, but for the embedded suite.",
)
def export(
    folder: Path,
    output: Path,
    authors: tuple[str, ...],
    suite_name: str | None,
    references: Literal["text", "digests"] | None,
) -> None:
    """Write the runs in FOLDER (default: runs) as a board with its rows.

    Of earlier runs, the fits that share suite, model and recipe with the last one. The output is a file that ends in
    .json, or a folder.
    """
    from snibench.leaderboard.export import export as write_board
    from snibench.store import load_results

    results = load_results(folder, earlier=True)
    _wrote(write_board(results, output, authors, suite_name=suite_name, references=references))


@leaderboard.command()
@files
@click.option("-o", "--output", type=NewFile(), required=True, help="The joined board, a file that ends in .json.")
def merge(files: Sequence[Path], output: Path) -> None:
    """Join boards to one: ranks and tests are computed for all their entries together.

    Boards that may not be compared are refused: suite, model, limit and the questions of the protocols that both have
    must be the same.
    """
    from snibench.leaderboard.merge import merge as join

    _wrote(join(files, output))


def _wrote(exported: Exported) -> None:
    from snibench.report.cells import printable

    for note in exported.notes:
        click.echo(printable(note, 1000), err=True)
    click.echo(f"Wrote {exported.path}")
    click.echo(f"Check it: snibench leaderboard verify {exported.path}")


@leaderboard.command()
@file_
@click.option("--as", "output_format", type=click.Choice(("table", "md", "latex", "csv", "json")), default="table")
@click.option("-o", "--output", type=NewFile(), help="Write there instead of to the terminal.")
def show(file: Path, output_format: str, output: Path | None) -> None:
    """Show the board in FILE as a table."""
    from snibench.cli.report import deliver
    from snibench.leaderboard.show import board_report
    from snibench.leaderboard.validate import read_board

    deliver(board_report(read_board(file), file), output_format, output)


@leaderboard.command()
@file_
@click.option("-o", "--output", type=NewFile(), help="Default: FILE with the ending .html.")
@click.option("--rows-url", metavar="URL", default="", help="Where the rows lie, for links. Default: beside the page.")
def page(file: Path, output: Path | None, rows_url: str) -> None:
    """Write the board in FILE as one HTML page that needs no network."""
    from snibench.leaderboard.page import page_html
    from snibench.leaderboard.validate import read_board
    from snibench.report.files import write_text

    output = output or file.with_suffix(".html")
    write_text(output, page_html(read_board(file), file, rows_url=rows_url))
    click.echo(f"Wrote {output}")


@leaderboard.command()
@files
@click.pass_context
def validate(context: click.Context, files: Sequence[Path]) -> None:
    """Check boards: schema, completeness, rows.

    Names file, field and reason of every fault. Exit code 1 if there is one.
    """
    from snibench.leaderboard.validate import faults

    wrong = sum(_said(file, faults(file), "valid") for file in files)
    if wrong:
        context.exit(1)


@leaderboard.command()
@files
@click.option("--data", type=AnyPath(), help="Folder of tasks for suite sni, folder or file of rows for suite own.")
@click.option("--model", metavar="SPEC", help="The base model, where a format asks for its tokenizer; tiny is known.")
@click.pass_context
def verify(context: click.Context, files: Sequence[Path], data: Path | None, model: str | None) -> None:
    """Recompute boards from their rows, and their rows from the suite.

    Questions, references, labels and prompts are made again from the suite, every answer is scored again from its
    text, and every measure, rank and test is computed again. Says what it could not check. Exit code 1 on a
    difference.
    """
    from snibench.leaderboard.verify import verify as check

    wrong = 0
    for file in files:
        verified = check(file, data, model)
        wrong += _said(file, verified.faults, verified.summary)
        if not verified.faults:
            for reason in verified.unchecked:
                start = "" if reason.startswith("not ") else "not checked: "
                click.echo(f"  {start}{reason}")
    if wrong:
        context.exit(1)


def _said(file: Path, faults: Sequence[Fault], good: str) -> bool:
    """Whether the board in ``file`` has a fault; each is written, or that there is none."""
    from snibench.report.cells import printable

    for fault in faults:
        click.echo(printable(fault, 1000), err=True)
    if not faults:
        click.echo(f"{printable(file, 1000)}: {good}")
    return bool(faults)


@leaderboard.command()
@click.option("--as", "output_format", type=click.Choice(("md", "json")), default="md", show_default=True)
@click.option("-o", "--output", type=NewFile(), help="Write there instead of to the terminal.")
def schema(output_format: str, output: Path | None) -> None:
    """Describe every field of a leaderboard file, or print its JSON Schema."""
    import json

    from snibench.leaderboard.fields import fields_markdown
    from snibench.leaderboard.validate import schema as read_schema
    from snibench.report.files import write_text

    text = (
        fields_markdown() if output_format == "md" else json.dumps(read_schema(), indent=1, ensure_ascii=False) + "\n"
    )
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
        click.echo(f"Wrote {output}")


@leaderboard.command()
@file_
@click.argument("target", metavar="every-eval-ever|hub", type=click.Choice(("every-eval-ever", "hub")))
@click.option("-o", "--output", type=NewFolder(), default="published", show_default=True)
@click.option("--organization", default="", help="Who publishes: required by Every Eval Ever. Default: the authors.")
@click.option("--dataset", default="", help="Hub id of the benchmark's dataset: required by the hub.")
@click.option("--source-url", default="", help="Where the board can be read.")
def publish(file: Path, target: str, output: Path, organization: str, dataset: str, source_url: str) -> None:
    """Write the measured entries of FILE as other collections take them.

    every-eval-ever: one JSON file of its schema 0.3 for each entry. hub: one YAML file for each entry, to be put into
    .eval_results/ of the tuned model's repository.
    """
    from snibench.leaderboard.publish import every_eval_ever, hub_results, write_all
    from snibench.leaderboard.validate import read_board

    board = read_board(file)
    if target == "hub":
        files = hub_results(board, dataset, source_url)
    else:
        files = every_eval_ever(board, organization, source_url)
    for path in write_all(files, output):
        click.echo(f"Wrote {path}")
