"""Finished fits in object storage or another place with a URL: what is sealed goes there and comes back.

::

    <url>/
      manifests/<digest>.json   what a run asked for, with the time at which it was pushed
      <fit>/...                 the files that the fit's record seals, tuned.json, and last record.json

A fit is there once its record is, and its record names every file with its digest: so no lock is needed, a push that is
cut off leaves nothing that a pull would take, and a pull takes what is whole or nothing.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from snibench.base.codec import from_json, to_json
from snibench.base.errors import MissingExtra, SnibenchError, StoreError, first_line
from snibench.base.hashing import digest
from snibench.base.types import FitRecord, Manifest
from snibench.store import leftovers, locks, seals
from snibench.store.folder import Store
from snibench.store.reading import read_json
from snibench.store.writing import write_whole

_FIT = re.compile(r"[0-9a-f]{16}")
_FINISHED = ("done", "unfit")
_TUNED, _RECORD = "tuned.json", "record.json"


@dataclass
class Moved:
    """Fits by what became of them. ``left``: those that stay where they are, and why."""

    fits: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)  # already the same
    left: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)  # left, because something is not as it should be
    bytes: int = 0


def push(root: Path, url: str, say: Callable[[str], None] = lambda fit: None) -> Moved:
    """Copy the finished fits of the folder ``root`` to ``url``; a fit there is never replaced by a lesser one.

    Every file is held against its digest before it is copied. ``say`` is passed each fit that is copied.

    Raises:
        StoreError: If there is no run in the folder, or the URL cannot be written.
    """
    store, remote, moved = Store(root), _Remote(url), Moved()
    manifest = store.manifest()
    begun = {path.parent.name for name in ("spec.json", _RECORD) for path in root.glob(f"*/{name}")}
    for fit in sorted(begun):
        try:
            record = store.record(fit)
        except StoreError as error:
            moved.wrong[fit] = first_line(error)
            continue
        if record is None or (why := _unfinished(record)):
            moved.left[fit] = "it is not finished" if record is None else why
            continue
        if faults := store.faults(record, by_size=()):
            moved.wrong[fit] = "; ".join(f"{name} {fault}" for name, fault in faults.items())
            continue
        if (known := remote.record(fit)) is not None:
            if _covers(known, record):
                moved.there.append(fit)
                continue
            if not _covers(record, known):
                moved.wrong[fit] = f"{url} has other files of it"
                continue
        say(fit)
        for name, seal in record.files.items():
            if known is None or name not in known.files:
                remote.put(store.folder(fit) / name, f"{fit}/{name}")
                moved.bytes += seal.size
        if (store.folder(fit) / _TUNED).exists():
            remote.put(store.folder(fit) / _TUNED, f"{fit}/{_TUNED}")
        remote.put(store.folder(fit) / _RECORD, f"{fit}/{_RECORD}")
        moved.fits.append(fit)
    stored = to_json(manifest)
    name = f"manifests/{digest(stored)[:16]}.json"
    remote.write(name, json.dumps({"pushed": datetime.now(UTC).isoformat(), "manifest": stored}))
    return moved


def pull(url: str, root: Path, say: Callable[[str], None] = lambda fit: None) -> Moved:
    """Copy the fits at ``url`` into the folder ``root``, and list what their runs asked for in its manifest.

    Every file is held against its digest before any of a fit is put in place, under the fit's lock. A finished fit in
    the folder is never replaced by a lesser one; one that is not finished is replaced, unless it is under way.

    Raises:
        StoreError: If nothing was pushed to the URL, it cannot be read, or the folder cannot be written.
    """
    store, remote, moved = Store(root), _Remote(url), Moved()
    manifests = remote.manifests()
    if not manifests:
        raise StoreError(f"There is nothing at '{url}' that `snibench push` wrote.")
    store.prepare()
    for fit in remote.fits():
        try:
            _pull_fit(fit, store, remote, moved, say)
        except StoreError as error:
            if remote.failed:
                raise
            moved.wrong[fit] = first_line(error)
    known = None
    with suppress(StoreError):
        known = store.manifest()
    for manifest in manifests:
        if manifest != known:
            store.write_manifest(manifest)
    if known is not None:
        store.write_manifest(known)  # what this folder's own run asked for stays what reports show
    return moved


def _pull_fit(fit: str, store: Store, remote: _Remote, moved: Moved, say: Callable[[str], None]) -> None:
    record = remote.record(fit)
    if record is None or _unfinished(record):
        return
    folder = store.folder(fit)
    own = store.record(fit) if store.begun(fit) else None
    if own is not None and own.status not in _FINISHED:
        own = None
    if own is not None and _covers(own, record):
        moved.there.append(fit)
        return
    if own is not None and not _covers(record, own):
        moved.wrong[fit] = f"'{store.root}' has other files of it"
        return
    if not locks.is_free(folder):
        moved.left[fit] = "another process works on it"
        return
    say(fit)
    with leftovers.temporary_folder(store.root) as holder:
        fresh = Store(holder)
        names = [name for name in record.files if own is None or name not in own.files]
        for name in (*names, _TUNED, _RECORD):
            remote.get(f"{fit}/{name}", fresh.folder(fit) / name, needed=name != _TUNED)
        again = fresh.record(fit)
        faults = {name: f for name, f in fresh.faults(record, by_size=()).items() if name in names}
        if again is None or again.files != record.files or faults:
            said = "; ".join(f"{name} {fault}" for name, fault in faults.items()) or "it is being pushed now"
            moved.wrong[fit] = f"what is at the URL is not what was sealed: {said}"
            return
        with store.locked(fit):
            if own is None:
                store.clear(fit)
            for name in (*names, _TUNED, _RECORD):  # the record last: until then the fit is not finished
                if (new := fresh.folder(fit) / name).exists():
                    write_whole(folder / name, new.rename)
    moved.fits.append(fit)
    moved.bytes += sum(record.files[name].size for name in names)


def _unfinished(record: FitRecord) -> str:
    """Why a fit is not copied; "" if it is."""
    if record.status not in _FINISHED:
        return f"it is {record.status}"
    return "" if record.files else "it was stored without digests; the same run again seals it"


def _covers(one: FitRecord, other: FitRecord) -> bool:
    """Whether ``one`` has every file of ``other``, with the same content."""
    return all(one.files.get(name) == seal for name, seal in other.files.items())


class _Remote:
    """The files below one URL, through fsspec."""

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise MissingExtra("snibench push and pull", "remote") from error
        self.url, self.failed = url, False
        if "://" not in url:
            raise StoreError(f"'{url}' is no URL. Name one, such as s3://bucket/runs or file:///shared/runs.")
        with self._asked("used"):
            self._files, root = url_to_fs(url, use_listings_cache=False)
            self._root = str(root).rstrip("/")

    def fits(self) -> list[str]:
        """Names of fits with a record."""
        with self._asked("read"):
            found = self._files.ls(self._root, detail=False) if self._files.exists(self._root) else []
        names = sorted(PurePosixPath(path).name for path in found)
        return [name for name in names if _FIT.fullmatch(name)]

    def record(self, fit: str) -> FitRecord | None:
        """The record of a fit there, None if there is none.

        Raises:
            StoreError: If it is not what was sealed, or names a file that is no fit's.
        """
        raw, path = self._json(f"{fit}/{_RECORD}"), Path(f"{fit}/{_RECORD}")
        if raw is None:
            return None
        if not seals.is_sealed(raw):
            raise StoreError(f"'{self.url}/{path}' was changed after it was sealed.")
        record = from_json(FitRecord, raw, path, remedy="Push it again.")
        strange = [name for name in record.files if not seals.is_name(name)]
        if strange or record.fit != fit:
            raise StoreError(f"'{self.url}/{path}' is no record of fit {fit}.")
        return record

    def manifests(self) -> list[Manifest]:
        """What runs asked for, in the order in which they were pushed."""
        with self._asked("read"):
            paths = self._files.glob(f"{self._root}/manifests/*.json")
        found = []
        for name in (f"manifests/{PurePosixPath(path).name}" for path in paths):
            raw = self._json(name)
            if not isinstance(raw, dict) or not isinstance(raw.get("pushed"), str):
                raise StoreError(f"'{self.url}/{name}' is damaged. Delete it, and push again.")
            manifest = from_json(Manifest, raw.get("manifest"), Path(name), remedy="Delete it, and push again.")
            found.append((raw["pushed"], manifest))
        return [manifest for _, manifest in sorted(found, key=lambda each: each[0])]

    def put(self, path: Path, name: str) -> None:
        """Copy a file there."""
        with self._asked("written"):
            self._files.makedirs(f"{self._root}/{PurePosixPath(name).parent}", exist_ok=True)
            self._files.put_file(str(path), f"{self._root}/{name}")

    def write(self, name: str, text: str) -> None:
        """Write a text there."""
        with self._asked("written"):
            self._files.makedirs(f"{self._root}/{PurePosixPath(name).parent}", exist_ok=True)
            self._files.pipe_file(f"{self._root}/{name}", text.encode())

    def get(self, name: str, path: Path, *, needed: bool) -> None:
        """Copy a file from there; none if it is not ``needed`` and not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._asked("read"):
            if needed or self._files.exists(f"{self._root}/{name}"):
                try:
                    self._files.get_file(f"{self._root}/{name}", str(path))
                except FileNotFoundError:  # found missing when it is held against its digest
                    path.unlink(missing_ok=True)

    def _json(self, name: str) -> Any:
        with self._asked("read"):
            if not self._files.exists(f"{self._root}/{name}"):
                return None
        with tempfile.TemporaryDirectory() as holder:
            self.get(name, Path(holder) / PurePosixPath(name).name, needed=True)
            return read_json(Path(holder) / PurePosixPath(name).name)

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Inside, the storage is asked; whatever its client raises is a sentence."""
        try:
            yield
        except SnibenchError:
            raise
        except Exception as error:  # every client has errors of its own
            self.failed = True
            raise StoreError(f"'{self.url}' cannot be {what} ({first_line(error)}).") from error
