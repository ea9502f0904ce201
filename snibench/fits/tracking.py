"""Fits as runs of experiment trackers, through accelerate: what is logged, and that no logger stops a fit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from snibench.base.errors import SnibenchError, first_line
from snibench.base.types import FitSpec
from snibench.engine.progress import Tuning
from snibench.fits.context import FitProgress
from snibench.fits.isolation import generators_kept
from snibench.plan.plan import FitPlan
from snibench.store import Store, read_frame

FAILS = "--report-to "  # how the sentence about a logger's failure begins; a run says each once
PROJECT = "snibench"
LOGS = "logs"  # below the output folder
_UNFIT = re.compile(r"[^\w.+@=-]+")  # for a folder's name


class Reporting:
    """The trackers that fits of one process report to; one that has failed is left alone from then on."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    @contextmanager
    def tracked(self, fit: FitPlan, store: Store, progress: FitProgress) -> Iterator[FitProgress]:
        """``progress`` that also logs: a run of each tracker for the fit, its steps, and at the end its scores.

        What a tracker raises becomes a note, once; numbers are those of a fit without trackers, as the global
        generators are left as they were.
        """
        runs: dict[str, Any] = {}

        def each(act: Callable[[str, Any], None]) -> None:
            for name, run in list(runs.items()):
                try:
                    with generators_kept():
                        act(name, run)
                except (Exception, SystemExit) as error:
                    runs.pop(name)
                    if name in self.names:
                        self.names.remove(name)
                    progress.on_note(f"{FAILS}{name} failed ({first_line(error)}); the run goes on without it.")

        def on_step(state: Tuning, steps: int) -> None:
            progress.on_step(state, steps)
            row = state.trace[-1]
            values = {f"train/{key}": value for key, value in row.items() if key != "step"}
            each(lambda name, run: run.log(values, step=state.step))

        runs |= dict.fromkeys(self.names)
        each(lambda name, run: runs.__setitem__(name, _started(name, fit.spec, store.root)))
        try:
            yield replace(progress, on_step=on_step) if runs else progress
        finally:
            if runs:
                values = _outcome(fit, store)
                each(lambda name, run: run.log(values, step=fit.spec.recipe.steps) if values else None)
                each(lambda name, run: run.finish())


def _started(name: str, spec: FitSpec, root: Path) -> Any:
    """A run of the tracker ``name`` that knows what is fitted."""
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState()  # the trackers' own log asks for it
    logs = root / LOGS
    title = f"{spec.label} seed {spec.seed}"
    if name == "tensorboard":
        label = _UNFIT.sub("_", spec.label)[:80]
        run = LOGGER_TYPE_TO_CLASS[name](f"{label}-seed{spec.seed}-{spec.id[:8]}", logging_dir=logs)
    elif name == "mlflow":
        run = LOGGER_TYPE_TO_CLASS[name](PROJECT, run_name=title)
    elif name == "wandb":
        logs.mkdir(exist_ok=True)
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        run = LOGGER_TYPE_TO_CLASS[name](project, name=title, group=root.name, dir=str(logs))
    else:
        run = LOGGER_TYPE_TO_CLASS[name](PROJECT, name=title)
    if callable(start := getattr(run, "start", None)):
        start()
    run.store_init_configuration(_configuration(spec))
    return run


def _configuration(spec: FitSpec) -> dict[str, Any]:
    """Configuration of a fit as trackers take it: texts, numbers and truth values."""
    about: dict[str, Any] = {"method": spec.label, "seed": spec.seed, "fit": spec.id, "model": spec.model.spec}
    about |= {"suite": spec.suite.name, "train_format": spec.train_format, "precision": spec.precision}
    recipe = {name: getattr(spec.recipe, name) for name in type(spec.recipe).__dataclass_fields__}
    parts: Mapping[str, Mapping[str, Any]] = {
        "": recipe,
        "set.": spec.settings,
        "rule.": spec.rule_settings,
        "sampler.": spec.sampler_settings,
    }
    for head, values in parts.items():
        about |= {f"{head}{key}": value for key, value in values.items()}
    return {key: value if isinstance(value, str | int | float) else str(value) for key, value in about.items()}


def _outcome(fit: FitPlan, store: Store) -> dict[str, float]:
    """The scores of a fit, each the mean over tasks, with its gradient conflict and cost; none if it is not done."""
    found: dict[str, float] = {}
    with suppress(SnibenchError, OSError):
        record = store.record(fit.spec.id)
        if record is None or record.status != "done":
            return {}
        for part in fit.questions:
            rows = read_frame(store.answers_path(fit.spec.id, part.protocol, part.digest))
            means = rows.groupby(["seen", "task"])["score"].mean().groupby("seen").mean()
            for seen, mean in means.items():
                found[f"score/{part.protocol}/{'seen' if seen else 'unseen'}"] = float(mean)
        for point, values in record.conflict.items():
            if "score" in values:
                found[f"conflict/{point}"] = float(values["score"])
        found |= {"cost/seconds": record.seconds, "cost/peak_memory": float(record.peak_memory)}
        found["cost/trainable_parameters"] = float(record.trainable_parameters)
    return found
