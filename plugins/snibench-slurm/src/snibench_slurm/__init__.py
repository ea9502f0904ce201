"""Fits as jobs of a SLURM cluster, through submitit.

submitit takes the work to a node and its record back. A job appends what it has to say to a file of its own in the
output folder, which every node sees, and the process of the run reads it there.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from snibench.api import Board, Bounds, Executor, Positive, SnibenchError, UsageError, Weight, Work
from snibench_slurm.worker import STOP, Fit, messages

_PATIENCE = 1.0  # seconds between two looks at the jobs
_LEAVE = 120.0  # seconds for interrupted fits to save their state
_CLUSTERS = ("", "slurm", "local", "debug")


@dataclass(frozen=True)
class Settings:
    """``slurm(partition=gpu,gpus=1,hours=8)``; README.md says what each is."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    hours: Positive = 24.0
    cpus: Annotated[int, Bounds(least=0)] = 0
    gpus: Annotated[int, Bounds(least=0)] = 0
    memory: Weight = 0.0
    device: str = ""
    retries: Annotated[int, Bounds(least=0)] = 2
    cluster: str = ""

    def validate(self) -> None:
        """Raises UsageError for a cluster that there is not."""
        if self.cluster not in _CLUSTERS:
            raise UsageError(f"slurm: cluster is {', '.join(_CLUSTERS[1:])} or empty, but is '{self.cluster}'.")


class Slurm(Executor):
    """Fits as jobs of a SLURM cluster, each with the processors and accelerators that it needs.

    A job that dies is submitted again, and one whose time is over is queued again: fits go on from their checkpoints.
    """

    Settings = Settings

    def beside(self, work: Work) -> int:
        """``--jobs``; else all of them, as far as the cluster takes them."""
        return min(work.requested_jobs or len(work.jobs), len(work.jobs))

    def run(self, work: Work, board: Board) -> None:
        """Every job of ``work`` as a job of the cluster."""
        if work.jobs:
            with _folder(work) as folder:
                _Queue(self.settings, work, board, folder).work_off()


@contextmanager
def _folder(work: Work) -> Iterator[Path]:
    """A new folder in the store for one run's jobs; gone at the end, unless there is a fault to look up in it."""
    parent = Path(work.folder) / ".slurm"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=parent))
    try:
        yield folder
    except SnibenchError:
        _remove(folder)
        raise
    _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # other runs' folders are in it
        folder.parent.rmdir()


class _Queue:
    """The jobs of one run, and what became of them."""

    def __init__(self, settings: Settings, work: Work, board: Board, folder: Path) -> None:
        self.settings, self.board, self.folder = settings, board, folder
        self.work = work.on(settings.device) if settings.device else work
        self.labels = {job.number: job.label for job in work.jobs}
        self.tries = dict.fromkeys(self.labels, 0)
        self.read = dict.fromkeys(self.labels, 0)  # bytes of what each has said
        self.waiting = [job.number for job in work.jobs]
        self.under_way: dict[int, Any] = {}  # job of submitit by number
        self.submit = self._executor().submit

    def _executor(self) -> Any:
        import submitit

        settings = self.settings
        executor = submitit.AutoExecutor(folder=self.folder / "%j", cluster=settings.cluster or None)
        asked: dict[str, Any] = {
            "name": "snibench",
            "timeout_min": max(1, round(60 * settings.hours)),
            "cpus_per_task": settings.cpus or (self.work.threads or 1) * self.work.distributed,
        }
        asked |= {"gpus_per_node": settings.gpus} if settings.gpus else {}
        asked |= {"mem_gb": settings.memory} if settings.memory else {}
        names = ("partition", "account", "qos", "constraint")
        asked |= {f"slurm_{name}": getattr(settings, name) for name in names if getattr(settings, name)}
        executor.update_parameters(**asked)
        return executor

    def work_off(self) -> None:
        """Every job, ``--jobs`` at a time.

        Raises:
            SnibenchError: What a job raised for all.
            SnibenchError: Also on Ctrl-C, after the jobs under way have saved their state.
        """
        most = self.work.requested_jobs or len(self.waiting)
        try:
            while self.waiting or self.under_way:
                while self.waiting and len(self.under_way) < most:
                    self._begin(self.waiting.pop(0))
                for number, job in list(self.under_way.items()):
                    done = job.done()
                    self._pass_on(number)
                    if done:
                        self._settle(number, self.under_way.pop(number))
                if self.under_way:
                    time.sleep(_PATIENCE)
        except BaseException as error:
            self._stop()
            if isinstance(error, KeyboardInterrupt):
                raise _error("Interrupted; the state is saved. The same command goes on from there.", 130) from error
            raise

    def _begin(self, number: int) -> None:
        self.tries[number] += 1
        self.under_way[number] = self.submit(Fit(self.work, number, str(self.folder)))

    def _pass_on(self, number: int) -> None:
        """Write on the board what a job has said since."""
        said, self.read[number] = messages(self.folder, number, self.read[number])
        for event, values in said:
            if event == "started":
                self.board.started(number)
            else:
                self.board.said(number, event, *values)

    def _settle(self, number: int, job: Any) -> None:
        """Write on the board how a job ended, or submit it again."""
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            how, *values = job.result()
        except FailedJobError as error:  # this package could not be imported there, or its files not be written
            raise RuntimeError(f"A worker failed in {self.labels[number]}:\n{error}") from error
        except UncompletedJobError as error:  # it left no result: killed, out of memory, its node lost
            if self.tries[number] <= self.settings.retries:
                self.waiting.append(number)
                return
            cause = str(error).splitlines()[0][:200].rstrip(".")
            self.board.lost(number, f"its job died {self.tries[number]} times ({cause}); the same command tries again")
            return
        if how == "refused":
            raise _error(*values)
        if how == "broken":
            raise RuntimeError(f"A worker failed in {self.labels[number]}:\n{values[0]}")
        self.board.ended(number, values[0])

    def _stop(self) -> None:
        """Have every job save its state, as Ctrl-C does, and wait for it; what did not start is cancelled."""
        (self.folder / STOP).touch()
        end = time.monotonic() + _LEAVE
        for number, job in self.under_way.items():
            if not self.read[number] and not messages(self.folder, number, 0)[0]:
                job.cancel()
        left = dict(self.under_way)
        while left and time.monotonic() < end:
            left = {number: job for number, job in left.items() if not job.done(force_check=True)}
            time.sleep(min(_PATIENCE, 0.2))
        for job in left.values():
            job.cancel()


def _error(sentence: str, code: int) -> SnibenchError:
    error = SnibenchError(sentence)
    error.exit_code = code
    return error
