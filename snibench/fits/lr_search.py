"""The learning rate of each method, searched for with the same budget, on training instances of seen tasks alone.

The rule: N rates, the default first, the others around it, log-uniform over a factor of ten either way and the same
factors for every method. Each rate tunes once on the seen tasks' training instances without some that are held
back; the lowest mean loss on those wins, the lower rate at a tie. Evaluation and probe instances and unseen tasks are
not read. Steps, instances and their order are the same for all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import torch

from snibench.base.codec import from_json, to_json
from snibench.base.errors import Diverged, StoreError
from snibench.base.hashing import derive_seed, digest
from snibench.base.types import FitSpec, Instance, Mixture, Recipe, Search, SuiteData, Trial
from snibench.engine.checkpoint_files import remove_checkpoints
from snibench.engine.tuning import Trainer
from snibench.fits.context import FitProgress, Runtime
from snibench.fits.guard import StageFailed, guarded, heard
from snibench.fits.isolation import contained
from snibench.fits.joint import Joint, joined
from snibench.fits.trainers import attach, load, trainer_of
from snibench.models.find import ModelSource
from snibench.plan.plan import FitPlan, Plan
from snibench.store import Store, read_json, write_json

# Changes whenever the same search would try or choose other rates.
VERSION = 1
SPAN = 10.0  # rates lie within a factor of this around the default
SEED = derive_seed("search") % 2**31  # of initial values and order in a trial; no run's own
# Held back of a task's training instances: at most this number, at most this share, about this number over all tasks.
_MOST, _SHARE, _IN_ALL = 16, 5, 1024

Watch = Callable[[int, FitPlan], FitProgress]
Instances = dict[str, list[Instance]]  # by task


def draw_rates(default: float, count: int) -> list[float]:
    """``count`` rates, the default first; a longer list begins with the shorter one.

    Log-uniform within a factor of ``SPAN`` either way, spread by the golden ratio: independent draws would leave wide
    gaps, and a grid could not grow. To three digits.
    """
    golden = (math.sqrt(5) - 1) / 2
    factors = [SPAN ** (2 * ((0.5 + index * golden) % 1) - 1) for index in range(1, count)]
    return [default, *(float(f"{default * factor:.3g}") for factor in factors)]


def held_back(
    training: Mapping[str, Sequence[Instance]],
) -> tuple[dict[str, list[Instance]], dict[str, list[Instance]]]:
    """Per task, the instances to tune on in a trial, and those that are held back to score it.

    A fifth of a task's instances, at most 16, fewer where there are many tasks; none of a task with a single one.
    """
    kept, held = {}, {}
    for task, instances in training.items():
        count = max(1, min(_MOST, len(instances) // _SHARE, math.ceil(_IN_ALL / len(training))))
        count = min(count, len(instances) - 1)
        shuffled = Random(derive_seed("held back", task)).sample(list(instances), len(instances))
        kept[task], held[task] = shuffled[count:], shuffled[:count]
    return kept, {task: instances for task, instances in held.items() if instances}


def search_rates(
    planned: Plan, count: int, store: Store, runtime: Runtime, watch: Watch, *, steps: int | None = None
) -> tuple[Plan, tuple[Search, ...]]:
    """``planned`` with the best of ``count`` learning rates for each method, and what was tried.

    Trials that are stored are not repeated; one that was killed goes on from its checkpoint.

    Args:
        planned: Its fits have their default rates.
        count: Trials for each method. 1 = the default, nothing is tried.
        store: Where trials are kept, below ``searches``.
        runtime: Where trials run. With ``overwrite="always"`` stored ones are repeated.
        watch: Gives trial i of all trials its callbacks.
        steps: Of each trial; None = the fits' own.

    Raises:
        Interrupted: On SIGINT, after the state is saved.
    """
    searches: dict[str, Search] = {}
    fits = []
    for fit in planned.fits:
        if fit.unfit or not fit.spec.trains:
            fits.append(fit)
            continue
        base = _base(fit.spec, planned.suite, steps)
        if base.id not in searches:
            offset = count * len(searches)
            searches[base.id] = _searched(base, fit.spec.recipe, count, planned, store, runtime, watch, offset)
        search = searches[base.id]
        recipe = replace(fit.spec.recipe, learning_rate=search.rate)
        notes = (*fit.notes, search.note) if search.trials else fit.notes
        searched = bool(search.trials) or fit.spec.searched
        fits.append(replace(fit, spec=replace(fit.spec, recipe=recipe, searched=searched), notes=notes))
    return replace(planned, fits=tuple(fits)), tuple(searches.values())


def _base(spec: FitSpec, suite: SuiteData, steps: int | None) -> FitSpec:
    """Specs that all trials of a method share: its fits on all seen tasks, but for seed and rate."""
    recipe = replace(spec.recipe, learning_rate=0.0, steps=steps or spec.recipe.steps)
    return replace(spec, mixture=Mixture(tuple(suite.seen)), recipe=recipe, seed=SEED)


def _searched(
    base: FitSpec,
    recipe: Recipe,
    count: int,
    planned: Plan,
    store: Store,
    runtime: Runtime,
    watch: Watch,
    offset: int,
) -> Search:
    default = recipe.learning_rate
    if count < 2:
        return Search(base.label, default, default, ())
    name = f"searches/{digest([VERSION, base.id])[:16]}"
    kept, held = held_back({task: planned.suite.training[task] for task in base.mixture.tasks})
    with store.locked(name, lambda text: watch(offset, FitPlan(base, ())).on_note(text)):
        folder = store.folder(name)
        if runtime.overwrite == "always":
            store.clear(name)
        if not (folder / "search.json").exists():
            write_json(folder / "search.json", {"version": VERSION, "default": default, "method": to_json(base)})
        trials = []
        for index, rate in enumerate(draw_rates(default, count)):
            label = f"{base.label}, learning rate {rate:g}"
            spec = replace(base, recipe=replace(base.recipe, learning_rate=rate), label=label)
            path = folder / f"{rate:g}.json"
            if (trial := _stored(path)) is None:
                progress = heard(watch(offset + index, FitPlan(spec, ())))
                trial = _tried(spec, planned.suite, kept, held, planned.model, folder, runtime, progress)
                write_json(path, to_json(trial))
                progress.on_end("")
            trials.append(trial)
    return best_of(base.label, default, trials)


def best_of(label: str, default: float, trials: Sequence[Trial]) -> Search:
    """The rate with the lowest loss, the lower one at a tie; ``default`` where no trial has a loss."""
    losses = [(trial.loss, trial.rate) for trial in trials if trial.loss is not None]
    return Search(label, default, min(losses)[1] if losses else default, tuple(trials))


def _stored(path: Path) -> Trial | None:
    """The trial in ``path``, None if there is none or it is damaged: it is made again."""
    try:
        return from_json(Trial, read_json(path), path, remedy="") if path.exists() else None
    except StoreError:
        return None


@contained
def _tried(
    spec: FitSpec,
    suite: SuiteData,
    kept: Mapping[str, Sequence[Instance]],
    held: Mapping[str, Sequence[Instance]],
    source: ModelSource,
    folder: Path,
    runtime: Runtime,
    progress: FitProgress,
) -> Trial:
    """One rate, tuned and scored; a method that fails or diverges has no loss."""
    rate, steps = spec.recipe.learning_rate, spec.recipe.steps
    checkpoint = folder / f"{rate:g}.checkpoint.safetensors"
    backbone = load(spec, source, runtime, progress)
    started = time.perf_counter()
    try:
        with guarded("attach"):
            trainer = trainer_of(attach(spec, suite, backbone, folder, runtime, progress), kept)
        progress.on_stage("tuning")
        with guarded("tune"):
            with joined(Joint(spec, suite, source, runtime, kept, checkpoint), progress.on_stage) as ranks:
                tuned = trainer.run(checkpoint, every=runtime.checkpoint_seconds, on_step=progress.on_step, ranks=ranks)
            if not math.isfinite(loss := _mean_loss(trainer, held)):
                raise Diverged("the loss on held-back instances is not finite")
        trial = Trial(rate, loss, tuned.seconds, steps, spec.seed, "done")
    except StageFailed as failure:
        spent = time.perf_counter() - started
        trial = Trial(rate, None, spent, steps, spec.seed, failure.status, failure.cause)
    remove_checkpoints(checkpoint)
    return trial


@torch.no_grad()
def _mean_loss(trainer: Trainer, held: Mapping[str, Sequence[Instance]]) -> float:
    """Mean over tasks of the mean loss of their held-back instances."""
    trainer.model.eval()
    each = [
        float(trainer.task_losses.of([(task, trainer.encode_instances(task, instances))])[0])
        for task, instances in held.items()
    ]
    return sum(each) / len(each)
