"""Time, memory and disk of the fits of a plan, from one real step and one real batch of answers of each method."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from snibench.base.registry import METHODS
from snibench.contracts import Method
from snibench.engine.trained_parameters import save_trained
from snibench.engine.tuning import device_memory
from snibench.fits.answering import ask, unanswered
from snibench.fits.context import FitProgress, Runtime
from snibench.fits.forecasts import Forecast
from snibench.fits.guard import StageFailed, guarded
from snibench.fits.isolation import contained
from snibench.fits.trainers import attach, load, trainer_of
from snibench.plan.plan import FitPlan, Plan
from snibench.store import Store

_PROMPTS = 32  # in the batch that is answered


def probe(
    planned: Plan, runtime: Runtime, begun: Callable[[FitPlan], FitProgress]
) -> tuple[dict[str, Forecast], dict[str, str]]:
    """Estimated cost of each fit, by its id; and why a method cannot be probed, by its label.

    A method is probed once for all its seeds and mixtures; nothing of it is kept. What needs no model (floors, answers
    given elsewhere) is left out, and methods that have no place in it.
    """
    forecasts: dict[str, Forecast] = {}
    causes: dict[str, str] = {}
    pace: dict[str, _Pace] = {}
    for fit in planned.fits:
        label = fit.spec.label
        if fit.unfit or label in causes or not issubclass(METHODS.get(fit.spec.method), Method):
            continue
        if label not in pace:
            try:
                pace[label] = _probed(planned, fit, runtime, begun(fit))
            except StageFailed as failure:
                causes[label] = failure.cause
                continue
        forecasts[fit.spec.id] = pace[label].of(fit, planned)
    return forecasts, causes


class _Pace:
    """Measured cost of one method."""

    def __init__(self) -> None:
        self.loading = self.step = self.prompt = 0.0  # seconds
        self.memory = self.adapter = self.checkpoint = 0  # bytes
        self.reply = 0.0  # bytes of one stored reply

    def of(self, fit: FitPlan, planned: Plan) -> Forecast:
        """Estimated cost of ``fit`` at this pace."""
        prompts = len(unanswered(fit.questions, {}, planned.suite))
        rows = sum(len(part.rendered) for part in fit.questions)
        return Forecast(
            loading=self.loading,
            tuning=self.step * fit.spec.recipe.steps,
            answering=self.prompt * prompts,
            memory=self.memory,
            disk=self.adapter + round(self.reply * (prompts + rows)),
            checkpoint=self.checkpoint,
        )


@contained
def _probed(planned: Plan, fit: FitPlan, runtime: Runtime, progress: FitProgress) -> _Pace:
    """One method attached, a step taken twice (the first is slower), and some prompts answered.

    Raises:
        StageFailed: If the method fails.
    """
    spec, pace = fit.spec, _Pace()
    with tempfile.TemporaryDirectory() as holder:
        folder = Path(holder)
        began = time.perf_counter()
        backbone = load(spec, planned.model, runtime, progress)
        with guarded("attach"):
            context = attach(spec, planned.suite, backbone, folder, replace(runtime, fit_timeout=None), progress)
        pace.loading = time.perf_counter() - began
        if spec.trains:
            with guarded("tune"):
                trainer = trainer_of(context, {task: planned.suite.training[task] for task in spec.mixture.tasks})
                trainer.model.train()
                for _ in range(2):
                    began = time.perf_counter()
                    trainer.step(trainer.draws.draw(trainer.progress.step))
                    pace.step = time.perf_counter() - began
                trainer.model.eval()
                trainer.save(folder / "checkpoint")
                save_trained(context.model, folder / "adapter")
            pace.checkpoint = _bytes(folder / "checkpoint")
            pace.adapter = _bytes(folder / "adapter")
        prompts = list(unanswered(fit.questions, {}, planned.suite).items())
        some = dict(prompts[:: max(1, len(prompts) // _PROMPTS)][:_PROMPTS])
        store = Store(folder / "store")
        began = time.perf_counter()
        with guarded("answer"):
            ask(context, some, store, rank_labels=any(part.ranked for part in fit.questions))
        if some:
            pace.prompt = (time.perf_counter() - began) / len(some)
            pace.reply = _bytes(folder / "store") / len(some)
        pace.memory = device_memory(backbone.device)
    return pace


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
