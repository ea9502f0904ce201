"""Files that no record needs: of runs that were killed, and of fits that are sealed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TEMPORARY = re.compile(r"\.tmp\.(?P<host>.*)\.(?P<pid>\d+)\.[^.]+")
# Seconds after which another host's temporary folder, below a lock that we hold, has nobody.
_FOREIGN = 600.0


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder in ``parent``, gone at the end; its name says whose it is, should the process not come to its end."""
    with tempfile.TemporaryDirectory(prefix=f".tmp.{_host()}.{os.getpid()}.", dir=parent) as holder:
        yield Path(holder)


def abandoned(folder: Path, *, below: bool = True) -> list[Path]:
    """Temporary folders in ``folder``, and in what lies ``below`` it, whose process is gone."""
    found = []
    for path in sorted(folder.glob("**/.tmp.*" if below else ".tmp.*")):
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or path.is_symlink() or not path.is_dir():
            continue
        if match["host"] == _host():
            gone = not _alive(int(match["pid"]))
        else:
            gone = time.time() - path.stat().st_mtime > _FOREIGN
        if gone:
            found.append(path)
    return found


def remove(path: Path) -> None:
    """Remove a file or a folder, whoever removes it at the same time."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file() and not one.is_symlink()]
    return sum(file.stat().st_size for file in files)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:32]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
