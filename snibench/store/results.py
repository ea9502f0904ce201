"""What reports read: the fits of the last run in a folder, and of earlier ones, as frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import StoreError
from snibench.base.types import FitRecord, FitSpec, Manifest
from snibench.store.folder import Store
from snibench.store.reading import distinct_files, read_frame, read_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


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

    def asked_by(self, protocol: str) -> pd.DataFrame:
        """The answers to one protocol, numbered from 0."""
        if protocol not in self._asked_by:
            chosen = (self.answers["protocol"] == protocol).to_numpy()
            rows = self.answers if chosen.all() else self.answers[chosen].reset_index(drop=True)
            self._asked_by[protocol] = rows
        return self._asked_by[protocol]

    @cached_property
    def _asked_by(self) -> dict[str, pd.DataFrame]:
        return {}


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
    specs: dict[str, FitSpec] = {}
    if earlier:
        manifest = _with_earlier(store, manifest, specs)
    records = []
    for fit in manifest.fits:
        if fit not in specs and not (store.folder(fit) / "spec.json").exists():
            raise StoreError(f"Run {fit} is listed in {folder / 'manifest.json'} but missing. Repeat the run.")
        spec, record = _labelled(store, fit, manifest, specs), store.record(fit)
        if record is None:
            record = FitRecord(
                fit, spec.label, spec.method, spec.rule, spec.seed, "interrupted", "no record.json: repeat the run"
            )
        records.append(record)
    done = [record.fit for record in records if record.status == "done"]
    answers = [
        _about(read_table(path), specs[fit])
        for fit in done
        for protocol, question_set in manifest.question_sets[fit].items()
        if (path := store.answers_path(fit, protocol, question_set)).exists()
    ]
    if not answers:
        raise NothingDone(f"No fit in '{folder}' is done. {_causes(records)}")
    # Later fits first: an older snibench may have stored less of a task.
    tasks = [read_frame(path) for path in distinct_files(store.folder(fit) / "tasks.parquet" for fit in done[::-1])]
    return StoredRun(
        folder=folder,
        answers=_joined(answers),
        tasks=pd.concat(tasks).drop_duplicates("task", ignore_index=True),
        records=tuple(records),
        specs=tuple(specs[fit] for fit in manifest.fits),
        manifest=manifest,
    )


def _about(answers: pa.Table, spec: FitSpec) -> pa.Table:
    """``answers`` with the columns that are the same in all rows of a fit."""
    import pyarrow as pa

    same = {"method": spec.label, "seed": spec.seed, "train_format": spec.train_format, "floor": spec.floor}
    for name, value in same.items():
        answers = answers.append_column(name, pa.repeat(pa.scalar(value), len(answers)))
    return answers


def _joined(answers: Sequence[pa.Table]) -> pd.DataFrame:
    """All answers as one frame, made once: columns are put end to end before they become a frame's."""
    import pyarrow as pa

    joined: pd.DataFrame = pa.concat_tables(answers, promote_options="permissive").combine_chunks().to_pandas()
    return joined


def _with_earlier(store: Store, manifest: Manifest, specs: dict[str, FitSpec]) -> Manifest:
    """``manifest`` as if its run had also asked for the finished fits of earlier runs that compare with its own.

    ``specs``: those read before, to which those read now are added.
    """
    asked = [
        _labelled(store, fit, manifest, specs) for fit in manifest.fits if (store.folder(fit) / "spec.json").exists()
    ]
    taken = {_place(spec): None for spec in asked}
    fits, sets = list(manifest.fits), dict(manifest.question_sets)
    for fit, further in list(manifest.earlier.items())[::-1]:
        if fit in manifest.fits:
            sets[fit] = {**further, **sets.get(fit, {})}
            continue
        record = store.record(fit)
        if record is None or record.status != "done":
            continue
        spec = _labelled(store, fit, manifest, specs)
        if _place(spec) not in taken and any(_comparable(spec, one) for one in asked):
            taken[_place(spec)] = None
            fits.append(fit)
            sets[fit] = further
    added = dict.fromkeys(manifest.labels.get(fit, fit) for fit in fits[len(manifest.fits) :])
    notes = (f"From earlier runs in this folder: {', '.join(added)}.",) if added else ()
    return replace(manifest, fits=tuple(fits), question_sets=sets, notes=(*manifest.notes, *notes))


def _labelled(store: Store, fit: str, manifest: Manifest, specs: dict[str, FitSpec]) -> FitSpec:
    """The stored spec with this run's label: an equal fit of a method by another name may have been stored first.

    ``specs``: those read before; each is read once.
    """
    if fit not in specs:
        spec = store.spec(fit)
        specs[fit] = replace(spec, label=manifest.labels.get(fit, spec.label))
    return specs[fit]


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
