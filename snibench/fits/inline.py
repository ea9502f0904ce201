"""Fits one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable

from snibench.base.types import FitRecord
from snibench.fits.run_one import Runtime, Watcher, run_one
from snibench.plan.plan import FitPlan, Plan
from snibench.store import Store


def run_all(plan: Plan, store: Store, runtime: Runtime, watch: Callable[[int, FitPlan], Watcher]) -> list[FitRecord]:
    """The records of all fits of ``plan``, in its order; ``watch(index, fit)`` gives each fit's watcher."""
    return [
        run_one(fit, plan.suite, plan.model, store, runtime, watch(index, fit)) for index, fit in enumerate(plan.fits)
    ]
