"""Similarity of tasks against results: a panel for each method."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

import pandas as pd

from snibench.report.figures.figure import Figure
from snibench.report.figures.scene import Scene
from snibench.report.figures.style import FAINT, canvas, drawing, percent_axis, rows_and_columns, short
from snibench.report.fits import floors
from snibench.report.similarity import COST, GAIN, SCORE

if TYPE_CHECKING:
    from snibench.report.values import Report
    from snibench.store import StoredRun

_CAPTIONS = {
    SCORE: "Each point: an unseen task, its score (mean over seeds) against its similarity to the most similar seen "
    "task.",
    GAIN: "Each point: an unseen task, what tuning adds to the untuned model's score (mean over seeds) against the "
    "task's similarity to the most similar seen task.",
    COST: "Each point: a task in a combo, its score after solved instances of the same task minus after those of the "
    "other side (mean over seeds) against its mean similarity to the tasks of the other side.",
}
_WORDS = (
    " Similarity: cosine of the TF-IDF vectors of the definitions. Above each panel: Spearman's rank correlation with "
    "its 95% bootstrap interval over source datasets."
)


def similarity_figures(results: StoredRun, report: Report) -> list[Figure]:
    """Gain over the untuned model (or score, without one) by similarity, and switch cost by similarity; no floors.

    Args:
        results: A stored run.
        report: What ``similarity_report`` made of it.
    """
    scene = Scene(results, report)
    frames = {table.name: table.frame for table in report.tables}
    figures = []
    unseen, costs = frames.get("similarity_outcomes"), frames.get("similarity_switches")
    if unseen is not None:
        outcome = GAIN if unseen[GAIN].notna().any() else SCORE
        figures.append(_panels(scene, "similarity-unseen", outcome, unseen, frames["similarity"], "nearest seen task"))
    if costs is not None:
        figures.append(_panels(scene, "similarity-combos", COST, costs, frames["similarity"], "other side"))
    return figures


def _panels(
    scene: Scene, name: str, outcome: str, points: pd.DataFrame, correlations: pd.DataFrame, unit_name: str
) -> Figure:
    points = points[points[outcome].notna() & ~points["method"].isin(floors(scene.results))]
    methods = scene.methods(points)
    shown_rows = correlations[correlations["outcome"] == outcome].set_index("method")
    title = f"Similarity and {outcome}"
    with drawing():
        down, across = rows_and_columns(len(methods), 4)
        page, grid = canvas(0.2 + (2.3 if across > 2 else 3.0) * down, down, across, sharex=True, sharey=True,
                            squeeze=False)  # fmt: skip
        for unused in grid.flat[len(methods) :]:
            unused.remove()
        for index, method in enumerate(methods):
            axes, own, look = grid.flat[index], points[points["method"] == method], scene.looks[method]
            axes.axhline(0, color=FAINT, lw=0.8)
            axes.grid()
            axes.scatter(own["similarity"], own[outcome], s=16, marker=look.marker, color=look.color, alpha=0.7, lw=0)
            axes.set_title(f"{short(method, 72 // across)}\n{_rho(shown_rows, method)}", loc="left", fontsize=8)
            percent_axis(axes.yaxis, signed=outcome != SCORE)
            if index % across == 0:
                axes.set_ylabel("points" if outcome != SCORE else "score (%)")
            axes.set_xlabel(f"similarity: {unit_name}", fontsize=7.5)
            axes.tick_params(labelbottom=True)
        return Figure(name, title, _CAPTIONS[outcome] + _WORDS, points.reset_index(drop=True), page)


def _rho(rows: pd.DataFrame, method: str) -> str:
    if method not in rows.index:
        return ""
    columns = ["spearman", "spearman_low", "spearman_high"]
    value, low, high = rows.loc[[method], columns].to_numpy(dtype=float)[0].tolist()
    if isnan(value):
        return "no variation"
    return f"{value:+.2f}" if isnan(low) or isnan(high) else f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
