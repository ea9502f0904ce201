"""``snibench leaderboard``: boards that can be checked by anybody who has the file and its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snibench.cli.places import AnyPath, NewBoard, NewFile

if TYPE_CHECKING:
    from snibench.leaderboard.validate import Fault

files = click.argument("files", nargs=-1, required=True, type=AnyPath())


@click.group()
def leaderboard() -> None:
    """Export, show, validate and verify leaderboard files."""


@leaderboard.command()
@click.argument("folder", type=AnyPath(), default="runs")
@click.option("-o", "--output", type=NewBoard(), default="leaderboards", show_default=True)
@click.option("--author", "authors", multiple=True, help="Who stands behind the entries; repeatable.")
def export(folder: Path, output: Path, authors: tuple[str, ...]) -> None:
    """Write a run as a board with its rows.

    FOLDER is what `snibench run` wrote (default: runs). The output is a file that ends in .json, or a folder.
    """
    from snibench.leaderboard.export import export as write_board
    from snibench.store import load_results

    path = write_board(load_results(folder), output, authors)
    click.echo(f"Wrote {path}")
    click.echo(f"Check it: snibench leaderboard verify {path}")


@leaderboard.command()
@click.argument("file", type=AnyPath())
@click.option("--as", "kind", type=click.Choice(("table", "md", "latex", "csv", "json")), default="table")
@click.option("-o", "--output", type=NewFile(), help="Write there instead of to the terminal.")
def show(file: Path, kind: str, output: Path | None) -> None:
    """Show the board in FILE as a table."""
    from snibench.cli.report import deliver
    from snibench.leaderboard.show import board_report
    from snibench.leaderboard.validate import read_board

    deliver(board_report(read_board(file), file), kind, output)


@leaderboard.command()
@files
@click.pass_context
def validate(context: click.Context, files: Sequence[Path]) -> None:
    """Check boards: schema, completeness, rows.

    Names file, field and reason of every fault. Exit code 1 if there is one.
    """
    from snibench.leaderboard.validate import faults

    _check(context, files, faults, "valid")


@leaderboard.command()
@files
@click.pass_context
def verify(context: click.Context, files: Sequence[Path]) -> None:
    """Recompute a board's numbers from its rows.

    Scores every answer again from its text and computes every metric again. Exit code 1 on a difference. Conflict and
    cost are not in the rows and are not checked.
    """
    from snibench.leaderboard.verify import disagreements

    _check(context, files, disagreements, "verified: its rows give its numbers")


def _check(context: click.Context, files: Sequence[Path], check: Callable[[Path], list[Fault]], good: str) -> None:
    from snibench.report.cells import printable

    wrong = 0
    for file in files:
        found = check(file)
        wrong += bool(found)
        for fault in found:
            click.echo(printable(fault, 1000), err=True)
        if not found:
            click.echo(f"{printable(file, 1000)}: {good}")
    if wrong:
        context.exit(1)
