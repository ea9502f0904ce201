"""Digests of a fit's files: taken when the fit is sealed, held against the files whenever they are used.

They find what a disk, a copy or a hand has changed. They are no signature: who edits a file and its record alike is
not found out.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from snibench.base.hashing import digest, file_digest
from snibench.base.types import FileSeal

# Everything of a fit that numbers come from.
_PATTERNS = (
    *("spec.json", "tasks.parquet", "trace.parquet", "forgetting.parquet"),
    *("conflict/*", "adapter/*", "predictions/*.parquet", "answers/*.parquet"),
)
# Read by no report and perhaps gigabytes: their digests are taken where they are used, their sizes everywhere.
LARGE = ("adapter/", "predictions/")
# Only tuning makes these.
TUNED = ("adapter/", "trace.parquet", "conflict/")
# Measured from the base model and the adapter.
FORGETTING = "forgetting.parquet"

_KEY = "seal"  # of a record in JSON: the digest of all else in it


def sealed_files(folder: Path, seals: Mapping[str, FileSeal]) -> dict[str, FileSeal]:
    """``seals``, and the seal of every further file of the fit in ``folder``."""
    fresh = {
        name: FileSeal(_digest(path), path.stat().st_size)
        for name, path in sealable(folder).items()
        if name not in seals
    }
    return dict(sorted({**seals, **fresh}.items()))


def sealable(folder: Path) -> dict[str, Path]:
    """The files of the fit in ``folder`` that numbers come from, by their names in it."""
    found = sorted(path for pattern in _PATTERNS for path in folder.glob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found if not path.name.startswith(".")}


def is_name(name: str) -> bool:
    """Whether ``name`` may be that of a sealed file: below the fit's folder, and one that numbers come from."""
    parts = name.split("/")
    return not any(part.startswith(".") or "\\" in part for part in parts) and any(
        len(parts) == pattern.count("/") + 1 and fnmatchcase(name, pattern) for pattern in _PATTERNS
    )


def file_fault(path: Path, seal: FileSeal, *, whole: bool = True) -> str:
    """Difference between a file and its seal, to be read behind the file's name; "" if there is none.

    Args:
        path: The file.
        seal: As it was.
        whole: Also by digest, taken once per process for as long as the file stays as it is; else by size alone.
    """
    try:
        size = path.stat().st_size
        if size != seal.size:
            return f"has {size:,} bytes in place of {seal.size:,}"
        return "was changed after it was sealed" if whole and _digest(path) != seal.sha256 else ""
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def with_seal(record: dict[str, Any]) -> dict[str, Any]:
    """A record's JSON with the digest of it."""
    return {**record, _KEY: digest(record)}


def is_sealed(raw: Any) -> bool:
    """Whether a record's JSON is what ``with_seal`` made; also true of one without a digest, of an older snibench."""
    if not isinstance(raw, dict) or _KEY not in raw:
        return True
    return bool(raw[_KEY] == digest({name: value for name, value in raw.items() if name != _KEY}))


def _digest(path: Path) -> str:
    state = path.stat()
    return _digest_of(str(path.absolute()), (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))


@cache
def _digest_of(path: str, state: tuple[int, ...]) -> str:
    return file_digest(Path(path))
