"""The fits of the last run in a folder, and of earlier ones, as frames that reports read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from snibench.base.errors import StoreError, first_line
from snibench.base.types import FileSeal, FitRecord, FitSpec, Manifest
from snibench.store.folder import Store
from snibench.store.reading import distinct_files, read_frame, read_parquet

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
    answers. ``damaged``: files that are not what was sealed, by their path in ``folder``; numbers never come from them.
    """

    folder: Path
    answers: pd.DataFrame
    tasks: pd.DataFrame
    records: tuple[FitRecord, ...]
    specs: tuple[FitSpec, ...]
    manifest: Manifest
    damaged: frozenset[str] = frozenset()

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

    def frames(self, fit: str, pattern: str) -> dict[str, pd.DataFrame]:
        """Tables that lie beside the answers of ``fit``, such as its trace, by file stem; only what was sealed."""
        paths = sorted((self.folder / fit).glob(pattern))
        sealed = self._sealed.get(fit)
        kept = [path for path in paths if path.relative_to(self.folder).as_posix() not in self.damaged]
        return {
            path.stem: read_frame(path)
            for path in kept
            if not sealed or path.relative_to(self.folder / fit).as_posix() in sealed
        }

    @cached_property
    def _sealed(self) -> dict[str, Mapping[str, FileSeal]]:
        """Seals of each fit's files; none of a fit of an older snibench."""
        return {record.fit: record.files for record in self.records}


def load_results(
    folder: Path,
    *,
    earlier: bool = False,
    manifest: Manifest | None = None,
    outcomes: Iterable[FitRecord] = (),
) -> StoredRun:
    """Fits and answers of the last run in ``folder``, as frames.

    Fits that were interrupted, and files that are not what was sealed, are named in records and notes; the others are
    read.

    Args:
        folder: Of the results.
        earlier: Also the finished fits of earlier runs that share suite, model, precision and recipe with the last one;
            of one method on the same tasks with the same seed the latest alone.
        manifest: Of another run than the last one.
        outcomes: Records of fits that are not done, which say more than what is stored.

    Raises:
        StoreError: If the folder holds no run, or something in it is unreadable; names the file.
        NothingDone: If no fit is done; says why.
    """
    import pandas as pd

    store = Store(folder)
    manifest = manifest or store.manifest()
    if earlier:
        manifest = _with_earlier(store, manifest)
    outcome_of = {record.fit: record for record in outcomes if record.status != "done"}
    fits = [_read(store, fit, manifest, outcome_of.get(fit)) for fit in manifest.fits]
    there = [fit for fit in fits if fit.spec is not None]
    done = [fit for fit in there if fit.answers]
    tables = [table for fit in done for table in fit.answers]
    for fit in done:
        fit.answers.clear()  # the joined copy alone stays in memory
    notes = [note for fit in fits for note in fit.notes]
    if unsealed := sum(fit.unsealed for fit in done):
        notes.append(
            f"{unsealed} of {len(fits)} fits were stored without digests, so that a change in them would not be found. "
            "The same run again seals them."
        )
    records = tuple(fit.record for fit in there if fit.record is not None)
    if not done:
        raise NothingDone(" ".join([f"No fit in '{folder}' is done.", *notes, _causes(records)]))
    # Later fits first: an older snibench may have stored less of a task.
    tasks = [read_frame(path) for path in distinct_files(store.folder(fit.fit) / "tasks.parquet" for fit in done[::-1])]
    return StoredRun(
        folder=folder,
        answers=_joined(tables),
        tasks=pd.concat(tasks).drop_duplicates("task", ignore_index=True),
        records=records,
        specs=tuple(fit.spec for fit in there if fit.spec is not None),
        manifest=replace(manifest, notes=(*manifest.notes, *notes)),
        damaged=frozenset(f"{fit.fit}/{name}" for fit in fits for name in fit.faults),
    )


@dataclass(frozen=True)
class _Read:
    """One fit of a run, as far as it can be read; ``answers`` only of one that is done."""

    fit: str
    spec: FitSpec | None = None
    record: FitRecord | None = None
    answers: list[pa.Table] = field(default_factory=list)
    faults: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def unsealed(self) -> bool:
        return self.record is not None and not self.record.files


def _read(store: Store, fit: str, manifest: Manifest, outcome: FitRecord | None) -> _Read:
    label = manifest.labels.get(fit, fit)
    if not store.begun(fit):
        return _Read(fit, notes=(f"{label} is listed, but nothing of fit {fit} is stored. Repeat the run.",))
    try:
        spec = _labelled(store, fit, manifest)
    except StoreError as error:
        return _Read(fit, notes=(f"{label} is left out: {first_line(error)}",))
    record = outcome or _record(store, spec)
    if record.status != "done":
        return _Read(fit, spec, record)
    faults = store.faults(record)
    asked = manifest.question_sets.get(fit, {})
    paths = {protocol: store.answers_path(fit, protocol, digest) for protocol, digest in asked.items()}
    names = {path.relative_to(store.folder(fit)).as_posix() for path in paths.values()}
    if wrong := [f"{name} {fault}" for name, fault in faults.items() if name in {*names, "spec.json", "tasks.parquet"}]:
        cause = f"{'; '.join(wrong)}: repeat the run, which makes it again"
        return _Read(fit, spec, replace(record, status="damaged", cause=cause), faults=faults)
    return _sealed(store, spec, record, asked, faults)


def _sealed(
    store: Store, spec: FitSpec, record: FitRecord, asked: Mapping[str, str], faults: Mapping[str, str]
) -> _Read:
    """A fit that is done, with its answers to the question sets that were ``asked``."""
    who = f"{spec.label}, seed {spec.seed}"
    notes = [f"{who}: {name} {fault}, and is not read." for name, fault in faults.items()]
    answers = []
    for protocol, digest in asked.items():
        if not store.answered(record, protocol, digest):
            notes.append(f"{who}: no answers to {protocol} yet. Repeat the run.")
            continue
        answers.append(_about(read_parquet(store.answers_path(record.fit, protocol, digest)), spec))
    return _Read(record.fit, spec, record, answers, faults, tuple(notes))


def _about(answers: pa.Table, spec: FitSpec) -> pa.Table:
    """``answers`` with the columns that are the same in all rows of a fit."""
    import pyarrow as pa

    same = {"method": spec.label, "seed": spec.seed, "train_format": spec.train_format, "floor": spec.floor}
    for name, value in same.items():
        answers = answers.append_column(name, pa.repeat(pa.scalar(value), len(answers)))
    return answers


def _joined(answers: list[pa.Table]) -> pd.DataFrame:
    """All answers as one frame; ``answers`` is emptied.

    Columns are put end to end before they become a frame's, one at a time, and those of the fits are let go: a thousand
    fits are gigabytes.
    """
    import pyarrow as pa

    parts = pa.concat_tables(answers, promote_options="permissive")
    answers.clear()
    columns = {}
    for name in parts.column_names:
        columns[name] = parts[name].combine_chunks()
        parts = parts.drop_columns(name)
    whole = pa.table(columns)
    columns.clear()
    frame: pd.DataFrame = whole.to_pandas(split_blocks=True, self_destruct=True)
    return frame


def _record(store: Store, spec: FitSpec) -> FitRecord:
    """The stored record of a fit, or one that says why there is none."""

    def lacking(status: Literal["damaged", "interrupted"], cause: str) -> FitRecord:
        return FitRecord.of(spec, status, cause)

    try:
        return store.record(spec.id) or lacking("interrupted", "not finished: repeat the run to go on")
    except StoreError as error:
        return lacking("damaged", first_line(error))


def _with_earlier(store: Store, manifest: Manifest) -> Manifest:
    """``manifest`` as if its run had also asked for the finished fits of earlier runs that compare with its own."""
    asked = []
    for fit in manifest.fits:
        with suppress(StoreError):  # named where the fits are read
            asked.append(_labelled(store, fit, manifest))
    taken = {_place(spec): None for spec in asked}
    fits, sets = list(manifest.fits), dict(manifest.question_sets)
    for fit, further in list(manifest.earlier.items())[::-1]:
        if fit in manifest.fits:
            sets[fit] = {**further, **sets.get(fit, {})}
            continue
        try:
            record, spec = store.record(fit), _labelled(store, fit, manifest)
        except StoreError:  # none of this run's
            continue
        if record is None or record.status != "done":
            continue
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


def _comparable(first: FitSpec, second: FitSpec) -> bool:
    """Whether both answered on the same terms and, if both were tuned, were tuned on the same ones but for the rate."""

    def answering(spec: FitSpec) -> tuple[Any, ...]:
        model, recipe = spec.model, spec.recipe
        limits = recipe.max_input, recipe.max_output
        return spec.suite_digest, model.digest, model.tokenizer_digest, spec.precision, limits

    def tuning(spec: FitSpec) -> tuple[Any, ...]:
        return replace(spec.recipe, learning_rate=0.0), spec.train_format

    tuned = first.trains and second.trains
    return answering(first) == answering(second) and (not tuned or tuning(first) == tuning(second))


def _causes(records: Sequence[FitRecord]) -> str:
    """Why none of the fits is done, each cause once, and what to do."""
    whose: dict[str, list[str]] = {}
    for record in records:
        if record.status not in ("done", "interrupted"):
            stage = f" (stage: {record.stage})" if record.stage else ""
            whose.setdefault(f"{record.cause.removesuffix('.')}{stage}.", []).append(record.label)
    causes = [f"{', '.join(dict.fromkeys(labels))}: {cause}" for cause, labels in whose.items()]
    return " ".join([*causes, what_to_do(record.status for record in records)])


def what_to_do(statuses: Iterable[str]) -> str:
    """Instruction how fits of these statuses are gone on with, or tried again."""
    rest = set(statuses) - {"done"}
    on = "Repeat the run to go on." if not rest or rest & {"interrupted", "damaged"} else ""
    again = "To try again: --overwrite failed." if rest - {"interrupted", "damaged"} else ""
    return " ".join(filter(None, (on, again)))
