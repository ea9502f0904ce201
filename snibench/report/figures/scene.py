"""Inputs of all figures of one run: its report's frames, its methods in order, and how each looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from snibench.report.comparison import task_scores
from snibench.report.figures.style import Look, looks
from snibench.report.fits import controls, floors, labels

if TYPE_CHECKING:
    import pandas as pd

    from snibench.report.figures.figure import Figure
    from snibench.report.values import Report
    from snibench.store import StoredRun

INTERVAL = "Whiskers: 95% confidence intervals over tasks and seeds"


@dataclass(frozen=True)
class Scene:
    """A run and its report."""

    results: StoredRun
    report: Report

    @cached_property
    def order(self) -> list[str]:
        """Methods: controls, the baseline, then the others as they were run."""
        first = [*controls(self.results), *([self.report.baseline] if self.report.baseline else [])]
        return list(dict.fromkeys([*first, *labels(self.results)]))

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Look of each method: grey is the run's own baseline, whatever a report compares with."""
        baseline = self.results.manifest.baseline or self.report.baseline
        return looks(self.order, baseline, controls(self.results))

    def methods(self, frame: pd.DataFrame) -> list[str]:
        """Those of ``frame``, in order."""
        there = set(frame["method"])
        return [label for label in self.order if label in there]

    def frame(self, drawn_as: str, *, floors_too: bool = True) -> pd.DataFrame | None:
        """The rows of a table of the report, None if it has none; ``floors_too``: those of floors among them."""
        frame = next((table.frame for table in self.report.tables if table.drawn_as == drawn_as), None)
        if frame is not None and not floors_too:
            frame = frame[~frame["method"].isin(floors(self.results))]
        return frame if frame is not None and len(frame) else None

    @cached_property
    def unseen(self) -> pd.DataFrame:
        """method, task, score: seed means on the unseen tasks."""
        scores = task_scores(self.results, "unseen")
        return scores.groupby(["method", "task"], sort=False)["score"].mean().reset_index()

    @cached_property
    def categories(self) -> dict[str, str]:
        """Category of each task."""
        return dict(zip(self.results.tasks["task"], self.results.tasks["category"], strict=True))


Drawing = Callable[[Scene], "Figure | None"]


def sizes(counts: Sequence[int]) -> str:
    """``5`` or ``3-5``: how many units stand behind the parts of a figure."""
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low}-{high}"
