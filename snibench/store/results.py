"""What reports read: the fits of the last run in a folder, and of earlier ones, as frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import StoreError
from snibench.base.types import FitRecord, FitSpec, Manifest
from snibench.store.folder import Store
from snibench.store.reading import read_frame

if TYPE_CHECKING:
    import pandas as pd


class NothingDone(StoreError):
    """A run none of whose fits is done: there is nothing to report but why."""

    exit_code = 1


@dataclass(frozen=True)
class StoredRun:
    """All that a report needs, read from disk.

    ``answers``: columns of ``types.Answer`` plus ``method`` (label), ``seed``, ``train_format`` and ``floor``; of
    a run with ``--rank-labels`` also ``ranked`` and ``ranked_exact_match``, missing where there is nothing to rank.
    ``tasks``: one row per task. ``specs[i]`` belongs to ``records[i]``; fits that are not done have a record but no
    answers.
    """

    folder: Path
    answers: pd.DataFrame
    tasks: pd.DataFrame
    records: tuple[FitRecord, ...]
    specs: tuple[FitSpec, ...]
    manifest: Manifest


def load_results(folder: Path, *, earlier: bool = False) -> StoredRun:
    """Fits and answers of the last run in ``folder``, as frames.

    Args:
        folder: Of the results.
        earlier: Also the finished fits of earlier runs that share suite, model, precision and recipe with the last one;
            of one method on the same tasks with the same seed the latest alone.

    Raises:
        StoreError: If the folder holds no run, or something in it is unreadable; names the file.
        NothingDone: If no fit is done; says why.
    """
    import pandas as pd

    store = Store(folder)
    manifest = store.manifest()
    if earlier:
        manifest = _with_earlier(store, manifest)
    answers, tasks, records, specs = [], [], [], []
    for fit in manifest.fits:
        if not (store.folder(fit) / "spec.json").exists():
            raise StoreError(f"Run {fit} is listed in {folder / 'manifest.json'} but missing. Repeat the run.")
        spec, record = _labelled(store, fit, manifest), store.record(fit)
        if record is None:
            record = FitRecord(
                fit, spec.label, spec.method, spec.rule, spec.seed, "interrupted", "no record.json: repeat the run"
            )
        specs.append(spec)
        records.append(record)
        if record.status != "done":
            continue
        for protocol, question_set in manifest.question_sets[fit].items():
            path = store.answers_path(fit, protocol, question_set)
            if path.exists():
                frame = read_frame(path)
                about = frame.assign(method=spec.label, seed=spec.seed, train_format=spec.train_format)
                answers.append(about.assign(floor=spec.floor))
        tasks.append(read_frame(store.folder(fit) / "tasks.parquet"))
    if not answers:
        raise NothingDone(f"No fit in '{folder}' is done. {_causes(records)}")
    return StoredRun(
        folder=folder,
        answers=pd.concat(answers, ignore_index=True),
        # Later fits first: an older snibench may have stored less of a task.
        tasks=pd.concat(tasks[::-1]).drop_duplicates("task", ignore_index=True),
        records=tuple(records),
        specs=tuple(specs),
        manifest=manifest,
    )


def _with_earlier(store: Store, manifest: Manifest) -> Manifest:
    """``manifest`` as if its run had also asked for the finished fits of earlier runs that compare with its own."""
    asked = [_labelled(store, fit, manifest) for fit in manifest.fits if (store.folder(fit) / "spec.json").exists()]
    taken = {_place(spec): None for spec in asked}
    fits, sets = list(manifest.fits), dict(manifest.question_sets)
    for fit, further in list(manifest.earlier.items())[::-1]:
        if fit in manifest.fits:
            sets[fit] = {**further, **sets.get(fit, {})}
            continue
        record = store.record(fit)
        if record is None or record.status != "done":
            continue
        spec = _labelled(store, fit, manifest)
        if _place(spec) not in taken and any(_comparable(spec, one) for one in asked):
            taken[_place(spec)] = None
            fits.append(fit)
            sets[fit] = further
    added = dict.fromkeys(manifest.labels.get(fit, fit) for fit in fits[len(manifest.fits) :])
    notes = (f"From earlier runs in this folder: {', '.join(added)}.",) if added else ()
    return replace(manifest, fits=tuple(fits), question_sets=sets, notes=(*manifest.notes, *notes))


def _labelled(store: Store, fit: str, manifest: Manifest) -> FitSpec:
    """The stored spec with this run's label: an equal fit of a method by another name may have been stored first."""
    spec = store.spec(fit)
    return replace(spec, label=manifest.labels.get(fit, spec.label))


def _place(spec: FitSpec) -> tuple[Any, ...]:
    """Place of one row of answers in tables; two fits with one place cannot be distinguished there."""
    return spec.label, spec.seed, spec.mixture, spec.train_format


def _comparable(one: FitSpec, other: FitSpec) -> bool:
    """Whether both answered on the same terms and, if both were tuned, were tuned on the same ones but for the rate."""

    def answering(spec: FitSpec) -> tuple[Any, ...]:
        model, recipe = spec.model, spec.recipe
        limits = recipe.max_input, recipe.max_output
        return spec.suite_digest, model.digest, model.tokenizer_digest, spec.precision, limits

    def tuning(spec: FitSpec) -> tuple[Any, ...]:
        return replace(spec.recipe, learning_rate=0.0), spec.train_format

    tuned = one.recipe.steps and other.recipe.steps
    return answering(one) == answering(other) and (not tuned or tuning(one) == tuning(other))


def _causes(records: Sequence[FitRecord]) -> str:
    """Why none of the fits is done, each cause once, and what to do."""
    whose: dict[str, list[str]] = {}
    for record in records:
        if record.status != "interrupted":
            stage = f" (stage: {record.stage})" if record.stage else ""
            whose.setdefault(f"{record.cause.removesuffix('.')}{stage}.", []).append(record.label)
    if not whose:
        return "Repeat the run to go on."
    causes = [f"{', '.join(dict.fromkeys(labels))}: {cause}" for cause, labels in whose.items()]
    return " ".join([*causes, "To try again: --overwrite failed."])
