"""Locks between processes; one that waits says which process it waits for."""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from snibench.base.errors import StoreError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK, HOLDER = ".lock", ".holder.json"
_SOFT = ".lock.soft"
_NO_FLOCK = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
# Seconds: before a wait is worth a word, between two tries, and between two words of one wait.
_BRIEF, _POLL, _AGAIN = 0.5, 0.2, 300.0


@contextmanager
def held(folder: Path, waiting: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Hold the lock of ``folder``, which is made if it is not there; says to ``waiting`` for whom this one waits.

    The system's own lock (flock), which ends with its process; a lock file where the file system has none.

    Raises:
        StoreError: If the lock cannot be made.
    """
    from filelock import Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
        patience, said = _BRIEF, ""
        while not lock.is_locked:
            try:
                lock.acquire(timeout=patience, poll_interval=_POLL)
            except Timeout:
                if (now := _who(folder, lock)) != said or patience == _AGAIN:
                    waiting(said := now)
                patience = _AGAIN if patience == _BRIEF else patience
    except OSError as error:
        raise StoreError(
            f"The folder '{folder}' cannot be locked ({error.strerror or error}). Make it writable, or name another "
            "with -o DIR."
        ) from error
    try:
        _sign(folder)
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def is_free(folder: Path) -> bool:
    """Whether no process holds the lock of ``folder`` now."""
    if not (folder / LOCK).exists() and not (folder / _SOFT).exists():
        return True
    lock = _lock(folder)
    free = lock.is_locked
    lock.release()
    return free and not (folder / _SOFT).exists()


def _lock(folder: Path) -> BaseFileLock:
    """The lock of ``folder``, tried once; not held if another has it."""
    from filelock import FileLock, SoftFileLock, Timeout

    lock: BaseFileLock = FileLock(folder / LOCK)
    try:
        with suppress(Timeout):
            lock.acquire(blocking=False)
    except NotImplementedError:
        return SoftFileLock(folder / _SOFT)
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
        return SoftFileLock(folder / _SOFT)
    return lock


def _sign(folder: Path) -> None:
    """Leave word who holds the lock; a word that cannot be left stops nobody."""
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:300],
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with suppress(OSError):
        (folder / HOLDER).write_text(json.dumps(holder), encoding="utf-8")


def _who(folder: Path, lock: BaseFileLock) -> str:
    """The sentence of a process that waits."""
    soft = lock.lock_file.endswith(_SOFT)
    left = (
        f" This file system has no locks that end with their process: if that one has ended, delete {lock.lock_file}."
        if soft
        else ""
    )
    try:
        found = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        pid, host, command, since = (_plain(found[name]) for name in ("pid", "host", "command", "since"))
    except (OSError, ValueError, KeyError, TypeError):
        return f"waiting for another process that works in {folder}.{left}"
    return f"waiting for process {pid} on {host} ({command}), which works in {folder} since {since}.{left}"


def _plain(value: object) -> str:
    """Text of a file that anybody may have written, for a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(value))[:300]
