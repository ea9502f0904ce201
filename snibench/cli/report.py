"""``snibench report`` and ``snibench compare``: tables from the store; no model is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from snibench.report.values import Report

FORMATS = ("table", "md", "latex", "csv", "json")

folder = click.argument("folder", type=click.Path(path_type=Path), default="runs")
as_ = click.option(
    "--as", "kind", type=click.Choice(FORMATS), default="table", show_default=True, help="What to write."
)
output = click.option("-o", "--output", type=click.Path(path_type=Path), help="Write there instead of to the terminal.")
json_file = click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write everything as JSON, too.")


@click.command()
@folder
@click.option("--baseline", help="Method that the others are compared with. Default: the run's own.")
@as_
@output
@json_file
def report(folder: Path, baseline: str | None, kind: str, output: Path | None, json_path: Path | None) -> None:
    """Show or export the tables of the run in FOLDER (default: runs)."""
    show_run(folder, baseline, kind, output, json_path)


@click.command()
@click.argument("first")
@click.argument("second")
@folder
@as_
@output
@json_file
def compare(first: str, second: str, folder: Path, kind: str, output: Path | None, json_path: Path | None) -> None:
    """Compare method FIRST with method SECOND in FOLDER (default: runs), task by task."""
    from snibench.report.comparison import compare as compare_methods
    from snibench.store import load_results

    deliver(compare_methods(load_results(folder), first, second), kind, output, json_path)


def show_run(
    folder: Path, baseline: str | None, kind: str = "table", output: Path | None = None, json_path: Path | None = None
) -> None:
    """Everything that the run in ``folder`` stored, as tables or as an export."""
    from snibench.report.tables import build
    from snibench.store import load_results

    deliver(build(load_results(folder), baseline), kind, output, json_path)
    if kind == "table" and output is None:
        click.echo(f"\nAnswers, adapters, traces and records: {folder}")


def deliver(report: Report, kind: str = "table", output: Path | None = None, json_path: Path | None = None) -> None:
    """Print ``report``, or write it to ``output``; and to ``json_path`` as JSON if that is given."""
    from snibench.report.console import plain_text, show_on_terminal
    from snibench.report.export import WRITERS, write_text

    if json_path is not None:
        write_text(json_path, WRITERS["json"](report))
    if output is not None:
        write_text(output, plain_text(report) if kind == "table" else WRITERS[kind](report))
        click.echo(f"Wrote {output}")
    elif kind == "table":
        show_on_terminal(report)
    else:
        click.echo(WRITERS[kind](report), nl=False)
