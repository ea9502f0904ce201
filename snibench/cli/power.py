"""``snibench power``: what a run finds, and what more tasks, questions or seeds would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from snibench.cli.parameters import Count
from snibench.cli.report import as_, folder, json_file, output


@click.command()
@folder
@click.option("-m", "--method", help="Tuned method whose noise is taken. Default: the last that was run.")
@click.option("--baseline", help="Tuned method that it is compared with. Default: the run's own baseline.")
@click.option("--tasks", type=Count(3), help="Unseen tasks of the run to plan.")
@click.option("--instances", type=Count(), help="Questions of each task.")
@click.option("--seeds", type=Count(2), help="Seeds of each method.")
@as_
@output
@json_file
def power(folder: Path, output_format: str, output: Path | None, json_path: Path | None, **design: Any) -> None:
    """Say what difference on unseen tasks a run as in FOLDER (default: runs) finds, and what a larger one would."""
    from snibench.cli.report import deliver
    from snibench.report.power import power_report
    from snibench.store import load_results

    results = load_results(folder)
    deliver(power_report(results, **design), output_format, output, json_path, results=results)
