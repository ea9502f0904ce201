"""Paired differences from the baseline, with intervals: by category of unseen tasks, by format, by combo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from snibench.report.figures.figure import Figure
from snibench.report.figures.scene import Scene
from snibench.report.figures.style import BAND, FAINT, canvas, drawing, percent_axis, rows_and_columns, short, whiskers
from snibench.report.fits import controls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

ROPE = 0.01  # as in wins, ties and losses
_HISTORIES = {"none": "no history", "same": "same task before", "other": "other side before"}
_DELTA = ["delta", "delta_low", "delta_high"]
_BAND = (
    f"points, to the right is better, with 95% confidence intervals over tasks and seeds. Grey band: differences of at "
    f"most {100 * ROPE:g} point, which count as ties."
)


@dataclass(frozen=True)
class _Forest:
    """Content of the panels, one for each method: a first row over everything, then one row for each part."""

    rows: Sequence[str]
    frame: pd.DataFrame  # row, method, delta, delta_low, delta_high
    titles: Mapping[str, tuple[str, ...]]  # the lines above each method's panel, in order


def forest(scene: Scene) -> Figure | None:
    """Differences from the baseline on unseen tasks: over all, and by category, a panel for each method."""
    overall = _overall(scene, "comparison_unseen", "All tasks")
    if overall is None:
        return None
    parts = _tuned(scene, "categories_unseen")
    columns = ["category", "method", *_DELTA, "n_tasks", "n_sources"]
    sums = overall.rename(columns={"row": "category"})
    frame = sums[columns] if parts is None else pd.concat([sums[columns], parts[columns]], ignore_index=True)
    order = frame[frame["category"] != "All tasks"].groupby("category")["delta"].mean().sort_values(ascending=False)
    baseline = short(scene.report.baseline)
    caption = (
        f"Difference from {baseline} on unseen tasks in {_BAND} Open markers without an interval are categories of "
        "fewer than five source datasets. W/T/L: tasks won, tied and lost."
    )
    numbers = frame.merge(sums[["category", "method", "wins", "ties", "losses"]], on=["category", "method"], how="left")
    records = sums.set_index("method")[["wins", "ties", "losses"]].astype(int)
    titles = {method: (method, f"W/T/L {'/'.join(map(str, records.loc[method]))}") for method in scene.methods(overall)}
    rows = ["All tasks", *map(str, order.index)]
    return _figure("forest", f"Difference from {baseline} by category", caption, numbers,
                   scene, _Forest(rows, frame.rename(columns={"category": "row"}), titles))  # fmt: skip


def format_forest(scene: Scene) -> Figure | None:
    """Differences from the baseline in each format, and in their mean, a panel for each method."""
    parts = _tuned(scene, "format_differences")
    if parts is None:
        return None
    frame = _with_overall(parts.assign(row=parts["format"]), _overall(scene, "comparison_formats", "Mean over formats"))
    baseline = short(scene.report.baseline)
    caption = f"Difference from {baseline} in {_BAND} The same instances in every format; the first row is their mean."
    rows = list(dict.fromkeys(map(str, frame["row"])))
    return _figure("format-differences", f"Difference from {baseline} by format", caption, _numbers(frame, "format"),
                   scene, _Forest(rows, frame, {method: (method,) for method in scene.methods(frame)}))  # fmt: skip


def combo_forest(scene: Scene) -> Figure | None:
    """Differences from the baseline in each combo, schedule and history, and over all combos."""
    parts = _tuned(scene, "combo_mean_differences")
    if parts is None:
        return None
    schedules = parts["schedule"].nunique() > 1
    named = [
        f"{short(combo, 30)}{f', {schedule}' if schedules else ''}: {_HISTORIES.get(str(history), str(history))}"
        for combo, schedule, history in zip(parts["combo"], parts["schedule"], parts["history"], strict=True)
    ]
    frame = _with_overall(parts.assign(row=named), _overall(scene, "comparison_combos", "All combos, above chance"))
    baseline = short(scene.report.baseline)
    caption = (
        f"Difference from {baseline} in streams that switch between two families of tasks, in {_BAND} Each combo in "
        "its own unit (exact match, ROUGE-L, or above chance where its two sides have different metrics); the first "
        "row is over all of them, above chance. Histories: two solved instances before each question."
    )
    rows = list(dict.fromkeys(map(str, frame["row"])))
    return _figure("combo-differences", f"Difference from {baseline} by combo", caption, _numbers(frame, "combo"),
                   scene, _Forest(rows, frame, {method: (method,) for method in scene.methods(frame)}))  # fmt: skip


def _tuned(scene: Scene, table: str) -> pd.DataFrame | None:
    """The differences of one table without controls, whose size would hide all others; None if none is left."""
    frame = scene.frame(table)
    if frame is None or "delta" not in frame:
        return None
    kept = frame[frame["delta"].notna() & ~frame["method"].isin(controls(scene.results))]
    return kept.reset_index(drop=True) if len(kept) else None


def _overall(scene: Scene, table: str, row: str) -> pd.DataFrame | None:
    frame = _tuned(scene, table)
    return None if frame is None else frame.assign(row=row)


def _with_overall(parts: pd.DataFrame, overall: pd.DataFrame | None) -> pd.DataFrame:
    return parts if overall is None else pd.concat([overall[["row", "method", *_DELTA]], parts], ignore_index=True)


def _numbers(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """Frame of the CSV beside the figure: ``row`` names the first row, too."""
    fields = [
        key,
        "schedule",
        "history",
        "metric",
        "method",
        *_DELTA,
        "p_holm",
        "p_seed_holm",
        "significant",
        "n_units",
    ]
    shown = frame.assign(**{key: frame[key].fillna(frame["row"])})
    return shown[[field for field in fields if field in shown]]


def _figure(name: str, title: str, caption: str, numbers: pd.DataFrame, scene: Scene, forest: _Forest) -> Figure:
    with drawing():
        return Figure(name, title, caption, numbers, _page(scene, forest))


def _page(scene: Scene, forest: _Forest) -> Canvas:
    methods, rows = list(forest.titles), forest.rows
    down, across = rows_and_columns(len(methods), 4)
    page, grid = canvas(down * (0.85 + 0.2 * len(rows)) + 0.2, down, across, sharex=True, sharey=True, squeeze=False)
    for unused in grid.flat[len(methods) :]:
        unused.remove()
    for index, method in enumerate(methods):
        axes = grid.flat[index]
        _panel(axes, scene, forest.frame[forest.frame["method"] == method].set_index("row"), rows, method)
        title = "\n".join(short(line, int(72 / across)) for line in forest.titles[method])
        axes.set_title(title, loc="left", fontsize=8.5)
        axes.set_xlabel("points")
        axes.tick_params(labelbottom=True)
    grid[0, 0].set_yticks(range(len(rows)), [short(row, 52) for row in rows])
    for axes in grid[:, 0]:
        axes.tick_params(axis="y", labelsize=7.5)
    return page


def _panel(axes: Axes, scene: Scene, own: pd.DataFrame, rows: Sequence[str], method: str) -> None:
    own = own.reindex(list(rows))
    look = scene.looks[method]
    axes.axvspan(-ROPE, ROPE, color=BAND, lw=0)
    axes.axvline(0, color=FAINT, lw=0.8)
    y = np.arange(len(rows))
    whiskers(axes, own["delta"], y, own["delta_low"], own["delta_high"], across=True, ecolor=look.color, capsize=0)
    known = own["delta_low"].notna().to_numpy()
    for part, fill in ((known, look.color), (~known, "none")):
        axes.scatter(own["delta"][part], y[part], s=20, marker=look.marker, facecolors=fill, edgecolors=look.color,
                     linewidths=0.9, zorder=3)  # fmt: skip
    axes.axhline(0.5, color=FAINT, lw=0.6)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    percent_axis(axes.xaxis, signed=True)
