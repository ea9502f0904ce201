"""The plan of a run, in lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snibench.base.wording import counted, terminal_safe

if TYPE_CHECKING:
    from snibench.fits.forecasts import Forecast
    from snibench.plan.plan import Plan
    from snibench.plan.request import RunRequest


def show_dry_run(planned: Plan, request: RunRequest, folder: Path) -> None:
    """Print a plan, what is known of its model, and the difference that the run can find."""
    from snibench.models.checked import known_check
    from snibench.models.find import EMBEDDED
    from snibench.plan.plan import on_device

    precision = "float32" if request.precision == "auto" and request.model in EMBEDDED else request.precision
    planned = on_device(planned, precision, known_check(planned.model))
    show_plan(planned, request)
    if len({fit.spec.label for fit in planned.fits if not fit.spec.floor}) > 1:  # else nothing is compared
        click.echo(_foreseen(planned, request, folder))


def show_plan(planned: Plan, request: RunRequest, adapted: str = "") -> None:
    """Print the plan in a few lines; ``adapted`` says where adapters go, if that is known."""
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    for line in (*_lines(planned, request), *([adapted] if adapted else []), *planned.notes):
        console.print(escape(line), highlight=False, soft_wrap=True)


def show_forecasts(planned: Plan, forecasts: Mapping[str, Forecast], causes: Mapping[str, str]) -> None:
    """Print what the fits of each method will take, one after the other, and why some could not be probed."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from snibench.cli.forecast import duration

    table = Table(title="Foreseen, one fit after the other; conflict and scoring come on top", title_justify="left")
    for heading in ("Method", "Fits", "Each", "Tuning", "Answering", "Memory", "Disk", "Checkpoint", "All"):
        table.add_column(heading, justify="left" if heading == "Method" else "right")
    by_label: dict[str, list[Forecast]] = {}
    for fit in planned.fits:
        if fit.spec.id in forecasts:
            by_label.setdefault(fit.spec.label, []).append(forecasts[fit.spec.id])
    for label, fits in by_label.items():
        most = max(fits, key=lambda one: one.seconds)
        times = (duration(most.seconds), duration(most.tuning), duration(most.answering))
        sizes = (f"{size / 2**20:,.1f} MiB" for size in (most.memory, most.disk, most.checkpoint))
        table.add_row(escape(label), str(len(fits)), *times, *sizes, duration(sum(one.seconds for one in fits)))
    Console().print(table)
    for label, cause in causes.items():
        click.echo(f"{terminal_safe(label)} cannot be probed: {terminal_safe(cause)}")


def _lines(planned: Plan, request: RunRequest) -> list[str]:
    suite, spec = planned.suite, max((fit.spec for fit in planned.fits), key=lambda spec: spec.recipe.steps)
    labels = ", ".join(dict.fromkeys(fit.spec.label for fit in planned.fits))
    mixtures = len({fit.spec.mixture for fit in planned.fits if fit.spec.trains})
    on_mixtures = f"; on {mixtures} sets of tasks or mixtures of them." if mixtures > 1 else "."
    precision = "the precision that the device is best at" if spec.precision == "auto" else spec.precision
    return [
        f"Suite {suite.name}: {counted(len(suite.seen), 'seen task')}, {len(suite.unseen)} unseen. "
        f"Model {request.model}, {precision}. Profile {request.profile.name}.",
        f"{counted(len(planned.fits), 'fit')}: {labels}; seed{'' if len(request.seeds) == 1 else 's'} "
        f"{', '.join(map(str, request.seeds))}{on_mixtures}",
        f"{_tuned(planned, request)} {_asked(planned)}",
    ]


def _tuned(planned: Plan, request: RunRequest) -> str:
    specs = [fit.spec for fit in planned.fits if fit.spec.trains]
    if not specs:
        return "Nothing is tuned; each"
    recipe = max((spec.recipe for spec in specs), key=lambda recipe: recipe.steps)
    drawn = min(recipe.tasks_per_step, max(len(spec.mixture.tasks) for spec in specs))
    rates = sorted({spec.recipe.learning_rate for spec in specs})
    rate = " to ".join(f"{end:g}" for end in dict.fromkeys((rates[0], rates[-1])))
    searched = (
        f" (the default; the best of {request.trials} for each method is searched for first)"
        if request.trials > 1
        else ""
    )
    return (
        f"Each is tuned for {counted(recipe.steps, 'step')} of {counted(drawn, 'task')} x "
        f"{counted(recipe.instances_per_task, 'instance')}, learning rate {rate}{searched}, and"
    )


def _asked(planned: Plan) -> str:
    prompts = [len({one.prompt_sha for part in fit.questions for one in part.rendered}) for fit in planned.fits]
    most = max(planned.fits, key=lambda fit: sum(len(part.rendered) for part in fit.questions))
    asked = ", ".join(f"{part.protocol} {len(part.rendered):,}" for part in most.questions)
    at_most = "at most " if len(set(prompts)) > 1 else ""
    return f"answers {at_most}{counted(max(prompts), 'different prompt')} (questions: {asked})."


def _foreseen(planned: Plan, request: RunRequest, folder: Path) -> str:
    """The difference that the run can find, by the variances of fits that are stored in ``folder`` if there are."""
    from snibench.base.errors import SnibenchError
    from snibench.report.power import forecast
    from snibench.report.questions import design_of
    from snibench.store import load_results

    try:
        stored = load_results(folder)
    except SnibenchError:
        stored = None
    return forecast(stored, design_of(planned, len(request.seeds)))
