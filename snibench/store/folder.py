"""One results folder: its fits, what they answered, and the manifest of its last run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from snibench.base.codec import from_json, to_json
from snibench.base.errors import StoreError
from snibench.base.types import Answer, FitRecord, FitSpec, Manifest, PromptKey, Reply
from snibench.store.reading import read_json
from snibench.store.writing import write_frame, write_json

ANSWER_COLUMNS = [field.name for field in fields(Answer)]


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
