"""``snibench run``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snibench.base.errors import MissingExtra
from snibench.cli.config import read_config, save_config
from snibench.cli.headings import Grouped
from snibench.cli.places import NewFile
from snibench.cli.report import show_results
from snibench.plan import defaults

if TYPE_CHECKING:
    from snibench.base.types import Search
    from snibench.fits.run import RunProgress
    from snibench.plan.plan import Plan
    from snibench.plan.request import RunRequest
    from snibench.store import Store


class CommaList(click.ParamType[tuple[Any, ...]]):
    """``a,b,c`` as a tuple of texts."""

    name = "NAME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The parts of ``value``, blanks around them dropped."""
        parts = value if isinstance(value, tuple) else str(value).split(",")
        return tuple(text for part in parts if (text := str(part).strip()))


class Seeds(CommaList):
    """``0,1,2`` or ``0-2`` as a tuple of whole numbers."""

    name = "N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:  # type: ignore[override]  # other parts
        """The numbers in ``value``."""
        try:
            seeds = tuple(seed for part in super().convert(value, param, ctx) for seed in _range(part))
        except ValueError:
            self.fail(f"seeds are whole numbers such as 0,1,2 or 0-4, but got '{value}'", param, ctx)
        if not seeds or len(set(seeds)) != len(seeds):
            self.fail(f"name each seed once, but got '{value}'", param, ctx)
        return seeds


def _range(text: str) -> range:
    """``3`` as 3, ``0-4`` as 0 to 4.

    Raises:
        ValueError: If it is neither.
    """
    first, dash, last = text.partition("-")
    return range(int(first), int(last if dash else first) + 1)


class PerStep(click.ParamType[tuple[int, int]]):
    """``K,M``: tasks per step, and instances of each."""

    name = "K,M"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The two numbers."""
        parts = [str(part) for part in value] if isinstance(value, tuple) else str(value).split(",")
        if len(parts) != 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
            self.fail(f"two positive whole numbers such as 8,4, but got '{value}'", param, ctx)
        return int(parts[0]), int(parts[1])


_SUITES = f"{defaults.SUITE} (default) or {defaults.SUITE_OF_DATA} (default with --data)."
_PROTOCOLS = f"Default: {', '.join(defaults.PROTOCOLS)}."


_HEADINGS = {
    "Methods": ("methods", "baseline", "no_baseline", "rule", "sampler", "assignments", "everywhere", "ablate"),
    "Data": ("suite", "data", "split", "categories", "tasks", "instances", "allow_leak", "partial"),
    "Model": ("model", "revision", "precision", "trust_remote_code", "max_input", "max_output"),
    "Recipe": (
        *("profile", "seeds", "steps", "per_step", "train_format", "learning_rate"),
        *("optimizer", "schedule", "tune_budget", "tune_steps"),
    ),
    "Protocols": ("protocols", "formats", "gap", "combos", "pairs", "limit", "rank_labels", "conflict"),
    "Runtime": ("device", "executor", "jobs", "batch_size", "overwrite"),
    "Files": ("config", "save_config", "output_dir", "json_file", "dry_run"),
}
_NOTES = {
    "Environment": "GLIBC_TUNABLES: on Linux with glibc the command restarts itself once with a heap that does not "
    "grow while it trains (docs/performance.md). Set this variable, to nothing if you like, and it does not."
}


@click.command(cls=Grouped, headings=_HEADINGS, notes=_NOTES)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=read_config,
    help="TOML file with these options; flags override it.",
)
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    required=True,
    metavar="NAME",
    help="Method; repeat for several. Or 'NAME(key=value,...)', NAME+RULE, or FILE.py:Class.",
)
@click.option(
    "--baseline",
    default=defaults.METHOD,
    show_default=True,
    metavar="NAME",
    help="What the methods are compared with; NAME(key=value) as for -m.",
)
@click.option("--no-baseline", is_flag=True, help="Run neither the baseline, nor the untuned model, nor the floors.")
@click.option(
    "--rule", default="", metavar="NAME", help="How task gradients combine, in place of the method's own rule."
)
@click.option(
    "--sampler",
    default="",
    metavar="NAME",
    help="Which tasks a step draws, in place of the order that all methods share; not where a protocol weighs tasks.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of method, rule or sampler (`snibench show NAME` lists them); rule.KEY and sampler.KEY are theirs "
    "where the method has one of that name.",
)
@click.option(
    "--set-all",
    "everywhere",
    multiple=True,
    metavar="KEY=VALUE",
    help="Like --set, for the baseline, too.",
)
@click.option("--ablate", is_flag=True, help="Also run each method without one of its parts: every switch that is on.")
@click.option(
    "--suite",
    default=None,
    metavar="NAME",
    help=f"{defaults.SUITE} (default) or {defaults.SUITE_OF_DATA} (default with --data).",
)
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Folder of tasks in the official layout.")
@click.option("--split", default=None, metavar="NAME", help="official, families, or a folder with split lists.")
@click.option("--categories", type=CommaList(), default=(), help="Only tasks of these categories.")
@click.option(
    "--model",
    default=defaults.MODEL,
    show_default=True,
    metavar="SPEC",
    help="tiny, a model folder, a .gguf file, or a hub id.",
)
@click.option("--revision", default="", metavar="NAME", help="Branch, tag or commit of a hub model.")
@click.option(
    "--protocol", "protocols", multiple=True, metavar="NAME", help=f"Default: {', '.join(defaults.PROTOCOLS)}."
)
@click.option(
    "--train-format",
    default=defaults.FORMAT,
    show_default=True,
    metavar="NAME,...",
    help="Format of the training prompts; of several, one is drawn for each task in each step.",
)
@click.option(
    "--formats", type=CommaList(), default=None, help="Formats that the protocol `formats` compares; * and ? match."
)
@click.option(
    "--gap",
    "gap",
    type=CommaList(),
    default=None,
    metavar="MODE,...",
    help="Of the protocol `gap`: split (default), crossfit (two more fits a seed, on half of the seen tasks each).",
)
@click.option(
    "--combos",
    "combos",
    type=CommaList(),
    default=None,
    metavar="MODE,...",
    help="Of the protocol `combos`: switch (default), train (fits on mixtures of two families), train-lite (1:1 only).",
)
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    metavar="NAME=A,.../B,...",
    help="Two families for `combos`, of categories and tasks, in place of the suite's own; repeat for several.",
)
@click.option("--seeds", type=Seeds(), default=None, help="Training seeds, 0,1,2 or 0-4 (quick: 0-3; paper: 0-2).")
@click.option("--steps", type=click.IntRange(min=1), default=None, help="Training steps (profile quick: 90).")
@click.option("--per-step", type=PerStep(), default="8,4", show_default=True, help="Tasks per step, instances of each.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="Default: by method and model size.",
)
@click.option(
    "--optimizer",
    type=click.Choice(["adamw", "sgd", "muon"]),
    default="adamw",
    show_default=True,
    help="muon: of matrices, AdamW of the rest.",
)
@click.option(
    "--schedule",
    type=click.Choice(["constant", "averaged", "linear", "cosine"]),
    default="linear",
    show_default=True,
    help="Of the learning rate after the warm-up; linear and cosine fall to zero; averaged: constant, and the mean of "
    "the parameters over the last quarter of the steps is kept.",
)
@click.option(
    "--tune-budget",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Choose each method's learning rate from N trials on held-back training instances of seen tasks.",
)
@click.option("--tune-steps", type=click.IntRange(min=1), default=None, help="Steps of a trial (default: of a fit).")
@click.option("--max-input", type=click.IntRange(min=16), default=1024, show_default=True, help="Prompt tokens.")
@click.option("--max-output", type=click.IntRange(min=1), default=128, show_default=True, help="Answer tokens.")
@click.option(
    "--tasks", type=click.IntRange(min=2), default=None, help="At most N seen tasks; unseen ones in proportion."
)
@click.option("--instances", type=click.IntRange(min=1), default=None, help="Evaluation instances per task.")
@click.option("--limit", type=click.IntRange(min=1), default=None, help="Questions per task, format and protocol.")
@click.option(
    "--conflict",
    type=click.Choice(["off", "ends", "full"]),
    default="ends",
    show_default=True,
    help="When to measure gradient conflict.",
)
@click.option("--allow-leak", is_flag=True, help="Keep training data that also stands on the unseen side; marked.")
@click.option("--partial", is_flag=True, help="Go on where split lists name tasks that are not there.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of the base model.",
)
@click.option(
    "--rank-labels", is_flag=True, help="Also rank the labels of closed tasks; the score stays that of what is said."
)
@click.option("--batch-size", default="auto", show_default=True, help="Prompts answered at once.")
@click.option(
    "--profile",
    type=click.Choice(["quick", "paper"]),
    default=None,
    help="quick (default with mini) or paper (default with sni).",
)
@click.option(
    "--executor",
    type=click.Choice(["auto", "inline", "processes"]),
    default="auto",
    show_default=True,
    help="inline: fits one after the other; processes: side by side, a thread each; auto: the faster (profile quick).",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Fits side by side (default: the processor's cores); their number changes no result.",
)
@click.option(
    "--overwrite",
    type=click.Choice(["never", "failed", "always"]),
    default="never",
    show_default=True,
    help="Which stored fits to repeat.",
)
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the model.")
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where results lie.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@click.option("--json", "json_file", type=NewFile(), default=None, help="Also write every number here.")
@click.option("--save-config", type=NewFile(), default=None, help="Also write these options as a file for --config.")
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> int:
    """Tune with a method, run the protocols, and compare with the baseline.

    The same command again goes on where it stopped and recomputes nothing.
    """
    from snibench.plan.request import check_names

    request = _request(options)
    check_names(request)  # before torch is asked for the device: a typo costs no time
    _require_train()
    if options["save_config"] is not None:
        save_config(ctx, options["save_config"])

    from snibench.fits.run import planned, runtime_from
    from snibench.fits.run import run as run_all
    from snibench.store import Store

    runtime = runtime_from(options, request.profile, trust_remote_code=request.trust_remote_code)  # type: ignore[arg-type]
    if options["dry_run"]:
        made = planned(request, runtime.device)
        _show_plan(made, request)
        click.echo(_foreseen(made, request, options["output_dir"]))
        return 0
    store = Store(options["output_dir"])
    results = run_all(request, store, runtime, _run_progress(request, store))
    show_results(results, results.manifest.baseline, json_path=options["json_file"])
    return 0 if all(record.status == "done" for record in results.records) else 1


def _require_train() -> None:
    """Raises MissingExtra if what runs a model is not installed."""
    from importlib.util import find_spec

    if any(find_spec(package) is None for package in ("torch", "transformers", "peft")):
        raise MissingExtra("snibench run", "train")


def _request(options: dict[str, Any]) -> RunRequest:
    """The run that the options ask for."""
    from snibench.base.settings import parse_assignments
    from snibench.plan.options import request_from

    baseline = None if options["no_baseline"] else options["baseline"]
    settings = {
        "settings": parse_assignments(options["assignments"]),
        "settings_everywhere": parse_assignments(options["everywhere"]),
    }
    return request_from(options["methods"], {**options, "baseline": baseline, **settings})  # type: ignore[typeddict-item]


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
        planned=lambda made: _show_plan(made, request),
        searching=lambda made: watching(console, search_work(made.fits, request.trials, request.trial_steps)),
        searched=searched,
        fitting=lambda made, jobs: watching(console, work_left(made.fits, store), jobs=jobs),
    )


def _adapted(made: Plan, request: RunRequest) -> str:
    """Where adapters go, the same layers for every method that adapts some."""
    from snibench.engine.adapters import adapted_layers, described
    from snibench.engine.backbone import skeleton

    bare = skeleton(made.model, trust_remote_code=request.trust_remote_code)
    where = "known once the model is loaded" if bare is None else described(adapted_layers(bare))
    return f"Adapters go into the same layers for every method, {where}."


def _foreseen(made: Plan, request: RunRequest, folder: Path) -> str:
    """The difference that the run can find, by the variances of fits that are stored in ``folder`` if there are."""
    from snibench.base.errors import SnibenchError
    from snibench.report.power import forecast
    from snibench.report.questions import design_of
    from snibench.store import load_results

    try:
        stored = load_results(folder)
    except SnibenchError:
        stored = None
    return forecast(stored, design_of(made, len(request.seeds)))


def _show_plan(made: Plan, request: RunRequest) -> None:
    """The plan, in a few lines."""
    from rich.console import Console
    from rich.markup import escape

    console, trials = Console(), request.trials
    suite, spec = made.suite, max((fit.spec for fit in made.fits), key=lambda spec: spec.recipe.steps)
    prompts = [len({one.prompt_sha for part in fit.questions for one in part.rendered}) for fit in made.fits]
    most = max(made.fits, key=lambda fit: sum(len(part.rendered) for part in fit.questions))
    asked = ", ".join(f"{part.protocol} {len(part.rendered):,}" for part in most.questions)
    recipe = spec.recipe
    rates = sorted({fit.spec.recipe.learning_rate for fit in made.fits if fit.spec.recipe.steps})
    rate = " to ".join(f"{end:g}" for end in dict.fromkeys((*rates[:1], *rates[-1:])))
    searched = f" (the default; the best of {trials} for each method is searched for first)" if trials > 1 else ""
    mixtures = len({fit.spec.mixture for fit in made.fits if fit.spec.recipe.steps})
    tuned = (
        f"Each is tuned for {recipe.steps} steps of {recipe.tasks_per_step} tasks x {recipe.instances_per_task} "
        f"instances, learning rate {rate}{searched}, and"
        if recipe.steps
        else "Nothing is tuned; each"
    )
    lines = [
        f"Suite {suite.name}: {len(suite.seen)} seen tasks, {len(suite.unseen)} unseen. Model {request.model}, "
        f"{spec.precision}. Profile {request.profile.name}.",
        f"{len(made.fits)} fits: "
        + ", ".join(dict.fromkeys(fit.spec.label for fit in made.fits))
        + f"; seeds {', '.join(map(str, request.seeds))}"
        + (f"; on {mixtures} sets of tasks or mixtures of them." if mixtures > 1 else "."),
        f"{tuned} answers {'at most ' if len(set(prompts)) > 1 else ''}{max(prompts):,} different prompts "
        f"(questions: {asked}).",
        *([_adapted(made, request)] if recipe.steps else []),
        *made.notes,
    ]
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)
