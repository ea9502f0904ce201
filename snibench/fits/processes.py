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
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from snibench.base.errors import SnibenchError, StoreError
from snibench.base.types import FitRecord
from snibench.base.types.fits import Status
from snibench.engine.stopping import Interrupted, say_now
from snibench.engine.tuning import Tuning
from snibench.fits import inline
from snibench.fits.context import ATTACHING, FitProgress, Runtime
from snibench.plan.plan import FitPlan, Plan
from snibench.store import Store

# A worker takes some seconds to start: as long as some thousand passes of `tiny`. Below, one process is faster.
_WORTH = 5000
# Seconds that a fit has, after its time, to end by itself with a record of its own.
_GRACE = 10.0
# Seconds after which a signal that came in between is noticed.
_PATIENCE = 0.5
# Under fork a child would inherit locks of torch's threads, held for ever.
_CONTEXT = multiprocessing.get_context("spawn")

Watch = Callable[[int, FitPlan], FitProgress]


def default_jobs() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chosen_jobs(plan: Plan, store: Store, runtime: Runtime) -> int | None:
    """How many fits are to run side by side; None where they run faster one after the other, or have to."""
    jobs = runtime.jobs or default_jobs()
    if runtime.executor == "auto":
        left = [fit for fit in plan.fits if not (fit.spec.floor or _settled(fit, store, runtime))]
        if len(left) < 2 or jobs < 2 or not runtime.threads or sum(map(_passes, left)) < _WORTH:
            return None
    return None if runtime.executor == "inline" else jobs


def _passes(fit: FitPlan) -> int:
    """Instances that a fit trains on, and questions that it answers: about how long it takes."""
    recipe = fit.spec.recipe
    return recipe.steps * recipe.tasks_per_step * recipe.instances_per_task + sum(
        len(questions.rendered) for questions in fit.questions
    )


def run_all(plan: Plan, store: Store, runtime: Runtime, watch: Watch, jobs: int) -> list[FitRecord]:
    """The records of all fits of ``plan``, in its order, at most ``jobs`` of them under way at a time.

    A fit whose process died has the status "interrupted" and no sealed record: the same command tries it again, from
    its last checkpoint. Fits that are done, and floors, are looked after in this process.

    Raises:
        Interrupted: On SIGINT or SIGTERM, after every worker has saved its state. A second signal does not wait.
        SnibenchError: For what every other fit would meet, too; the other workers save their state first.
    """
    heavy = [index for index, fit in enumerate(plan.fits) if not (fit.spec.floor or _settled(fit, store, runtime))]
    light = [index for index in range(len(plan.fits)) if index not in set(heavy)]
    records = {index: inline.run_fit(plan, index, store, runtime, watch) for index in light}
    if heavy:
        records |= _Crew(plan, store, runtime, watch).work(heavy, min(jobs, len(heavy)))
    return [records[index] for index in range(len(plan.fits))]


def _settled(fit: FitPlan, store: Store, runtime: Runtime) -> bool:
    """Whether a fit's record stands, its files are what was sealed, and nothing is left to answer."""
    try:
        record = store.record(fit.spec.id)
    except StoreError:
        return False
    if record is None or runtime.overwrite == "always":
        return False
    if record.status != "done":
        return runtime.overwrite == "never"
    answered = all(store.answered(record, one.protocol, one.digest) for one in fit.questions)
    return answered and not store.faults(record, by_size=("adapter/",))


# -------------------------------------------------------------------------------- in the parent


@dataclass
class _Worker:
    """A process, the way to it, and the fit that it works on."""

    process: BaseProcess
    connection: Connection
    fit: int
    progress: FitProgress
    began: float | None = None  # when the fit's time began to count, on this process's clock
    overdue: bool = False  # it was killed for its fit's time


class _Crew:
    """The workers of one run, and what became of the fits."""

    def __init__(self, plan: Plan, store: Store, runtime: Runtime, watch: Watch) -> None:
        self.plan, self.store, self.runtime, self.watch = plan, store, runtime, watch
        self.records: dict[int, FitRecord] = {}
        self.workers: list[_Worker] = []
        self.waiting: deque[int] = deque()
        self.refusal: Exception | None = None

    def work(self, fits: Sequence[int], jobs: int) -> dict[int, FitRecord]:
        """The records of ``fits``, by their numbers."""
        # The longest first, so that no worker is left alone with one at the end.
        self.waiting.extend(sorted(fits, key=lambda index: -self.plan.fits[index].spec.recipe.steps))
        try:
            with _stop_signal() as stopped:
                for _ in range(jobs):
                    self._hire()
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
        return self.records

    def _hire(self) -> None:
        """Start a worker on the next fit."""
        here, there = _CONTEXT.Pipe()
        arguments = (there, self.plan, self.store, self.runtime)
        process = _CONTEXT.Process(target=_work, args=arguments, daemon=True)
        with _no_interrupt():
            process.start()
        there.close()
        worker = _Worker(process, here, -1, FitProgress())
        self.workers.append(worker)
        self._assign(worker)

    def _assign(self, worker: _Worker) -> None:
        """The next fit, or the end of the day."""
        if not self.waiting:
            self._send(worker, None)
            return
        worker.fit, worker.began = self.waiting.popleft(), None
        worker.progress = self.watch(worker.fit, self.plan.fits[worker.fit])
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

    def _take(self, worker: _Worker, what: str, *values: Any) -> None:
        if what == "record":
            self.records[worker.fit] = values[0]
            worker.progress.on_end("")
            worker.fit, worker.began = -1, None
            self._assign(worker)
        elif what == "refused":
            message, code = values
            self.refusal = SnibenchError(message)
            self.refusal.exit_code = code
        elif what == "broken":
            self.refusal = RuntimeError(f"A worker failed in {self.plan.fits[worker.fit].spec.label}:\n{values[0]}")
        else:
            if what == "on_stage" and values == (ATTACHING,):
                worker.began = time.monotonic()
            getattr(worker.progress, what)(*values)

    def _end_overdue(self) -> None:
        """Kill workers whose fit has outlived its time and does not come back to Python to hear of it."""
        if (limit := self.runtime.fit_timeout) is None:
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
        spec = self.plan.fits[worker.fit].spec
        self.store.begin(spec)  # reports find it, as one that was interrupted
        if worker.overdue:
            limit = f"the {self.runtime.fit_timeout:g} s of --fit-timeout"
            cause = f"it took longer than {limit}, and its process was killed"
        else:
            cause = f"its process {_death(worker.process.exitcode)}; the same command tries again"
        status: Status = "failed" if worker.overdue else "interrupted"
        record = FitRecord(spec.id, spec.label, spec.method, spec.rule, spec.seed, status, cause=cause)
        if worker.overdue:
            self.store.seal(record)
        self.records[worker.fit] = record
        worker.progress.on_end(cause)
        if self.waiting:
            self._hire()

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


def _work(connection: Connection, plan: Plan, store: Store, runtime: Runtime) -> None:
    """Work on the fits whose numbers come, until None comes."""
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    progress = _reporting(connection)
    try:
        while (index := connection.recv()) is not None:
            connection.send(("record", inline.run_fit(plan, index, store, runtime, lambda *_: progress)))
    except (Interrupted, KeyboardInterrupt, EOFError):
        pass
    except SnibenchError as error:
        connection.send(("refused", str(error), error.exit_code))
    except Exception:  # whatever it is, the parent shows it
        connection.send(("broken", traceback.format_exc()))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _reporting(connection: Connection) -> FitProgress:
    """Sends on what a fit says."""

    def tell(*message: Any) -> None:
        try:
            connection.send(message)
        except OSError:
            os._exit(1)  # the parent is gone; raised here, it would look like a failure of the method

    def on_step(progress: Tuning, steps: int) -> None:
        tell("on_step", replace(progress, trace=progress.trace[-1:]), steps)

    return FitProgress(
        on_stage=lambda stage: tell("on_stage", stage),
        on_step=on_step,
        on_answers=lambda done, total: tell("on_answers", done, total),
        on_note=lambda sentence: tell("on_note", sentence),
    )
