"""One results folder: its fits, what they answered, and the manifest of its last run."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from snibench.base.codec import from_json, to_json
from snibench.base.errors import StoreError, first_line
from snibench.base.hashing import canonical_json
from snibench.base.types import Answer, FitRecord, FitSpec, Manifest, PromptKey, Reply
from snibench.store import leftovers, locks, seals
from snibench.store.reading import read_json, read_parquet
from snibench.store.writing import write_frame, write_json

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # of two slashes a Path keeps one
_REPEAT = "Repeat the run."
ANSWER_COLUMNS = [field.name for field in fields(Answer)]


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the folder and prove that it takes files.

        Raises:
            StoreError: If it cannot be made or written, or is a URL.
        """
        if _URL.match(self.root.as_posix()):
            raise StoreError(
                f"'{self.root}' is a URL, and results are written into a folder. Name one with -o DIR; `snibench push` "
                "copies finished fits to a URL."
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise StoreError(
                f"The output folder '{self.root}' cannot be written ({error.strerror}). Name another with -o DIR."
            ) from error

    def folder(self, fit: str) -> Path:
        """Folder of one fit."""
        return self.root / fit

    @contextmanager
    def locked(self, fit: str, waiting: Callable[[str], None] = lambda text: None) -> Iterator[None]:
        """Hold the fit's lock; a second process waits for the first one's work instead of repeating it.

        ``waiting`` is passed a sentence about the process that this one waits for. What killed processes left in the
        folder is removed.
        """
        with locks.held(self.folder(fit), waiting):
            for path in leftovers.abandoned(self.folder(fit)):
                leftovers.remove(path)
            yield

    # ------------------------------------------------------------------------------ one fit

    def begin(self, spec: FitSpec) -> Path:
        """Write ``spec.json`` if it is not there, and return the fit's folder."""
        folder = self.folder(spec.id)
        if not (folder / "spec.json").exists():
            write_json(folder / "spec.json", to_json(spec))
        return folder

    def begun(self, fit: str) -> bool:
        """Whether anything of ``fit`` is stored."""
        return any((self.folder(fit) / name).exists() for name in ("spec.json", "tuned.json", "record.json"))

    def spec(self, fit: str) -> FitSpec:
        """The stored spec of ``fit``.

        Raises:
            StoreError: If it is missing or damaged.
        """
        path = self.folder(fit) / "spec.json"
        return from_json(FitSpec, read_json(path), path, remedy=_REPEAT)

    def record(self, fit: str) -> FitRecord | None:
        """The stored record of ``fit``, None if it was never sealed.

        Raises:
            StoreError: If it is damaged, or was changed after it was sealed.
        """
        return self._record(fit, "record.json")

    def tuned(self, fit: str) -> FitRecord | None:
        """The record of ``fit`` as it stood after tuning, None if it was not tuned to the end.

        Raises:
            StoreError: If it is damaged, or was changed since.
        """
        return self._record(fit, "tuned.json")

    def _record(self, fit: str, name: str) -> FitRecord | None:
        path = self.folder(fit) / name
        if not path.exists():
            return None
        raw = read_json(path)
        if not seals.is_sealed(raw):
            raise StoreError(f"{path} was changed after it was sealed. {_REPEAT}")
        return from_json(FitRecord, raw, path, remedy=_REPEAT)

    def unsealed(self, fit: str) -> bool:
        """Whether the record of ``fit`` is of an older snibench, which took no digests."""
        path = self.folder(fit) / "record.json"
        return path.exists() and "files" not in read_json(path)

    def seal(self, record: FitRecord) -> FitRecord:
        """Write ``record.json``, and return the record with the digests of the files that it had none of."""
        return self._write(record, "record.json")

    def keep_tuned(self, record: FitRecord) -> FitRecord:
        """Write ``tuned.json`` in the same way: adapter and trace are on the disk."""
        return self._write(record, "tuned.json")

    def _write(self, record: FitRecord, name: str) -> FitRecord:
        folder = self.folder(record.fit)
        record = replace(record, files=seals.sealed_files(folder, record.files))
        value = seals.with_seal(to_json(record))
        # As JSON: what is read back has lists where the record has tuples.
        if not ((folder / name).exists() and canonical_json(read_json(folder / name)) == canonical_json(value)):
            write_json(folder / name, value)
        return record

    def unseal(self, fit: str) -> None:
        """Remove ``record.json``, so that the fit goes on from what is stored."""
        leftovers.remove(self.folder(fit) / "record.json")

    def faults(self, record: FitRecord, *, only: str = "", by_size: Sequence[str] = seals.LARGE) -> dict[str, str]:
        """Differences of a fit's files from their seals, by name; to be read behind the name.

        Args:
            record: Of the fit.
            only: What names begin with.
            by_size: Beginnings of names of which no digest is taken; by default of what may be large.
        """
        found = {
            name: seals.file_fault(self.folder(record.fit) / name, seal, whole=not name.startswith(tuple(by_size)))
            for name, seal in record.files.items()
            if name.startswith(only)
        }
        return {name: fault for name, fault in found.items() if fault}

    def drop(self, record: FitRecord, names: Iterable[str]) -> FitRecord:
        """Remove files of a fit that can be made again, and return its record without them."""
        dropped = set(names)
        for name in dropped:
            leftovers.remove(self.folder(record.fit) / name)
        return replace(record, files={name: seal for name, seal in record.files.items() if name not in dropped})

    def clear(self, fit: str) -> None:
        """Remove all that a fit left, but not its lock, which the caller holds."""
        for path in self.folder(fit).iterdir():
            if not path.name.startswith((locks.LOCK, locks.HOLDER)):
                leftovers.remove(path)

    def restart(self, fit: str, *, whole: bool) -> None:
        """Remove what a fit without any record answered, which may be of other weights; if ``whole``, all of it."""
        if whole:
            self.clear(fit)
        for name in ("predictions", "answers"):
            leftovers.remove(self.folder(fit) / name)

    # --------------------------------------------------------------------------- predictions

    def replies(self, fit: str, damaged: Callable[[str], None] = lambda text: None) -> dict[PromptKey, Reply]:
        """Replies of the fit so far; parts that cannot be read are removed, and each is a sentence for ``damaged``."""
        replies: dict[PromptKey, Reply] = {}
        for path in sorted((self.folder(fit) / "predictions").glob("*.parquet")):
            try:
                replies |= _replies_in(path)
            except StoreError as error:
                leftovers.remove(path)
                damaged(f"{first_line(error)} Its prompts are asked again.")
        return replies

    def add_replies(self, fit: str, replies: Mapping[PromptKey, Reply]) -> None:
        """Keep one more part of what the fit answered."""
        import pandas as pd

        folder = self.folder(fit) / "predictions"
        part = 1 + max((int(path.stem) for path in folder.glob("*.parquet") if path.stem.isdigit()), default=-1)
        rows = [{"task": task, "prompt_sha": sha, **asdict(reply)} for (task, sha), reply in replies.items()]
        write_frame(folder / f"{part:05}.parquet", pd.DataFrame(rows))

    # ------------------------------------------------------------------------------- one run

    def write_manifest(self, manifest: Manifest) -> None:
        """Write ``manifest.json``: what reports read. What earlier runs asked for stays listed."""
        path = self.root / "manifest.json"
        with locks.held(self.root):
            for left in leftovers.abandoned(self.root, below=False):
                leftovers.remove(left)
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
        """Path of the answers of one fit to one question set."""
        return self.folder(fit) / "answers" / f"{protocol}-{question_set}.parquet"

    def answered(self, record: FitRecord | None, protocol: str, question_set: str) -> bool:
        """Whether the answers of a fit to one question set are there, under its seal where it has one."""
        if record is None:
            return False
        path = self.answers_path(record.fit, protocol, question_set)
        sealed = not record.files or path.relative_to(self.folder(record.fit)).as_posix() in record.files
        return sealed and path.exists()

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


def _replies_in(path: Path) -> dict[PromptKey, Reply]:
    rows = read_parquet(path).to_pylist()
    replies = from_json(tuple[Reply, ...], rows, path, remedy="")
    try:
        return {(row["task"], row["prompt_sha"]): reply for row, reply in zip(rows, replies, strict=True)}
    except KeyError as error:
        raise StoreError(f"{path} is damaged (no column {error}).") from error


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
