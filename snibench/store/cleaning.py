"""Files of a results folder that no record needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snibench.base.errors import StoreError
from snibench.store import leftovers, locks
from snibench.store.folder import Store


@dataclass(frozen=True)
class Needless:
    """A file or folder that can go."""

    path: Path
    why: str
    size: int  # bytes


def needless(root: Path, *, unlisted: bool = False) -> list[Needless]:
    """Temporary folders of processes that are gone, and checkpoints of what is sealed; nothing that is under way.

    Args:
        root: A results folder.
        unlisted: Also fits that no run in the folder's manifest asked for.

    Raises:
        StoreError: If there is no run in the folder.
    """
    manifest = Store(root).manifest()
    listed = {*manifest.fits, *manifest.earlier}
    found = [Needless(path, "left by a process that was killed", 0) for path in leftovers.abandoned(root)]
    for spec in sorted(root.glob("*/spec.json")):
        if not locks.is_free(spec.parent):
            continue
        if unlisted and spec.parent.name not in listed:
            found.append(Needless(spec.parent, "a fit that no run lists", 0))
        elif _is_sealed(root, spec.parent.name):
            found += [Needless(path, "checkpoint of a fit that is sealed", 0) for path in _checkpoints(spec.parent)]
    for search in sorted(root.glob("searches/*/search.json")):
        if locks.is_free(search.parent):
            found += [
                Needless(path, "checkpoint of a trial that is done", 0)
                for path in _checkpoints(search.parent)
                if path.with_name(f"{path.name.split('.checkpoint.')[0]}.json").exists()
            ]
    kept = [one for one in found if not any(other.path in one.path.parents for other in found)]
    return [Needless(one.path, one.why, leftovers.size(one.path)) for one in kept]


def _is_sealed(root: Path, fit: str) -> bool:
    try:
        return Store(root).record(fit) is not None
    except StoreError:  # the next run goes on from what is there
        return False


def _checkpoints(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.glob("*checkpoint.*safetensors") if path.is_file())
