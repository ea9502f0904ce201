"""``snibench run``: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from snibench.base.errors import UsageError
from snibench.cli.config import save_config
from snibench.cli.extras import require_train
from snibench.cli.headings import Grouped
from snibench.cli.planned import show_dry_run, show_plan
from snibench.cli.report import show_results
from snibench.cli.run_options import NOTES, OPTIONS

if TYPE_CHECKING:
    from snibench.base.types import Search
    from snibench.fits.run import RunProgress
    from snibench.plan.plan import Plan
    from snibench.plan.request import RunRequest
    from snibench.store import Store


@click.command(cls=Grouped, headings=OPTIONS, notes=NOTES)
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> int:
    """Tune with a method, run the protocols, and compare with the baseline.

    The same command again goes on where it stopped and recomputes nothing.
    """
    from snibench.plan.options import check_runtime
    from snibench.plan.plan import plan
    from snibench.plan.request import check_names

    # All that is wrong with the request is said before torch is imported.
    request = request_of(options)
    check_names(request)
    check_runtime(options)  # type: ignore[arg-type]
    if options["probe"] and not options["dry_run"]:
        raise UsageError("--probe looks ahead: name it with --dry-run.")
    planned = plan(request)
    request = planned.request
    if options["probe"] or not options["dry_run"]:
        require_train("snibench run")
    if options["save_config"] is not None:
        save_config(ctx, options["save_config"])
    if options["dry_run"]:
        show_dry_run(planned, request, options["output_dir"])
        return _probed(planned, request, options) if options["probe"] else 0

    from snibench.fits.run import run as run_all
    from snibench.fits.run import runtime_from
    from snibench.store import Store

    runtime = runtime_from(options, request.profile, trust_remote_code=request.trust_remote_code)  # type: ignore[arg-type]
    store = Store(options["output_dir"])
    results = run_all(request, store, runtime, _run_progress(request, store), planned=planned)
    show_results(results, results.manifest.baseline, json_path=options["json_file"])
    return 0 if all(record.status == "done" for record in results.records) else 1


def _probed(planned: Plan, request: RunRequest, options: dict[str, Any]) -> int:
    """Show what each method's fits will take, and keep it for their records; exit code 1 if one cannot be probed."""
    from snibench.cli.planned import show_forecasts
    from snibench.fits.context import FitProgress
    from snibench.fits.forecasts import keep
    from snibench.fits.probe import probe
    from snibench.fits.run import placed, runtime_from
    from snibench.store import Store

    runtime = runtime_from(options, request.profile, trust_remote_code=request.trust_remote_code)  # type: ignore[arg-type]
    store = Store(options["output_dir"])
    store.prepare()
    planned = placed(planned, request, runtime.device)
    forecasts, causes = probe(planned, runtime, lambda fit: FitProgress())
    keep(store, forecasts)
    show_forecasts(planned, forecasts, causes)
    return 1 if causes else 0


def request_of(options: dict[str, Any]) -> RunRequest:
    """The run that the options ask for."""
    from snibench.base.settings import parse_assignments
    from snibench.plan.options import request_from

    if options["no_baseline"] and _typed("baseline") and _typed("no_baseline"):
        raise UsageError(f"--baseline {options['baseline']} and --no-baseline contradict each other. Leave one out.")
    baseline = None if options["no_baseline"] else options["baseline"]
    settings = {
        "settings": parse_assignments(options["assignments"]),
        "settings_everywhere": parse_assignments(options["everywhere"]),
    }
    return request_from(options["methods"], {**options, "baseline": baseline, **settings})  # type: ignore[typeddict-item]


def _typed(name: str) -> bool:
    """Whether the option stands on the command line, of this command or of the one that invoked it."""
    context = click.get_current_context(silent=True)
    while context is not None:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            return True
        context = context.parent
    return False


def _run_progress(request: RunRequest, store: Store) -> RunProgress:
    """Shows a run on the terminal as it goes on."""
    from rich.console import Console

    from snibench.cli.progress import search_work, watching, work_left
    from snibench.fits.run import RunProgress

    console = Console()

    def searched(search: Search) -> None:
        if search.trials:
            console.print(f"{search.label}: {search.note}.", markup=False, highlight=False, soft_wrap=True)

    return RunProgress(
        planned=lambda planned: show_plan(planned, request, _adapted(planned, request)),
        searching=lambda planned: watching(console, search_work(planned.fits, request.trials, request.trial_steps)),
        searched=searched,
        fitting=lambda planned, jobs: watching(console, work_left(planned.fits, store), jobs=jobs),
    )


def _adapted(planned: Plan, request: RunRequest) -> str:
    """The layers that adapters go into; empty where nothing is tuned."""
    from snibench.engine.adapted_layers import adapted_layers, described
    from snibench.engine.backbone import skeleton

    if not any(fit.spec.trains for fit in planned.fits):
        return ""
    bare = skeleton(planned.model, trust_remote_code=request.trust_remote_code)
    where = "known once the model is loaded" if bare is None else described(adapted_layers(bare))
    return f"Adapters go into the same layers for every method, {where}."
