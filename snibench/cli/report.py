"""``snibench report``, ``compare`` and ``similarity``: tables and figures from the store; no model is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snibench.base.errors import MissingExtra
from snibench.cli.output import show_text
from snibench.cli.places import AnyPath, NewFile, NewFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snibench.report.figures import Figure
    from snibench.report.values import Report
    from snibench.store import StoredRun

FORMATS = ("table", "md", "latex", "csv", "json", "html")

folder = click.argument("folder", type=AnyPath(), default="runs")
as_ = click.option(
    "--as",
    "output_format",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="What to write. html: one page with the figures, FOLDER/report.html unless -o names another.",
)
output = click.option("-o", "--output", type=NewFile(), help="Write there instead of to the terminal.")
json_file = click.option("--json", "json_path", type=NewFile(), help="Write everything as JSON, too.")
figures_ = click.option(
    "--figures", type=NewFolder(), metavar="DIR", help="Also write figures there: SVG, PNG and CSV."
)
methods_ = click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="Only this method, beside baseline and controls; repeat for several. Default: all in the folder.",
)
everything_ = click.option(
    "--all", "everything", is_flag=True, help="Every table and footnote, not one screen of them."
)


@click.command()
@folder
@click.option("--baseline", help="Method that the others are compared with. Default: the run's own.")
@everything_
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Only this table, as JSON names it; repeat.")
@click.option(
    "--columns", metavar="FIELD,...", default="", help="Only these columns of the tables, as JSON names them."
)
@click.option("--explain", is_flag=True, help="Say what the words of reports mean, and stop.")
@methods_
@as_
@output
@json_file
@figures_
def report(
    folder: Path,
    baseline: str | None,
    everything: bool,
    tables: tuple[str, ...],
    columns: str,
    explain: bool,
    methods: tuple[str, ...],
    output_format: str,
    output: Path | None,
    json_path: Path | None,
    figures: Path | None,
) -> None:
    """Show or export the runs in FOLDER (default: runs): verdicts, a summary, a comparison; with --all every table.

    Of earlier runs, the fits that share suite, model and recipe with the last one.
    """
    if explain:
        from snibench.report.glossary import glossary_text

        click.echo(glossary_text(), nl=False)
        return
    from snibench.report.tables import selected
    from snibench.store import load_results

    stored = load_results(folder, earlier=True)
    results = selected(stored, methods, baseline)
    wanted = [field.strip() for field in columns.split(",") if field.strip()]
    show_results(
        results,
        baseline,
        output_format,
        output,
        json_path,
        figures,
        everything=everything,
        tables=tables,
        columns=wanted,
        stored=stored,
    )


@click.command()
@click.argument("first")
@click.argument("second")
@folder
@everything_
@as_
@output
@json_file
@figures_
def compare(
    first: str,
    second: str,
    folder: Path,
    everything: bool,
    output_format: str,
    output: Path | None,
    json_path: Path | None,
    figures: Path | None,
) -> None:
    """Compare method FIRST with method SECOND in FOLDER (default: runs); with --all task by task."""
    from snibench.report.comparison import compare as compare_methods
    from snibench.report.figures import draw
    from snibench.report.fits import only
    from snibench.report.tables import build
    from snibench.store import load_results

    results = load_results(folder, earlier=True)
    report = compare_methods(results, first, second)

    def draw_pair(everything: StoredRun, _: Report) -> Sequence[Figure]:
        pair = only(everything, (first, second))
        return draw(pair, build(pair, second, everyone=everything))

    _with_figures(
        results, report, output_format, output, json_path, figures, draw_pair, name="compare", everything=everything
    )


@click.command()
@folder
@methods_
@as_
@output
@json_file
@figures_
def similarity(
    folder: Path,
    methods: tuple[str, ...],
    output_format: str,
    output: Path | None,
    json_path: Path | None,
    figures: Path | None,
) -> None:
    """Does the similarity of tasks explain the results of the run in FOLDER (default: runs)?"""
    from snibench.report.figures.similarity_panels import similarity_figures
    from snibench.report.similarity import similarity_report
    from snibench.report.tables import selected
    from snibench.store import load_results

    results = selected(load_results(folder, earlier=True), methods)
    report = similarity_report(results)
    _with_figures(results, report, output_format, output, json_path, figures, similarity_figures, name="similarity")


def show_results(
    results: StoredRun,
    baseline: str | None,
    output_format: str = "table",
    output: Path | None = None,
    json_path: Path | None = None,
    figures: Path | None = None,
    *,
    everything: bool = False,
    tables: Sequence[str] = (),
    columns: Sequence[str] = (),
    stored: StoredRun | None = None,
) -> None:
    """Write the report of ``results``: on one screen of the terminal, or everything there or as an export.

    ``stored``: all fits of the folder, where ``results`` are some of them.
    """
    from snibench.report.brief import picked
    from snibench.report.tables import build, build_brief

    whole = everything or bool(tables or columns)
    if whole or output_format != "table" or output or json_path or figures:
        report = picked(build(results, baseline, everyone=stored), tables, columns)
    else:
        report, whole = build_brief(results, baseline, everyone=stored), True
    _with_figures(results, report, output_format, output, json_path, figures, name="report", everything=whole)
    if output_format == "table" and output is None:
        click.echo(f"\nAnswers, adapters, traces and records: {results.folder}")


def _with_figures(
    results: StoredRun,
    report: Report,
    output_format: str,
    output: Path | None,
    json_path: Path | None,
    folder: Path | None,
    draw: Callable[[StoredRun, Report], Sequence[Figure]] | None = None,
    *,
    name: str,
    everything: bool = True,
) -> None:
    """``deliver``, with figures: in a page, and in ``folder`` if that is given. ``name`` is the page's default one."""
    from snibench.report.figures import draw as draw_run
    from snibench.report.figures import write_figures

    drawn: Sequence[Figure] = ()
    if folder is not None:
        drawn = (draw or draw_run)(results, report)
        written = write_figures(drawn, folder)
    elif output_format == "html":
        try:
            drawn = (draw or draw_run)(results, report)
        except MissingExtra as error:  # the tables stand on their own
            report = replace(report, notes=(*report.notes, f"This page has no figures. {error}"))
    if output_format == "html":
        output = output or results.folder / f"{name}.html"
    deliver(report, output_format, output, json_path, results=results, figures=drawn, everything=everything)
    if folder is not None:
        click.echo(f"Wrote {len(written)} files of {len(drawn)} figures into {folder}", err=True)


def deliver(
    report: Report,
    output_format: str = "table",
    output: Path | None = None,
    json_path: Path | None = None,
    *,
    results: StoredRun | None = None,
    figures: Sequence[Figure] = (),
    everything: bool = True,
) -> None:
    """Print ``report``, or write it to ``output``; and to ``json_path`` as JSON if that is given.

    ``results`` and ``figures`` go into a page, format ``html``, where there are any. Without ``everything`` the
    terminal shows one screen; files are always complete.
    """
    from snibench.report.brief import brief
    from snibench.report.console import plain_text, show_on_terminal
    from snibench.report.files import WRITERS, write_text
    from snibench.report.page import page_html

    def text() -> str:
        if output_format == "html":
            return page_html(report, results, figures)
        return plain_text(report) if output_format == "table" else WRITERS[output_format](report)

    if json_path is not None:
        write_text(json_path, WRITERS["json"](report))
    if output is not None:
        write_text(output, text())
        click.echo(f"Wrote {output}", err=not output.is_file())  # nothing of ours between what a pipe is given
    elif output_format == "table":
        show_on_terminal(report if everything else brief(report))
    else:
        show_text(text())
