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
        record.json                     written last: seals the fit
        predictions/<n>.parquet         immutable: what the fit answered to which prompt
        answers/<protocol>-<set>.parquet  immutable: one row per Question, with its scores

Every file is written beside its place, flushed to the disk and renamed, so that a reader sees all of it
or nothing, whatever was killed. A lock per fit keeps two writers from doing the same work twice.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import StoreError
from snibench.base.hashing import canonical_json
from snibench.base.types import Answer, FitRecord, FitSpec, Mixture, ModelRef, Paths, Recipe, SuiteRequest

if TYPE_CHECKING:
    import pandas as pd

ANSWER_COLUMNS = [field.name for field in fields(Answer)]


@dataclass(frozen=True)
class Results:
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
    manifest: Mapping[str, Any]


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
            write_json(folder / "spec.json", asdict(spec))
        return folder

    def spec(self, fit: str) -> FitSpec:
        """The stored spec of ``fit``."""
        raw = read_json(self.folder(fit) / "spec.json")
        try:
            return FitSpec(
                **{
                    **raw,
                    "model": ModelRef(**raw["model"]),
                    "paths": Paths(**raw.get("paths", {})),
                    "suite": SuiteRequest(**{**raw["suite"], "categories": tuple(raw["suite"]["categories"])}),
                    "mixture": Mixture(tuple(raw["mixture"]["tasks"]), tuple(raw["mixture"]["weights"])),
                    "recipe": Recipe(**raw["recipe"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise StoreError(
                f"{self.folder(fit) / 'spec.json'} is not a fit's spec: {error}. Delete the folder."
            ) from error

    def record(self, fit: str) -> FitRecord | None:
        """The stored record of ``fit``, None if it was never sealed."""
        path = self.folder(fit) / "record.json"
        if not path.exists():
            return None
        raw = read_json(path)
        try:
            return FitRecord(**{**raw, "notes": tuple(raw["notes"])})
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path} is not a fit's record: {error}. Delete the folder.") from error

    def seal(self, record: FitRecord) -> None:
        """Write ``record.json``."""
        write_json(self.folder(record.fit) / "record.json", asdict(record))

    def clear(self, fit: str) -> None:
        """Remove all that a fit left, but not its lock, which the caller holds."""
        for path in self.folder(fit).iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    # --------------------------------------------------------------------------- predictions

    def predictions(self, fit: str) -> dict[tuple[str, str], dict[str, Any]]:
        """What the fit answered so far: (task, prompt_sha) -> the fields of ``evaluation.Reply``."""
        import pandas as pd

        found: dict[tuple[str, str], dict[str, Any]] = {}
        for path in sorted((self.folder(fit) / "predictions").glob("*.parquet")):
            for row in pd.read_parquet(path).to_dict("records"):
                found[row["task"], row["prompt_sha"]] = {str(key): value for key, value in row.items()}
        return found

    def add_predictions(self, fit: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep one more part of predictions."""
        import pandas as pd

        folder = self.folder(fit) / "predictions"
        part = len(list(folder.glob("*.parquet")))
        write_frame(folder / f"{part:05}.parquet", pd.DataFrame(rows))

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


def load_results(folder: Path) -> Results:
    """What the last run in ``folder`` asked for, as frames.

    Raises:
        StoreError: If the folder holds no run, or something in it is unreadable; names the file.
    """
    import pandas as pd

    if not (folder / "manifest.json").exists():
        raise StoreError(f"There is no run in '{folder}' (no manifest.json). Start one: snibench run -o {folder}")
    manifest = read_json(folder / "manifest.json")
    store = Store(folder)
    answers, tasks, records, specs = [], [], [], []
    for fit in manifest["fits"]:
        if not (store.folder(fit) / "spec.json").exists():
            raise StoreError(f"Run {fit} is listed in {folder / 'manifest.json'} but missing. Repeat the run.")
        spec, record = store.spec(fit), store.record(fit)
        # An equal fit of a method by another name may have been stored first.
        spec = replace(spec, label=manifest.get("labels", {}).get(fit, spec.label))
        if record is None:
            record = FitRecord(
                fit, spec.label, spec.method, spec.rule, spec.seed, "interrupted", "no record.json: repeat the run"
            )
        specs.append(spec)
        records.append(record)
        if record.status != "done":
            continue
        for protocol, question_set in manifest["question_sets"][fit].items():
            path = store.answers_path(fit, protocol, question_set)
            if path.exists():
                frame = read_frame(path)
                about = frame.assign(method=spec.label, seed=spec.seed, train_format=spec.train_format)
                answers.append(about.assign(floor=spec.floor))
        tasks.append(read_frame(store.folder(fit) / "tasks.parquet"))
    if not answers:
        raise StoreError(f"No fit in '{folder}' has finished. Repeat the run to go on.")
    return Results(
        folder=folder,
        answers=pd.concat(answers, ignore_index=True),
        # Later fits first: an older snibench may have stored less of a task.
        tasks=pd.concat(tasks[::-1]).drop_duplicates("task", ignore_index=True),
        records=tuple(records),
        specs=tuple(specs),
        manifest=manifest,
    )


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

    Raises:
        StoreError: If the disk does not take it, or a file is to be put where a folder is; what was there stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as holder:
            new = Path(holder) / path.name
            write(new)
            for file in [new, *new.rglob("*")]:
                if file.is_file():
                    _flush(file)
            if new.is_dir() and path.is_dir():
                shutil.rmtree(path)  # a folder cannot be renamed onto another
            new.replace(path)
            _flush(path.parent)
    except OSError as error:
        raise StoreError(
            f"'{path}' cannot be written ({error.strerror or error}). Free space or name another."
        ) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
