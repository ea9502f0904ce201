"""One fit, from its spec to its answers on disk: the straight line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
from torch import nn

from snibench.base.errors import StoreError, first_line
from snibench.base.registry import METHODS
from snibench.base.types import FitRecord, FitSpec, SuiteData
from snibench.contracts import Floor, Method, Recorded
from snibench.data.general import passages
from snibench.engine.backbone import Backbone
from snibench.engine.checkpoint_files import remove_checkpoints
from snibench.engine.conflict import measure_conflict, probe_tasks
from snibench.engine.passage_loss import CARD, passage_losses
from snibench.engine.trained_parameters import load_trained, save_trained
from snibench.fits.answering import answer_by_floor, answer_by_record, ask, unanswered, write_rows
from snibench.fits.context import FitContext, FitProgress, Runtime
from snibench.fits.forecasts import compared
from snibench.fits.guard import StageFailed, guarded
from snibench.fits.isolation import contained
from snibench.fits.joint import Joint, joined
from snibench.fits.provenance import device_name, software_versions
from snibench.fits.standing import adapter_fault, standing
from snibench.fits.trainers import attach, load, trainer_of
from snibench.models.find import ModelSource
from snibench.plan.plan import FitPlan
from snibench.plan.questions import QuestionSet
from snibench.plan.task_table import task_frame
from snibench.store import Store, read_json, write_frame, write_json, write_whole

CHECKPOINT = "checkpoint.safetensors"
# At which share of the training the conflict is measured.
_CONFLICT_POINTS: Mapping[str, tuple[float, ...]] = {
    "off": (),
    "ends": (0.0, 1.0),
    "full": (0.0, 0.25, 0.5, 0.75, 1.0),
}


def run_one(
    fit: FitPlan, suite: SuiteData, source: ModelSource, store: Store, runtime: Runtime, progress: FitProgress
) -> FitRecord:
    """Tune what is not tuned, answer what is not answered, and return the fit's record, which is sealed last.

    A method that raises or diverges, in whichever stage, gives a record that says so, and the other fits go on. Such
    a record stays until ``runtime.overwrite`` has it tried again.

    Raises:
        Interrupted: On SIGINT, after the state is saved.
        SnibenchError: For what another fit would meet too, such as a full disk or a model that cannot be loaded.
    """
    spec = fit.spec
    with store.locked(spec.id, progress.on_note):
        state = standing(spec.id, store, runtime, progress.on_note)
        sealed = state.sealed
        if fit.unfit:
            return sealed if sealed and sealed.status == "done" else _unfit(fit, store)
        if sealed and sealed.status == "unfit":
            sealed = None  # by what the method says now, it has a place
        if sealed and sealed.status != "done":
            return sealed
        folder = store.begin(spec)
        if not (folder / "tasks.parquet").exists():
            write_frame(folder / "tasks.parquet", task_frame(suite))
        missing = [one for one in fit.questions if not store.answered(sealed, one.protocol, one.digest)]
        if sealed and not (missing or state.incomplete or state.unmeasured):
            record = sealed
        elif issubclass(METHODS.get(spec.method), Method):
            asked = list(fit.questions) if state.incomplete else missing
            tuned, measure = sealed or state.tuned, state.unmeasured
            work = _Work(fit, tuned, sealed, missing, asked, measure, suite, source, store, runtime, progress)
            record = compared(_worked(work), store)
        else:
            record = _answered_without_model(spec, sealed, missing, suite, store, progress)
        return record if record.status == "damaged" else _sealed(record, store, progress)


def _sealed(record: FitRecord, store: Store, progress: FitProgress) -> FitRecord:
    """``record`` as it is stored then, with the digests of all files of the fit."""
    if store.unsealed(record.fit):
        progress.on_note(f"{record.fit} was stored without digests of its files; it is sealed as it is now.")
    return store.seal(record)


def _unfit(fit: FitPlan, store: Store) -> FitRecord:
    """The record of a fit that has no place in its model; nothing is loaded for it."""
    spec = fit.spec
    store.begin(spec)
    return store.seal(FitRecord.of(spec, "unfit", fit.unfit, versions=software_versions()))


@dataclass(frozen=True)
class _Work:
    """One fit to be worked on, and all that this takes.

    ``tuned``: its record if it was tuned before. ``missing``: question sets without answers; ``asked``: those whose
    prompts need a reply, more where predictions were damaged; ``unmeasured``: its forgetting is measured again.
    """

    fit: FitPlan
    tuned: FitRecord | None
    sealed: FitRecord | None
    missing: Sequence[QuestionSet]
    asked: Sequence[QuestionSet]
    unmeasured: bool
    suite: SuiteData
    source: ModelSource
    store: Store
    runtime: Runtime
    progress: FitProgress


@contained
def _worked(work: _Work) -> FitRecord:
    """The record of a fit after all its stages, or after the one that failed; nothing is loaded for what is known."""
    spec, suite, store, tuned, progress = work.fit.spec, work.suite, work.store, work.tuned, work.progress
    folder = store.folder(spec.id)
    known = store.replies(spec.id, progress.on_note) if tuned else {}
    prompts = unanswered(work.asked, known, suite)
    if tuned and (prompts or work.unmeasured) and spec.trains and (fault := adapter_fault(tuned, store)):
        return _beyond_repair(work, f"{fault}, and only tuning makes it again: --overwrite failed", len(prompts))
    record = tuned or _record(spec)
    notes: Sequence[str] = ()
    try:
        if prompts or work.unmeasured or not tuned:
            backbone = load(spec, work.source, work.runtime, progress)
            record = tuned or _record(spec, backbone)
            with guarded("measure"):
                measured = (work.unmeasured or not tuned) and not backbone.encoder_decoder
                before = passage_losses(backbone, backbone.model, passages()) if measured else None
            with guarded("attach"):
                context = attach(spec, suite, backbone, folder, work.runtime, progress)
                if tuned and spec.trains:
                    try:
                        load_trained(context.model, folder / "adapter")
                    except StoreError as error:  # of an older snibench or peft
                        remedy = f"Delete {folder} to tune it again."
                        return _beyond_repair(work, f"{first_line(error)} {remedy}", len(prompts))
            if not tuned:
                record = _sized(record, context.model)
                with guarded("tune"):
                    record = _tune(context, record, work.source) if spec.trains else record
            if before is not None:
                with guarded("measure"):
                    _measure_forgetting(context, before)
            if not tuned:
                record = store.keep_tuned(replace(record, notes=(*record.notes, *work.fit.notes)))
            remove_checkpoints(folder / CHECKPOINT)
            with guarded("answer"):
                ranking = any(questions.ranked for questions in work.asked)
                replies, notes = ask(context, prompts, store, rank_labels=ranking)
                known |= replies
        with guarded("answer"):
            write_rows(spec.id, work.asked, known, suite, store)
        return replace(record, notes=(*record.notes, *sorted(set(notes).difference(record.notes))))
    except StageFailed as failure:
        return _failed(failure, record, folder)


def _beyond_repair(work: _Work, fault: str, prompts: int) -> FitRecord:
    """A fit whose stored parameters cannot be used: what it has answered stands, and no more is asked."""
    spec = work.fit.spec
    what = f"{prompts:,} prompts are left to be answered" if prompts else "the forgetting is to be measured again"
    cause = f"{what}, but {fault}"
    if work.sealed and not work.missing:
        work.progress.on_note(f"{cause.removesuffix('.')}. The answers that are stored stand.")
        return work.sealed
    return FitRecord.of(spec, "damaged", cause)


def _measure_forgetting(context: FitContext, before: pd.DataFrame) -> None:
    """Write the loss per token of every general passage ``before`` and after tuning; nothing tuned, nothing changed."""
    after = before
    if context.spec.trains:
        with context.method.for_prompts(context.model, [CARD], [""]):
            after = passage_losses(context.backbone, context.model, passages())
    frame = before.rename(columns={"loss": "before"}).assign(after=after["loss"])
    write_frame(context.folder / "forgetting.parquet", frame)


def _failed(failure: StageFailed, record: FitRecord, folder: Path) -> FitRecord:
    log = folder / "error.log"
    if failure.log:
        write_whole(log, lambda new: new.write_text(failure.log, encoding="utf-8", errors="backslashreplace"))
    return failure.sealed(record, log)


def _answered_without_model(
    spec: FitSpec,
    record: FitRecord | None,
    sets: Sequence[QuestionSet],
    suite: SuiteData,
    store: Store,
    progress: FitProgress,
) -> FitRecord:
    """The record of a floor or of answers given elsewhere, the stored one or a new one, after they are written."""
    progress.on_stage("answering")
    record = record or _record(spec)
    try:
        with guarded("attach"):
            method_type = METHODS.get(spec.method)
            method: Floor | Recorded = method_type(method_type.Settings(**spec.settings))
        with guarded("answer"):
            if isinstance(method, Floor):
                answer_by_floor(spec, method, sets, suite, store)
            else:
                answer_by_record(spec, method, sets, suite, store)
        return record
    except StageFailed as failure:
        return _failed(failure, record, store.folder(spec.id))


# ------------------------------------------------------------------------------------- tuning


def _tune(context: FitContext, record: FitRecord, source: ModelSource) -> FitRecord:
    """``record`` of what was tuned now, its parameters on disk."""
    spec, suite, folder = context.spec, context.suite, context.folder
    instances = {task: suite.training[task] for task in spec.mixture.tasks}
    trainer = trainer_of(context, instances)
    points = _CONFLICT_POINTS[context.runtime.conflict]
    chosen = (
        probe_tasks({task: suite.probe[task] for task in instances}, context.runtime.conflict_tasks) if points else {}
    )
    probe = {task: trainer.encode_instances(task, some) for task, some in chosen.items()}

    def measure(point: float) -> None:
        context.progress.on_stage("measuring the gradient conflict")
        with guarded("measure"):
            estimate = measure_conflict(trainer.task_losses, trainer.rule, probe, spec.seed)
        if estimate is not None:
            # Kept at once: a run that is killed later does not come back to this point.
            write_frame(folder / "conflict" / f"{point}.parquet", estimate.pairs)
            write_json(folder / "conflict" / f"{point}.json", dict(estimate.summary))
        context.progress.on_stage("tuning")

    joint = Joint(spec, suite, source, context.runtime, instances, folder / CHECKPOINT)
    with joined(joint, context.progress.on_stage) as ranks:
        context.progress.on_stage("tuning")
        tuned = trainer.run(
            joint.checkpoint,
            every=context.runtime.checkpoint_seconds,
            on_step=context.progress.on_step,
            pauses={round(point * spec.recipe.steps): partial(measure, point) for point in points if point < 1},
            ranks=ranks,
        )
    if 1.0 in points:
        measure(1.0)
    write_whole(folder / "adapter", lambda new: save_trained(context.model, new))
    write_frame(folder / "trace.parquet", pd.DataFrame(tuned.trace))
    return replace(
        record,
        processes=ranks.count,
        seconds=tuned.seconds,
        peak_memory=tuned.peak_memory,
        notes=(*dict.fromkeys(tuned.notes), *([f"tuned by {ranks.count} processes"] if ranks.count > 1 else [])),
        conflict={path.stem: read_json(path) for path in sorted((folder / "conflict").glob("*.json"))},
    )


def _record(spec: FitSpec, backbone: Backbone | None = None) -> FitRecord:
    """The record of a fit before its first stage: done, unless a stage says otherwise."""
    device = "" if backbone is None else device_name(backbone.device)
    return FitRecord.of(spec, "done", device=device, versions=software_versions())


def _sized(record: FitRecord, model: nn.Module) -> FitRecord:
    """``record`` with the model's parameter counts."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return replace(
        record,
        trainable_parameters=sum(size for size, trains in sizes if trains),
        total_parameters=sum(size for size, _ in sizes),
    )
