"""Figures of a run, drawn from its stored rows alone; matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snibench.report.figures.bars import category_bars, format_bars
from snibench.report.figures.boxes import combo_boxes
from snibench.report.figures.conflict_map import conflict_map, conflict_panels
from snibench.report.figures.curves import learning_curves
from snibench.report.figures.differences import combo_forest, forest, format_forest
from snibench.report.figures.figure import Figure, write_figures
from snibench.report.figures.ranking import rank_diagram
from snibench.report.figures.scatter import cost_scatter, gap_scatter
from snibench.report.figures.scene import Drawing, Scene

if TYPE_CHECKING:
    from snibench.report.values import Report
    from snibench.store import StoredRun

__all__ = ["DRAWINGS", "Figure", "conflict_map", "draw", "write_figures"]

# In the order of the report.
DRAWINGS: tuple[Drawing, ...] = (
    forest,
    rank_diagram,
    gap_scatter,
    category_bars,
    format_bars,
    format_forest,
    combo_boxes,
    combo_forest,
    conflict_panels,
    learning_curves,
    cost_scatter,
)


def draw(results: StoredRun, report: Report) -> list[Figure]:
    """Every figure that ``results`` have the rows for.

    Args:
        results: A stored run.
        report: What ``report.build`` made of it.

    Raises:
        MissingExtra: If matplotlib is not installed.
    """
    scene = Scene(results, report)
    return [figure for make in DRAWINGS if (figure := make(scene)) is not None]
