"""``snibench run``: the main job."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snibench.base.errors import MissingExtra, UsageError, unknown
from snibench.cli.report import show_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from snibench.base.types import Checked, FitRecord, Search
    from snibench.fits.run_one import Runtime
    from snibench.models.find import ModelSource
    from snibench.plan.plan import Plan
    from snibench.plan.request import RunRequest
    from snibench.store import Store


class CommaList(click.ParamType[tuple[Any, ...]]):
    """``a,b,c`` as a tuple of texts."""

    name = "NAME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The parts of ``value``, blanks around them dropped."""
        return (
            value if isinstance(value, tuple) else tuple(part.strip() for part in str(value).split(",") if part.strip())
        )


class Seeds(CommaList):
    """``0,1,2`` as a tuple of whole numbers."""

    name = "N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:  # type: ignore[override]  # other parts
        """The numbers in ``value``."""
        if isinstance(value, tuple):
            return value
        try:
            seeds = tuple(int(part) for part in super().convert(value, param, ctx))
        except ValueError:
            self.fail(f"seeds are whole numbers separated by commas, but got '{value}'", param, ctx)
        if not seeds or len(set(seeds)) != len(seeds):
            self.fail(f"name each seed once, but got '{value}'", param, ctx)
        return seeds


class PerStep(click.ParamType[tuple[int, int]]):
    """``K,M``: tasks per step, and instances of each."""

    name = "K,M"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The two numbers."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if len(parts) != 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
            self.fail(f"two positive whole numbers such as 8,4, but got '{value}'", param, ctx)
        return int(parts[0]), int(parts[1])


def _read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Defaults from a TOML file with the long option names as keys; flags and the environment override them."""
    if path is None:
        return
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"The config file '{path}' cannot be read ({error.strerror}).") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The config file '{path}' is not TOML: {error}.") from error
    names = {opt.removeprefix("--"): one.name for one in ctx.command.params for opt in one.opts if opt.startswith("--")}
    for key in values:
        if key not in names:
            raise unknown(f"option in {path}", key, names)
    ctx.default_map = {names[key]: value for key, value in values.items()}


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    help="TOML file with these options; flags override it.",
)
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    required=True,
    metavar="NAME",
    help="Method; repeat for several. Or METHOD+RULE, or FILE.py:Class.",
)
@click.option(
    "--baseline",
    default="unified-prompt",
    show_default=True,
    metavar="NAME",
    help="What the methods are compared with.",
)
@click.option("--no-baseline", is_flag=True, help="Run neither the baseline, nor the untuned model, nor the floors.")
@click.option(
    "--rule", default="", metavar="NAME", help="How task gradients combine, in place of the method's own rule."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of method or rule (`snibench show NAME` lists them); rule.KEY is the rule's where both have one.",
)
@click.option("--suite", default=None, metavar="NAME", help="mini (default) or sni (default with --data).")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Folder of tasks in the official layout.")
@click.option("--split", default=None, metavar="NAME", help="official, families, or a folder with split lists.")
@click.option("--categories", type=CommaList(), default=(), help="Only tasks of these categories.")
@click.option(
    "--model",
    default="tiny",
    show_default=True,
    metavar="SPEC",
    help="tiny, a model folder, a .gguf file, or a hub id.",
)
@click.option("--protocol", "protocols", multiple=True, metavar="NAME", help="Default: gap, formats and combos.")
@click.option(
    "--train-format", default="definition", show_default=True, metavar="NAME", help="Format of the training prompts."
)
@click.option(
    "--formats", type=CommaList(), default=None, help="Formats that the protocol `formats` compares; * and ? match."
)
@click.option(
    "--gap",
    "gap_modes",
    type=CommaList(),
    default=None,
    metavar="MODE,...",
    help="Of the protocol `gap`: split (default), crossfit (two more fits a seed, on half of the seen tasks each).",
)
@click.option(
    "--combos",
    "combo_modes",
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
@click.option("--seeds", type=Seeds(), default="0,1,2", show_default=True, help="Training seeds.")
@click.option("--steps", type=click.IntRange(min=1), default=None, help="Training steps (profile quick: 90).")
@click.option("--per-step", type=PerStep(), default="8,4", show_default=True, help="Tasks per step, instances of each.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    help="Default: by method and model size.",
)
@click.option(
    "--schedule",
    type=click.Choice(["constant", "linear", "cosine"]),
    default="linear",
    show_default=True,
    help="Of the learning rate after the warm-up; linear and cosine fall to zero.",
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
    "--tasks", type=click.IntRange(min=2), default=None, help="At most so many seen tasks; unseen ones in proportion."
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
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), default=None, help="Also write every number here."
)
def run(**options: Any) -> int:
    """Tune with a method, run the protocols, and compare with the baseline.

    The same command again goes on where it stopped and recomputes nothing.
    """
    from rich.console import Console

    console = Console()
    _require_train()
    from snibench.plan.plan import plan
    from snibench.plan.request import check_names
    from snibench.store import Store

    request = _request(options)
    check_names(request)
    trials = options["tune_budget"]
    if trials > 1 and options["learning_rate"]:
        raise UsageError("--tune-budget chooses the learning rate that --learning-rate sets. Name one of them.")
    store = Store(options["output_dir"])
    if not options["dry_run"]:
        store.prepare()
    made = plan(request, check=_check(options))
    _show_plan(console, made, request, trials)
    if options["dry_run"]:
        return 0
    runtime = _runtime(options, request.profile)
    made, searches = _search(console, made, store, runtime, trials, options["tune_steps"])
    records = _execute(console, made, store, runtime, searches)
    show_run(store.root, made.baseline, json_path=options["json_file"])
    return 0 if all(record.status == "done" for record in records) else 1


def _check(options: dict[str, Any]) -> Callable[[ModelSource], Checked]:
    """What decides how the model is read."""
    from functools import partial

    from snibench.engine.backbone import choose_device
    from snibench.engine.check import check_model

    return partial(check_model, device=choose_device(options["device"]), trust_remote_code=options["trust_remote_code"])


def _require_train() -> None:
    """Raises MissingExtra if what runs a model is not installed."""
    from importlib.util import find_spec

    if any(find_spec(package) is None for package in ("torch", "transformers", "peft")):
        raise MissingExtra("snibench run", "train")


def _request(options: dict[str, Any]) -> RunRequest:
    """The run that the options ask for."""
    from snibench.base.settings import parse_assignments
    from snibench.base.types import Recipe, SuiteRequest
    from snibench.engine.backbone import choose_device, choose_precision
    from snibench.plan.request import PAPER_STEPS, QUICK_STEPS, RunRequest

    suite = options["suite"] or ("sni" if options["data"] else "mini")
    profile = options["profile"] or ("quick" if suite == "mini" else "paper")
    data = options["data"]
    return RunRequest(
        methods=options["methods"],
        suite=SuiteRequest(
            name=suite,
            data=None if data is None else str(data),
            split=options["split"],
            tasks=options["tasks"],
            instances=options["instances"],
            categories=options["categories"],
            partial=options["partial"],
            allow_leak=options["allow_leak"],
        ),
        model=options["model"],
        rule=options["rule"],
        settings=parse_assignments(options["assignments"]),
        baseline=None if options["no_baseline"] else options["baseline"],
        protocols=options["protocols"] or ("gap", "formats", "combos"),
        protocol_settings=_protocol_settings(options),
        profile=profile,
        train_format=options["train_format"],
        seeds=options["seeds"],
        recipe=Recipe(
            steps=options["steps"] or (QUICK_STEPS if profile == "quick" else PAPER_STEPS),
            tasks_per_step=options["per_step"][0],
            instances_per_task=options["per_step"][1],
            learning_rate=options["learning_rate"] or 0.0,
            schedule=options["schedule"],
            max_input=options["max_input"],
            max_output=options["max_output"],
        ),
        limit=options["limit"],
        rank_labels=options["rank_labels"],
        precision=choose_precision(options["precision"], choose_device(options["device"]), options["model"]),
        trust_remote_code=options["trust_remote_code"],
    )


def _protocol_settings(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the options change about a protocol, by its name."""
    from fnmatch import filter as matching

    from snibench.base.registry import FORMATS

    patterns = options["formats"] or ()
    formats = dict.fromkeys(name for text in patterns for name in (matching(FORMATS.names(), text) or [text]))
    changes = {
        "formats": {"formats": tuple(formats)},
        "gap": {"modes": options["gap_modes"]},
        "combos": {"modes": options["combo_modes"], "pairs": tuple(options["pairs"])},
    }
    return {name: {key: value for key, value in given.items() if value} for name, given in changes.items()}


def _runtime(options: dict[str, Any], profile: str) -> Runtime:
    """Where and how the fits run."""
    from snibench.engine.backbone import choose_device
    from snibench.fits.run_one import Runtime

    size = str(options["batch_size"])
    if size != "auto" and (not size.isdigit() or int(size) < 1):
        raise UsageError(f"--batch-size must be auto or a positive whole number, but got '{size}'.")
    return Runtime(
        device=choose_device(options["device"]),
        batch_size=None if size == "auto" else int(size),
        conflict=options["conflict"],
        conflict_tasks=8 if profile == "quick" else 16,
        overwrite=options["overwrite"],
        trust_remote_code=options["trust_remote_code"],
    )


def _show_plan(console: Console, made: Plan, request: RunRequest, trials: int) -> None:
    """What will be done, in a few lines."""
    from rich.markup import escape

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
        f"{spec.precision}. Profile {request.profile}.",
        f"{len(made.fits)} fits: "
        + ", ".join(dict.fromkeys(fit.spec.label for fit in made.fits))
        + f"; seeds {', '.join(map(str, request.seeds))}"
        + (f"; on {mixtures} sets of tasks or mixtures of them." if mixtures > 1 else "."),
        f"{tuned} answers {'at most ' if len(set(prompts)) > 1 else ''}{max(prompts):,} different prompts "
        f"(questions: {asked}).",
        *made.notes,
    ]
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)


def _search(
    console: Console, made: Plan, store: Store, runtime: Runtime, trials: int, steps: int | None
) -> tuple[Plan, tuple[Search, ...]]:
    """The plan with the rates that were found, and what was tried for them."""
    from snibench.cli.progress import search_work, watching
    from snibench.fits.lr_search import search_rates

    with watching(console, search_work(made.fits, trials, steps)) as watch:
        made, searches = search_rates(made, trials, store, runtime, watch, steps=steps)
    for search in searches if trials > 1 else ():
        console.print(f"{search.label}: {search.note}.", markup=False, highlight=False, soft_wrap=True)
    return made, searches


def _execute(
    console: Console, made: Plan, store: Store, runtime: Runtime, searches: tuple[Search, ...]
) -> list[FitRecord]:
    """Run every fit that is not done, and leave the manifest that reports read."""
    from snibench.base.types import Manifest, SuiteRef
    from snibench.cli.progress import watching, work_left
    from snibench.fits.inline import run_all

    store.write_manifest(
        Manifest(
            fits=tuple(fit.spec.id for fit in made.fits),
            labels={fit.spec.id: fit.spec.label for fit in made.fits},
            same=made.same,
            question_sets={fit.spec.id: {part.protocol: part.digest for part in fit.questions} for fit in made.fits},
            protocol_versions={part.protocol: part.version for fit in made.fits for part in fit.questions},
            suite=SuiteRef(made.suite.name, made.suite.digest, made.suite.notes),
            baseline=made.baseline,
            searches=tuple(search for search in searches if search.trials),
        )
    )
    with watching(console, work_left(made.fits, store)) as watch:
        return run_all(made, store, runtime, watch)
