"""Independent fits side by side: each worker is a process of its own, and works on one fit at a time.

Every fit has the number of threads that ``Runtime.threads`` fixes, however many workers there are, so that rows do not
depend on their number. A worker that dies takes its fit with it and nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from snibench.base.errors import SnibenchError
from snibench.contracts import Board, Executor, Work
from snibench.engine.stopping import Interrupted, say_now
from snibench.fits.context import ATTACHING

# A worker takes some seconds to start: as long as some thousand passes of `tiny`. Below, one process is faster.
WORTH = 5000
# Seconds that a fit has, after its time, to end by itself with a record of its own.
_GRACE = 10.0
# Seconds after which a signal that came in between is noticed.
_PATIENCE = 0.5
# Under fork a child would inherit locks of torch's threads, held for ever.
_CONTEXT = multiprocessing.get_context("spawn")


def default_jobs(work: Work) -> int:
    """Fits that the processor cores of this process can work on at a time, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // ((work.threads or 1) * work.distributed))


class Processes(Executor):
    """Fits side by side, each in a process of its own: as many as there are processor cores, or accelerators."""

    def beside(self, work: Work) -> int:
        """``--jobs``, else one for the accelerators, or for the threads, of each fit."""
        some = len(_devices(work)) if work.device != "cpu" else default_jobs(work)
        return min(len(work.jobs), work.requested_jobs or some)

    def run(self, work: Work, board: Board) -> None:
        """Each worker takes the longest job that is left whenever it has done one."""
        _Crew(work, board, _devices(work)).work_off(self.beside(work))


def _devices(work: Work) -> list[str]:
    """The accelerators that workers share out among themselves; of a fit on several, its first."""
    if work.device != "cuda":
        return [work.device]
    import torch

    firsts = range(0, torch.cuda.device_count() - work.distributed + 1, work.distributed)
    return [f"cuda:{index}" for index in firsts] or [work.device]


# -------------------------------------------------------------------------------- in the parent


@dataclass
class _Worker:
    """A process, the way to it, and the fit that it works on."""

    process: BaseProcess
    connection: Connection
    fit: int
    device: str
    began: float | None = None  # when the fit's time began to count, on this process's clock
    overdue: bool = False  # it was killed for its fit's time


class _Crew:
    """The workers of one run, and what became of the fits."""

    def __init__(self, work: Work, board: Board, devices: Sequence[str]) -> None:
        self.work, self.board, self.devices = work, board, devices
        self.labels = {job.number: job.label for job in work.jobs}
        self.workers: list[_Worker] = []
        self.waiting = deque(job.number for job in work.jobs)
        self.refusal: Exception | None = None

    def work_off(self, jobs: int) -> None:
        """Run every job, on ``jobs`` workers."""
        try:
            with _stop_signal() as stopped:
                for number in range(jobs):
                    self._hire(self.devices[number % len(self.devices)])
                while self.workers:
                    self._listen()
                    self._end_overdue()
                    if stopped() or self.refusal:
                        self._stop()
                if self.refusal:
                    raise self.refusal
                if stopped():
                    raise Interrupted("Interrupted; the state is saved. The same command goes on from there.")
        except KeyboardInterrupt:
            raise Interrupted(
                "Stopped at once, in the middle of what was under way. The same command goes on from the last "
                "checkpoints."
            ) from None
        finally:
            for worker in self.workers:  # of an error here, or of a second signal
                worker.process.kill()

    def _hire(self, device: str) -> None:
        """Start a worker on the next fit."""
        here, there = _CONTEXT.Pipe()
        arguments = (there, self.work if device == self.work.device else self.work.on(device))
        process = _CONTEXT.Process(target=_work, args=arguments, daemon=True)
        with _no_interrupt():
            process.start()
        there.close()
        worker = _Worker(process, here, -1, device)
        self.workers.append(worker)
        self._assign(worker)

    def _assign(self, worker: _Worker) -> None:
        """The next fit, or the end of the day."""
        if not self.waiting:
            self._send(worker, None)
            return
        worker.fit, worker.began = self.waiting.popleft(), None
        self.board.started(worker.fit)
        self._send(worker, worker.fit)

    def _send(self, worker: _Worker, message: int | None) -> None:
        with suppress(OSError):  # it died: its end is read below
            worker.connection.send(message)

    def _listen(self) -> None:
        """Take in what workers say, until there is nothing for a moment."""
        by_connection = {worker.connection: worker for worker in self.workers}
        for ready in wait(list(by_connection), timeout=_PATIENCE):
            worker = by_connection[ready]  # type: ignore[index]  # only connections were waited for
            try:
                self._take(worker, *worker.connection.recv())
            except (EOFError, OSError):
                self._ended(worker)

    def _take(self, worker: _Worker, event: str, *values: Any) -> None:
        if event == "record":
            self.board.ended(worker.fit, values[0])
            worker.fit, worker.began = -1, None
            self._assign(worker)
        elif event == "refused":
            message, code = values
            self.refusal = SnibenchError(message)
            self.refusal.exit_code = code
        elif event == "broken":
            self.refusal = RuntimeError(f"A worker failed in {self.labels[worker.fit]}:\n{values[0]}")
        else:
            if event == "on_stage" and values == (ATTACHING,):
                worker.began = time.monotonic()
            self.board.said(worker.fit, event, *values)

    def _end_overdue(self) -> None:
        """Kill workers whose fit has outlived its time and does not come back to Python to hear of it."""
        if (limit := self.work.timeout) is None:
            return
        for worker in self.workers:
            if worker.fit >= 0 and worker.began is not None and time.monotonic() - worker.began > limit + _GRACE:
                worker.overdue = True
                worker.process.kill()

    def _ended(self, worker: _Worker) -> None:
        """A worker is gone: as it should, or with its fit; then another takes its place."""
        self.workers.remove(worker)
        worker.process.join()
        worker.connection.close()
        if worker.fit < 0 or not worker.process.exitcode:
            return
        if worker.overdue:
            limit = f"the {self.work.timeout:g} s of --fit-timeout"
            cause = f"it took longer than {limit}, and its process was killed"
        else:
            cause = f"its process {_death(worker.process.exitcode)}; the same command tries again"
        self.board.lost(worker.fit, cause, failed=worker.overdue)
        if self.waiting:
            self._hire(worker.device)

    def _stop(self) -> None:
        """Ask every worker, once, to save its state and leave."""
        self.waiting.clear()
        for worker in self.workers:
            if worker.process.is_alive():
                worker.process.terminate()
        while self.workers:
            self._listen()


def _death(code: int) -> str:
    """``ended with exit code 3`` or ``was killed by SIGKILL``."""
    if code > 0:
        return f"ended with exit code {code}"
    hint = " (out of memory?)" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Inside, a first SIGINT or SIGTERM is remembered, for the function to say; a second does what it always does."""
    came: list[int] = []
    before: dict[int, Any] = {}

    def remember(number: int, frame: object) -> None:
        came.append(number)
        if number == signal.SIGINT:
            say_now("Stopping after the steps under way. Ctrl-C again ends them at once.")
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in (int(signal.SIGINT), int(signal.SIGTERM)):
        with suppress(ValueError):  # only the main thread may take signals
            before[number] = signal.signal(number, remember)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Inside, processes start that do not see the terminal's Ctrl-C: they hear of it from this one, once."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread: no signal comes here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# ------------------------------------------------------------------------------ in the worker


def _work(connection: Connection, work: Work) -> None:
    """Work on the fits whose numbers come, until None comes."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        while (index := connection.recv()) is not None:
            connection.send(("record", work.run(index, partial(_tell, connection))))
    except (Interrupted, KeyboardInterrupt, EOFError):
        pass
    except SnibenchError as error:
        connection.send(("refused", str(error), error.exit_code))
    except Exception:  # whatever it is, the parent shows it
        connection.send(("broken", traceback.format_exc()))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _tell(connection: Connection, *message: Any) -> None:
    """Send what a fit says."""
    try:
        connection.send(message)
    except OSError:
        os._exit(1)  # the parent is gone; raised here, it would look like a failure of the method
