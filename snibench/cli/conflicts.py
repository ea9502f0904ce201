"""``snibench conflicts``: which tasks' gradients pull against each other, from the store; no model is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snibench.base.errors import UsageError
from snibench.cli.places import AnyPath, NewFile

if TYPE_CHECKING:
    import pandas as pd

    from snibench.report.values import Report

FORMATS = ("table", "csv", "json", "md", "latex")


@click.command()
@click.option(
    "-o",
    "--output-dir",
    "folder",
    type=AnyPath(),
    default=Path("runs"),
    show_default=True,
    help="Where the run's results lie.",
)
@click.option("-m", "--method", "methods", multiple=True, metavar="NAME", help="Only this method; repeat for several.")
@click.option(
    "--as", "output_format", type=click.Choice(FORMATS), default="table", show_default=True, help="What to write."
)
@click.option("--figure", type=NewFile(), help="Draw the heat map into this .svg or .png file.")
def conflicts(folder: Path, methods: tuple[str, ...], output_format: str, figure: Path | None) -> None:
    """Show how much the tasks' gradients conflict, and which tasks pull apart most.

    Reads what `snibench run` stored. Every method at every point of training that was measured, its pairs of tasks with
    the most negative cosines, and a heat map of all pairs: in the terminal, or with --figure as a file.
    """
    from snibench.cli.report import deliver
    from snibench.report.conflict import build_conflicts, categories, panels, scores
    from snibench.store import load_results

    if figure is not None and figure.suffix not in (".svg", ".png"):
        raise UsageError(f"--figure must end in .svg or .png, but got '{figure}'.")
    results = load_results(folder, earlier=True)
    report = build_conflicts(results, methods)
    shown, known = panels(report), categories(results)
    if figure is not None:
        _draw(figure, shown, known, scores(report))
    deliver(report, output_format)
    if figure is not None:
        click.echo(f"Wrote {figure}", err=output_format != "table")
    elif output_format == "table":
        _print_maps(report, shown, known)


def _draw(figure: Path, shown: dict[str, pd.DataFrame], known: dict[str, str], scored: dict[str, float]) -> None:
    from snibench.report.figures import conflict_map
    from snibench.store import write_whole

    drawn = conflict_map(shown, categories=known, scores={k: v for k, v in scored.items() if k in shown})
    content = drawn.svg().encode() if figure.suffix == ".svg" else drawn.png()
    write_whole(figure, lambda new: new.write_bytes(content))


def _print_maps(report: Report, shown: dict[str, pd.DataFrame], known: dict[str, str]) -> None:
    from rich.console import Console
    from rich.text import Text

    from snibench.report.conflict import FORMULA, heat_map

    console = Console()
    for heading, pairs in shown.items():
        console.print()
        for line in heat_map(pairs, known, f"Cosines between task gradients: {heading}"):
            console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
    console.print(Text(f"Each cell: {FORMULA}. Tasks in order of category.", style="dim"))
