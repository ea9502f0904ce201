"""Files, written all or nothing: beside their place, flushed to the disk, renamed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import StoreError
from snibench.base.hashing import canonical_json
from snibench.store.leftovers import temporary_folder

if TYPE_CHECKING:
    import pandas as pd

# An error of the system in the words of a library that is not Python's, such as safetensors.
_NATIVE = re.compile(r"\(os error (\d+)\)")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, all or nothing."""
    canonical_json(value)  # refuses NaN before anything is written
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write ``frame`` as Parquet with checksums of its pages, all or nothing."""
    write_whole(path, lambda temporary: frame.to_parquet(temporary, index=False, write_page_checksum=True))


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
        with temporary_folder(target.parent) as holder:
            new = holder / target.name
            write(new)
            for file in [new, *new.rglob("*")]:
                if file.is_file():
                    flush(file)
            if new.is_dir() and target.is_dir():
                shutil.rmtree(target)  # a folder cannot be renamed onto another
            new.replace(target)
            flush(target.parent)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    except Exception as error:
        if (number := _NATIVE.search(str(error))) is None:
            raise
        raise _unwritable(path, os.strerror(int(number[1]))) from error


def _unwritable(path: Path, cause: str) -> StoreError:
    return StoreError(f"'{path}' cannot be written ({cause}). Free space, or make it writable, and repeat the command.")


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


def flush(path: Path) -> None:
    """Have a file, or the entries of a folder, written to the disk before anything else happens."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
