"""Fits one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from snibench.base.types import FitRecord
from snibench.contracts import Board, Executor, Work
from snibench.fits.context import FitProgress, Runtime
from snibench.fits.guard import heard
from snibench.fits.run_one import run_one
from snibench.plan.plan import FitPlan, Plan
from snibench.store import Store


class Inline(Executor):
    """Fits one after the other, in the process of the run."""

    def run(self, work: Work, board: Board) -> None:
        """Every job, here, in the order of the plan."""
        for job in sorted(work.jobs, key=lambda job: job.number):
            board.started(job.number)
            board.ended(job.number, work.run(job.number, partial(board.said, job.number)))


def run_all(
    plan: Plan, store: Store, runtime: Runtime, watch: Callable[[int, FitPlan], FitProgress]
) -> list[FitRecord]:
    """The records of all fits of ``plan``, in its order; ``watch(index, fit)`` gives each fit's callbacks."""
    return [run_fit(plan, index, store, runtime, watch) for index in range(len(plan.fits))]


def run_fit(
    plan: Plan, index: int, store: Store, runtime: Runtime, watch: Callable[[int, FitPlan], FitProgress]
) -> FitRecord:
    """The record of fit ``index`` of ``plan``, with the threads that ``runtime`` fixes."""
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    fit = plan.fits[index]
    progress = heard(watch(index, fit))
    record = run_one(fit, plan.suite, plan.model, store, runtime, progress)
    progress.on_end("")
    return record
