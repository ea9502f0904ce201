"""The fits of a plan as work for an executor, and the board on which it says what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from snibench.base.types import FitRecord
from snibench.base.types.fits import Status
from snibench.contracts import Board, Executor, Job, Work
from snibench.contracts.executors import Say
from snibench.engine.tuning import Tuning
from snibench.fits import inline
from snibench.fits.context import FitProgress, Runtime
from snibench.fits.tracking import FAILS, Reporting
from snibench.plan.plan import FitPlan, Plan
from snibench.store import Store

Watch = Callable[[int, FitPlan], FitProgress]


class PlannedWork(Work):
    """The fits of ``plan`` with these numbers, the longest first: no worker is left alone with one at the end."""

    def __init__(self, plan: Plan, store: Store, runtime: Runtime, numbers: Sequence[int]) -> None:
        self.plan, self.store, self.runtime = plan, Store(store.root.absolute()), runtime
        self.device, self.threads, self.requested_jobs = runtime.device, runtime.threads, runtime.jobs
        self.distributed = runtime.distributed
        self.folder, self.working_folder, self.timeout = str(self.store.root), os.getcwd(), runtime.fit_timeout
        jobs = [_job(number, plan.fits[number]) for number in numbers]
        self.jobs = sorted(jobs, key=lambda job: -job.size)
        self.reporting = Reporting(runtime.report_to)

    def on(self, device: str) -> PlannedWork:
        """The same fits on another device."""
        numbers = [job.number for job in self.jobs]
        return PlannedWork(self.plan, self.store, replace(self.runtime, device=device), numbers)

    def run(self, number: int, say: Say) -> FitRecord:
        """The record of one fit; paths of the request are read as where the run was started."""
        if os.path.isdir(self.working_folder):
            os.chdir(self.working_folder)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        with self.reporting.tracked(self.plan.fits[number], self.store, reporting(say)) as progress:
            return inline.run_fit(self.plan, number, self.store, self.runtime, lambda *_: progress)


def size_of(fit: FitPlan) -> int:
    """Instances that a fit trains on, and questions that it answers: about how long it takes."""
    recipe = fit.spec.recipe
    return recipe.steps * recipe.tasks_per_step * recipe.instances_per_task + sum(
        len(questions.rendered) for questions in fit.questions
    )


def _job(number: int, fit: FitPlan) -> Job:
    return Job(number, fit.spec.label, fit.spec.seed, size_of(fit))


def reporting(say: Say) -> FitProgress:
    """Callbacks that pass on what a fit says, by their names, as what JSON can hold and short enough to be sent."""

    def on_step(progress: Tuning, steps: int) -> None:
        say("on_step", asdict(replace(progress, trace=progress.trace[-1:])), steps)

    return FitProgress(
        on_stage=lambda stage: say("on_stage", stage),
        on_step=on_step,
        on_answers=lambda done, total: say("on_answers", done, total),
        on_note=lambda sentence: say("on_note", sentence),
    )


class WatchedBoard(Board):
    """Passes everything on to the callbacks of each fit, and keeps the records."""

    def __init__(self, plan: Plan, store: Store, watch: Watch) -> None:
        self.plan, self.store, self.watch = plan, store, watch
        self.records: dict[int, FitRecord] = {}
        self._progress: dict[int, FitProgress] = {}
        self._failed: set[str] = set()  # sentences about loggers: each worker meets the same

    def started(self, number: int) -> None:
        """Its callbacks begin; anew where another worker had it before."""
        self._progress[number] = self.watch(number, self.plan.fits[number])

    def said(self, number: int, event: str, *values: Any) -> None:
        """One of its callbacks, if it is under way and has one of that name."""
        if event == "on_note" and str(values[0]).startswith(FAILS):
            if values[0] in self._failed:
                return
            self._failed.add(values[0])
        progress = self._progress.get(number)
        if progress is None:
            return
        if event == "on_step":
            state, steps = values
            progress.on_step(Tuning(**state), steps)
        elif event in FitProgress.__dataclass_fields__:
            getattr(progress, event)(*values)

    def ended(self, number: int, record: FitRecord) -> None:
        """Its record is known, and its callbacks end."""
        self.records[number] = record
        self._end(number, "")

    def lost(self, number: int, cause: str, *, failed: bool = False) -> None:
        """A record that is not sealed: reports find an interrupted fit, and the same command tries it again."""
        spec = self.plan.fits[number].spec
        self.store.begin(spec)
        status: Status = "failed" if failed else "interrupted"
        record = FitRecord.of(spec, status, cause)
        if failed:
            self.store.seal(record)
        self.records[number] = record
        self._end(number, cause)

    def _end(self, number: int, cause: str) -> None:
        if (progress := self._progress.pop(number, None)) is not None:
            progress.on_end(cause)


def run_jobs(executor: Executor, work: PlannedWork, watch: Watch) -> dict[int, FitRecord]:
    """The records of all jobs of ``work``, by their numbers."""
    board = WatchedBoard(work.plan, work.store, watch)
    executor.run(work, board)
    for job in work.jobs:
        if job.number not in board.records:
            board.lost(job.number, f"executor {type(executor).__name__} says nothing of it")
    return board.records
