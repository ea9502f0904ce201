"""The options of a run as the command and ``snibench.run`` take them, and the request that they make."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from snibench.base.errors import UsageError
from snibench.base.numbers import shown, whole_number
from snibench.base.reading import is_folder
from snibench.base.registry import RULES, SAMPLERS
from snibench.base.types import Recipe, SuiteRequest
from snibench.base.types.fits import CLIP, WARMUP, OptimizerName, RateSchedule
from snibench.data.own.rows import SUFFIXES
from snibench.data.own.tasks import is_own
from snibench.plan import defaults
from snibench.plan.names import make_executor, parse_executor
from snibench.plan.request import BY_SIZE, PROFILES, QUICK, RunRequest
from snibench.plan.trackers import check_trackers


class RequestOptions(TypedDict, total=False):
    """Options of ``snibench run`` that decide what is run: its long names, with underscores. None = the default."""

    baseline: str | None  # None: neither baseline, nor untuned model, nor floors
    rule: str
    sampler: str
    settings: Mapping[str, Any]
    settings_everywhere: Mapping[str, Any]
    ablate: bool
    suite: str | None
    data: str | None
    split: str | None
    categories: Sequence[str]
    tasks: int | None
    instances: int | None
    partial: bool
    allow_leak: bool
    model: str
    revision: str
    protocols: Sequence[str]
    formats: Sequence[str] | None
    gap: Sequence[str] | None
    combos: Sequence[str] | None
    pairs: Sequence[str]
    train_format: str
    seeds: Sequence[int]
    profile: Literal["quick", "paper"] | None
    steps: int | None
    per_step: tuple[int, int]
    learning_rate: float | None
    optimizer: OptimizerName
    schedule: RateSchedule
    warmup: float  # share of the steps
    clip: float  # 0: gradients are not clipped
    tune_budget: int
    tune_steps: int | None
    max_input: int
    max_output: int
    limit: int | None
    rank_labels: bool
    precision: Literal["auto", "float32", "bfloat16"]
    trust_remote_code: bool


class RuntimeOptions(TypedDict, total=False):
    """Options of ``snibench run`` that decide where and how it runs."""

    device: str
    batch_size: int | str  # or "auto"
    conflict: Literal["off", "ends", "full"]
    overwrite: Literal["never", "failed", "always"]
    executor: str  # "auto", or the name of one, with its settings in brackets
    jobs: int | None
    distributed: int  # processes that tune one fit together
    fit_timeout: float | None  # seconds of one fit; None = no limit
    report_to: Sequence[str]  # experiment trackers: tensorboard, wandb, mlflow, trackio


def check_runtime(options: RuntimeOptions) -> None:
    """Refuse runtime options that cannot be, without asking for the device.

    Raises:
        UsageError: If the batch size is no number, an executor or its setting is not there, there are jobs for the
            executor that runs one fit at a time, or another program has started this one several times.
    """
    _check_alone()
    check_trackers(options.get("report_to", ()))
    size = str(options.get("batch_size", "auto"))
    try:
        _ = size == "auto" or whole_number(size, least=1)
    except ValueError:
        raise UsageError(f"--batch-size must be auto or a positive whole number, but got '{shown(size)}'.") from None
    if (executor := options.get("executor", "inline")) != "auto":
        _, settings = parse_executor(executor)
        if settings:  # only then: the built-in executors import torch
            make_executor(executor)
    if options.get("jobs") and executor == "inline":
        raise UsageError("--jobs is for fits side by side: --executor processes.")
    if (count := options.get("distributed", 1)) < 1:
        raise UsageError(f"--distributed must be a positive whole number, but is {count}.")
    if (limit := options.get("fit_timeout")) is not None and not 0 < limit < math.inf:
        raise UsageError(f"--fit-timeout must be a finite number of seconds above 0, but is {limit}.")
    if limit is not None and not hasattr(signal, "SIGALRM"):
        raise UsageError("--fit-timeout needs a system with interval timers, such as Linux or macOS. Leave it out.")


def _check_alone() -> None:
    """Refuse to run as one of several processes that a launcher of torch.distributed has started."""
    if "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError(
            f"This is one of {shown(os.environ['WORLD_SIZE'])} processes of a launcher such as torchrun (RANK and "
            "WORLD_SIZE are set), and each would do the same run. Start snibench once, with --distributed N."
        )


def request_from(methods: Sequence[str], options: RequestOptions) -> RunRequest:
    """The run that ``options`` ask for.

    Raises:
        UsageError: If two options contradict each other.
    """
    chosen: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    trials, rate = chosen.get("tune_budget", 1), chosen.get("learning_rate", 0.0)
    if not math.isfinite(rate) or rate < 0:
        raise UsageError(f"The learning rate must be a finite number above 0, but is {rate}.")
    for option, bounds in (("warmup", WARMUP), ("clip", CLIP)):
        if not math.isfinite(value := chosen.get(option, 0.0)) or not bounds.hold(value):
            raise UsageError(f"--{option} must be a finite number {bounds}, but is {value}.")
    if trials > 1 and rate:
        raise UsageError("--tune-budget chooses the learning rate that --learning-rate sets. Name one of them.")
    suite = suite_request(
        chosen.get("suite"),
        chosen.get("data"),
        categories=tuple(chosen.get("categories", ())),
        **_some(chosen, "split", "tasks", "instances", "partial", "allow_leak"),
    )
    profile = PROFILES[chosen["profile"]] if "profile" in chosen else QUICK if suite.name == defaults.SUITE else BY_SIZE
    per_step = dict(zip(("tasks_per_step", "instances_per_task"), chosen.get("per_step", ()), strict=False))
    recipe = Recipe(
        steps=chosen.get("steps", profile.steps),
        learning_rate=rate,
        **per_step,
        **_some(chosen, "optimizer", "schedule", "warmup", "clip", "max_input", "max_output"),
    )
    changed = _some(
        chosen, "revision", "rule", "sampler", "train_format", "limit", "rank_labels", "trust_remote_code", "ablate"
    )
    for registry, option in ((RULES, "rule"), (SAMPLERS, "sampler")):
        if changed.get(option):
            changed[option] = registry.full_name(changed[option])
    if "train_format" in changed:
        changed["train_format"] = ",".join(dict.fromkeys(name.strip() for name in changed["train_format"].split(",")))
    changed |= {name: tuple(value) for name, value in _some(chosen, "protocols").items() if value}
    if "baseline" in options:
        changed["baseline"] = options["baseline"]
    return RunRequest(
        methods=tuple(methods),
        suite=suite,
        model=chosen.get("model", defaults.MODEL),
        settings={**_short(chosen), **chosen.get("settings", {})},
        everywhere=chosen.get("settings_everywhere", {}),
        profile=profile,
        recipe=recipe,
        seeds=tuple(chosen.get("seeds", ())) or profile.seeds,
        trials=trials,
        trial_steps=chosen.get("tune_steps"),
        precision=chosen.get("precision", "auto"),
        **changed,
    )


def _some(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}


def suite_request(suite: str | None, data: object = None, **fields: Any) -> SuiteRequest:
    """The request for ``suite``; without a name the embedded one, or what reads ``data`` by its form."""
    if suite is None:
        suite = defaults.SUITE if data is None else suite_of(Path(str(data)))
    return SuiteRequest(suite, data=None if data is None else str(data), **fields)


def suite_of(data: Path) -> str:
    """The suite that reads ``data``: of rows in CSV or JSONL files, else of tasks in the official layout."""
    try:
        rows = data.suffix.lower() in SUFFIXES and not is_folder(data)
        rows = rows or (is_folder(data) and not is_folder(data / "tasks") and _holds_rows(data))
    except (OSError, ValueError):  # what is wrong with it the suite says
        rows = False
    return defaults.SUITE_OF_ROWS if rows else defaults.SUITE_OF_DATA


def _holds_rows(folder: Path) -> bool:
    return any(map(is_own, folder.iterdir())) and not any(folder.glob("*.json"))


def _short(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that options of their own are short for."""
    return {key: tuple(options[option]) for option, key in defaults.SHORT.items() if options.get(option)}
