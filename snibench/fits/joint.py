"""One fit tuned by several processes of this machine: starting the others, and what becomes of them.

This process is the first, whatever executor it works for: it plans, saves, shows, measures and answers. The others run
``fits/follow.py`` for as long as the tuning lasts. They ignore Ctrl-C and write nothing: they end when the first one
ends, however it does, because their next sum with it fails.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from snibench.base.errors import UsageError, first_line
from snibench.base.types import FitSpec, Instance, SuiteData
from snibench.engine.ranks import OneProcess, RankLost, Ranks
from snibench.fits.context import Runtime
from snibench.models.find import ModelSource

_PATIENCE = 0.05  # seconds between two looks at processes that start
_LEAVE = 10.0  # seconds for processes to end by themselves

# In the folder through which the processes of a fit meet.
JOINT, MEETING = "joint.pickle", "meeting"


@dataclass(frozen=True)
class Joint:
    """All that another process needs to take part in a tuning. ``instances``: trained on, by task."""

    spec: FitSpec
    suite: SuiteData
    source: ModelSource
    runtime: Runtime
    instances: Mapping[str, Sequence[Instance]]
    checkpoint: Path


def device_of(device: str, rank: int) -> str:
    """The device of process ``rank``, where the first one's is ``device``: the next accelerators, or the same CPU."""
    if not device.startswith("cuda"):
        return device
    return f"cuda:{int(device.partition(':')[2] or 0) + rank}"


def check_devices(device: str, count: int) -> None:
    """Raises UsageError if ``count`` processes cannot have a device each, beginning at ``device``."""
    if count == 1 or device == "cpu":
        return
    if not device.startswith("cuda"):
        raise UsageError(f"--distributed is for CPUs and CUDA devices, and this is '{device}'. Leave it out.")
    there, last = torch.cuda.device_count(), device_of(device, count - 1)
    if int(last.partition(":")[2]) >= there:
        raise UsageError(
            f"--distributed {count} from '{device}' on needs {last}, but this machine has {there} CUDA devices."
        )


@contextmanager
def joined(joint: Joint, on_stage: Callable[[str], None]) -> Iterator[Ranks]:
    """Inside, as many processes as ``joint.runtime`` asks for; this is the first, the others wait for it to tune.

    Raises:
        RankLost: If one of them does not start or ends before its time; says why.
    """
    count = joint.runtime.distributed
    if count == 1:
        yield OneProcess()
        return
    if not torch.distributed.is_available():
        raise RankLost("This build of torch has no torch.distributed. Leave --distributed out.")
    from snibench.engine.distributed import Distributed

    if torch.distributed.is_initialized():
        raise RankLost("This process belongs to a group of torch.distributed already. Leave --distributed out.")
    check_devices(joint.runtime.device, count)
    on_stage(f"starting {count} processes")
    with tempfile.TemporaryDirectory(prefix="snibench-") as holder:
        folder = Path(holder)
        (folder / JOINT).write_bytes(pickle.dumps(joint))
        others = [_started(folder, rank) for rank in range(1, count)]
        ranks = None
        try:
            _await(others, folder)
            device = torch.device(device_of(joint.runtime.device, 0))
            ranks = Distributed(0, count, device, folder / MEETING)
            yield ranks
            _await_end(others)
        except RankLost as error:
            _await_end(others)
            if cause := _cause(others, folder):
                raise RankLost(cause) from error
            raise
        finally:
            for process in others:
                process.kill()
                process.wait()
            if ranks is not None:
                ranks.leave()


def ready(folder: Path, rank: int) -> Path:
    """File that process ``rank`` makes once it has loaded all it needs."""
    return folder / f"ready.{rank}"


def complaint(folder: Path, rank: int) -> Path:
    """File into which process ``rank`` writes why it ends before its time."""
    return folder / f"error.{rank}"


def _started(folder: Path, rank: int) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-m", "snibench.fits.follow", str(folder), str(rank)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the first process alone
    )


def _await(others: Sequence[subprocess.Popen[bytes]], folder: Path) -> None:
    """Return when all processes are ready.

    Raises:
        RankLost: If one of them has ended.
    """
    while not all(ready(folder, rank).exists() for rank, _ in enumerate(others, start=1)):
        if any(process.poll() is not None for process in others):
            raise RankLost("A process of this fit did not start.")
        time.sleep(_PATIENCE)


def _await_end(others: Sequence[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + _LEAVE
    for process in others:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))


def _cause(others: Sequence[subprocess.Popen[bytes]], folder: Path) -> str:
    """Why the first process that ended by itself did so; "" if all only lost the others."""
    for rank, process in enumerate(others, start=1):
        where = f"Process {rank} of the {len(others) + 1} of this fit"
        if (file := complaint(folder, rank)).exists():
            return f"{where} ended: {file.read_text(encoding='utf-8')}"
        code = process.poll()
        if code is not None and code < 0:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"{where} was killed by {signal.Signals(-code).name}{hint}. The same command goes on."
        if code:
            return f"{where} ended with exit code {code}. The same command goes on."
    return ""


def complain(error: BaseException) -> str:
    """What a process that ends writes down."""
    said, name = first_line(error), type(error).__name__
    return said if said == name else f"{name}: {said}"
