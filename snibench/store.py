"""Where fits and answers lie on disk.

::

    runs/
      manifest.json                     what the last `run` asked for: fits and question sets
      <fit>/
        spec.json                       the FitSpec
        checkpoint.safetensors          only while tuning
        adapter/                        trainable parameters (peft's layout where peft made them)
        trace.parquet                   one row per step
        conflict/<share>.json|parquet   gradient conflict at a share of the training, and its task pairs
        tasks.parquet                   one row per task of the suite
        tuned.json                      the record as it stands after tuning: answering goes on from there
        record.json                     written last: seals the fit
        error.log                       the traceback of a method that failed
        predictions/<n>.parquet         immutable: what the fit answered to which prompt
        answers/<protocol>-<set>.parquet  immutable: one row per Question, with its scores

Every file is written beside its place, flushed to the disk and renamed, so that a reader sees all of it
or nothing, whatever was killed. A lock per fit keeps two writers from doing the same work twice.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.codec import from_json, to_json
from snibench.base.errors import StoreError
from snibench.base.hashing import canonical_json
from snibench.base.types import Answer, FitRecord, FitSpec, Manifest, PromptKey, Reply

if TYPE_CHECKING:
    import pandas as pd

ANSWER_COLUMNS = [field.name for field in fields(Answer)]


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


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folder and prove that it takes files.

        Raises:
            StoreError: If it cannot be made or written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise StoreError(
                f"The output folder '{self.root}' cannot be written ({error.strerror}). Name another with -o DIR."
            ) from error

    def folder(self, fit: str) -> Path:
        """Where one fit lies."""
        return self.root / fit

    @contextmanager
    def locked(self, fit: str) -> Iterator[None]:
        """Hold the fit's lock; a second process waits for the first one's work instead of repeating it."""
        from filelock import FileLock

        self.folder(fit).mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder(fit) / ".lock"):
            yield

    # ------------------------------------------------------------------------------ one fit

    def begin(self, spec: FitSpec) -> Path:
        """Write ``spec.json`` if it is not there, and return the fit's folder."""
        folder = self.folder(spec.id)
        if not (folder / "spec.json").exists():
            write_json(folder / "spec.json", to_json(spec))
        return folder

    def spec(self, fit: str) -> FitSpec:
        """The stored spec of ``fit``."""
        path = self.folder(fit) / "spec.json"
        return from_json(FitSpec, read_json(path), path, remedy="Delete the folder and repeat the run.")

    def record(self, fit: str) -> FitRecord | None:
        """The stored record of ``fit``, None if it was never sealed."""
        return self._record(fit, "record.json")

    def tuned(self, fit: str) -> FitRecord | None:
        """The record of ``fit`` as it stood after tuning, None if it was not tuned to the end."""
        return self._record(fit, "tuned.json")

    def _record(self, fit: str, name: str) -> FitRecord | None:
        path = self.folder(fit) / name
        if not path.exists():
            return None
        return from_json(FitRecord, read_json(path), path, remedy="Delete the folder and repeat the run.")

    def seal(self, record: FitRecord) -> None:
        """Write ``record.json``."""
        write_json(self.folder(record.fit) / "record.json", to_json(record))

    def keep_tuned(self, record: FitRecord) -> None:
        """Write ``tuned.json``: adapter and trace are on the disk."""
        write_json(self.folder(record.fit) / "tuned.json", asdict(record))

    def unseal(self, fit: str) -> None:
        """Remove ``record.json``, so that the fit goes on from what is stored."""
        (self.folder(fit) / "record.json").unlink()

    def clear(self, fit: str) -> None:
        """Remove all that a fit left, but not its lock, which the caller holds."""
        for path in self.folder(fit).iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    # --------------------------------------------------------------------------- predictions

    def replies(self, fit: str) -> dict[PromptKey, Reply]:
        """Replies of the fit so far."""
        import pyarrow.parquet as pq

        known: dict[PromptKey, Reply] = {}
        for path in sorted((self.folder(fit) / "predictions").glob("*.parquet")):
            rows = pq.read_table(path).to_pylist()
            replies = from_json(tuple[Reply, ...], rows, path, remedy="Delete the file and repeat the run.")
            known |= {(row["task"], row["prompt_sha"]): reply for row, reply in zip(rows, replies, strict=True)}
        return known

    def add_replies(self, fit: str, replies: Mapping[PromptKey, Reply]) -> None:
        """Keep one more part of what the fit answered."""
        import pandas as pd

        folder = self.folder(fit) / "predictions"
        part = len(list(folder.glob("*.parquet")))
        rows = [{"task": task, "prompt_sha": sha, **asdict(reply)} for (task, sha), reply in replies.items()]
        write_frame(folder / f"{part:05}.parquet", pd.DataFrame(rows))

    # ------------------------------------------------------------------------------- one run

    def write_manifest(self, manifest: Manifest) -> None:
        """Write ``manifest.json``: what reports read. What earlier runs asked for stays listed."""
        path = self.root / "manifest.json"
        if path.exists():
            manifest = _after(self.manifest(), manifest)
        write_json(path, to_json(manifest))

    def manifest(self) -> Manifest:
        """Manifest of the last run in this folder.

        Raises:
            StoreError: If there was none, or its manifest is damaged.
        """
        path = self.root / "manifest.json"
        if not path.exists():
            raise StoreError(
                f"There is no run in '{self.root}' (no manifest.json). Start one: snibench run -o {self.root}"
            )
        return from_json(Manifest, read_json(path), path, remedy="Delete it and repeat the run.")

    # ------------------------------------------------------------------------------- answers

    def answers_path(self, fit: str, protocol: str, question_set: str) -> Path:
        """Where the answers of one fit to one question set lie."""
        return self.folder(fit) / "answers" / f"{protocol}-{question_set}.parquet"

    def write_answers(
        self,
        fit: str,
        protocol: str,
        question_set: str,
        answers: Iterable[Answer],
        further: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Write the complete answers to one question set; ``further``: columns that not every run has."""
        import pandas as pd

        rows = [{name: getattr(answer, name) for name in ANSWER_COLUMNS} for answer in answers]
        frame = pd.DataFrame(rows, columns=ANSWER_COLUMNS)
        frame["targets"] = frame["targets"].map(list)
        frame = frame.assign(**(further or {}))
        write_frame(self.answers_path(fit, protocol, question_set), frame)


# ---------------------------------------------------------------------------------- reading


def _after(before: Manifest, now: Manifest) -> Manifest:
    """``now``, with the question sets of ``before`` as earlier ones, but for protocols that have changed since."""
    same = {
        name
        for name, version in before.protocol_versions.items()
        if now.protocol_versions.get(name, version) == version
    }
    earlier: dict[str, dict[str, str]] = {}
    for asked in (before.earlier, before.question_sets):
        for fit, sets in asked.items():
            kept = {protocol: digest for protocol, digest in sets.items() if protocol in same}
            earlier[fit] = {**earlier.pop(fit, {}), **kept}  # the latest last
    return replace(
        now,
        labels={**before.labels, **now.labels},
        controls=tuple(dict.fromkeys((*now.controls, *before.controls))),
        protocol_versions={
            **now.protocol_versions,
            **before.protocol_versions,
            **now.protocol_versions,
        },  # in the order of now
        protocol_settings={
            **now.protocol_settings,
            **before.protocol_settings,
            **now.protocol_settings,
        },  # in the order of now
        earlier=earlier,
    )


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


def read_frame(path: Path) -> pd.DataFrame:
    """The Parquet file ``path``.

    Raises:
        StoreError: If it cannot be read; names it.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"{path} cannot be read ({error}). Delete it and repeat the run.") from error


def read_json(path: Path) -> Any:
    """The JSON value in ``path``.

    Raises:
        StoreError: If the file is missing or not JSON; names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise StoreError(f"{path} is not JSON ({error}). Delete it and repeat the run.") from error


# ---------------------------------------------------------------------------------- writing


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, all or nothing."""
    canonical_json(value)  # refuses NaN before anything is written
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write ``frame`` as Parquet, all or nothing."""
    write_whole(path, lambda temporary: frame.to_parquet(temporary, index=False))


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a temporary file or folder, then put it at ``path`` in one step.

    A link stays, and what it leads to is replaced. What is neither file nor folder, such as a pipe or a device, is
    written to and never replaced.

    Raises:
        StoreError: If the disk does not take it, or a file is to be put where a folder is; what was there stays.
    """
    try:
        if _is_stream(path):
            _write_through(path, write)
            return
        target = path.resolve() if path.is_symlink() else path
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}."[:64], dir=target.parent) as holder:
            new = Path(holder) / target.name
            write(new)
            for file in [new, *new.rglob("*")]:
                if file.is_file():
                    _flush(file)
            if new.is_dir() and target.is_dir():
                shutil.rmtree(target)  # a folder cannot be renamed onto another
            new.replace(target)
            _flush(target.parent)
    except OSError as error:
        raise StoreError(
            f"'{path}' cannot be written ({error.strerror or error}). Free space or name another."
        ) from error


def require_file_place(path: Path) -> None:
    """Prove, before any work, that ``write_whole`` can put a file at ``path``; leaves nothing behind.

    Raises:
        StoreError: If it cannot.
    """
    try:
        if _is_stream(path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        target = path.resolve() if path.is_symlink() else path
        target.exists()  # a name that is too long
        _probe(target.parent)
    except OSError as error:
        raise StoreError(f"'{path}' cannot be written ({error.strerror or error}). Name another file.") from error


def require_folder_place(path: Path) -> None:
    """Prove, before any work, that files can be put into the folder ``path``; leaves nothing behind.

    Raises:
        StoreError: If they cannot.
    """
    try:
        _probe(path)
    except OSError as error:
        raise StoreError(f"'{path}' cannot be written ({error.strerror or error}). Name another folder.") from error


def _probe(folder: Path) -> None:
    """Make and drop a file in ``folder``, or in the folder that it would be made in."""
    while not folder.exists() and not folder.is_symlink():
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder):
        pass


def _is_stream(path: Path) -> bool:
    """Whether ``path`` is there and is neither file nor folder, or stands for an open file, as /dev/stdout does."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    descriptor = path.is_symlink() and path.absolute().as_posix().startswith(("/dev/", "/proc/"))
    return descriptor or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _write_through(path: Path, write: Callable[[Path], Any]) -> None:
    with tempfile.TemporaryDirectory() as holder:
        new = Path(holder) / path.name
        write(new)
        with new.open("rb") as whole, path.open("wb") as stream:
            shutil.copyfileobj(whole, stream)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
