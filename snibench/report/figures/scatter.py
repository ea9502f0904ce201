"""Seen against unseen, and what a score costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from snibench.report.figures.figure import Figure
from snibench.report.figures.scene import INTERVAL, Scene
from snibench.report.figures.style import (
    BAND,
    FAINT,
    INK,
    WIDTH,
    canvas,
    drawing,
    handles,
    legend,
    percent_axis,
    short,
    whiskers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDES = ["seen", "seen_low", "seen_high", "unseen", "unseen_low", "unseen_high"]


def gap_scatter(scene: Scene) -> Figure | None:
    """Seen against unseen: every method over all tasks, and by category where a category has both."""
    overall = scene.frame("gap")
    if overall is None or "seen" not in overall or not overall[["seen", "unseen"]].notna().all(axis=1).any():
        return None
    overall = overall[overall[["seen", "unseen"]].notna().all(axis=1)]
    both = scene.frame("categories")
    parts = both[both["n_seen"] > 0] if both is not None else overall.iloc[:0]
    methods = scene.methods(overall)
    lines = _iso_gaps(float((overall["seen"] - overall["unseen"]).abs().max()))
    points = ", ".join(f"{100 * gap:g}" for gap in lines)
    caption = (
        "Mean score on held-out instances of seen tasks (across) and on unseen tasks (up). Large markers: all tasks, "
        "with crosses of 95% confidence intervals over tasks and seeds"
        + ("; small markers: categories with tasks on both sides" if len(parts) else "")
        + f". On the diagonal nothing is lost on unseen tasks; the lines below it are gaps of {points} points. "
        "How hard the tasks are shifts all methods alike: compare the methods."
    )
    columns = ["method", *_SIDES, "n_seen", "n_unseen"]
    small = parts.assign(category=parts["category"] if len(parts) else "")[["category", *columns]]
    numbers = pd.concat([overall[columns].assign(category=""), small], ignore_index=True)
    with drawing():
        page, axes = canvas(0.72 * WIDTH)
        values = pd.concat([overall[_SIDES], parts[["seen", "unseen"]]]).to_numpy(dtype=float)
        low, high = max(0.0, np.nanmin(values) - 0.03), min(1.0, np.nanmax(values) + 0.03)
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.axline((low, low), slope=1, color=FAINT, lw=1)
        for gap in lines:
            axes.axline((low + gap, low), slope=1, color=BAND if gap else FAINT, lw=1.2)
            if high - gap > low:
                axes.annotate(f"{100 * gap:g}", (high, high - gap), xytext=(3, 0), textcoords="offset points",
                              va="center", fontsize=7, color=FAINT, annotation_clip=False)  # fmt: skip
        for method in methods:
            look = scene.looks[method]
            small = parts[parts["method"] == method]
            axes.scatter(small["seen"], small["unseen"], s=13, marker=look.marker, color=look.color, alpha=0.45, lw=0,
                         clip_on=False)  # fmt: skip
        for method in methods:
            look, own = scene.looks[method], overall[overall["method"] == method]
            line: dict[str, Any] = {"ecolor": look.color, "elinewidth": 1.0, "capsize": 0}
            whiskers(axes, own["seen"], own["unseen"], own["seen_low"], own["seen_high"], across=True, **line)
            whiskers(axes, own["seen"], own["unseen"], own["unseen_low"], own["unseen_high"], **line)
            axes.scatter(own["seen"], own["unseen"], s=52, marker=look.marker, color=look.color, edgecolors=INK,
                         linewidths=0.8, zorder=5, clip_on=False)  # fmt: skip
        axes.set(xlabel="held-out instances of seen tasks (%)", ylabel="unseen tasks (%)")
        percent_axis(axes.xaxis)
        percent_axis(axes.yaxis)
        legend(page, methods, handles(methods, scene.looks))
        return Figure("gap", "Seen against unseen tasks", caption, numbers, page)


def _iso_gaps(largest: float) -> tuple[float, ...]:
    """Gaps to draw lines at: those of the paper's table, or wider ones where gaps are wide."""
    return (0.04, 0.06, 0.08) if largest <= 0.15 else (0.1, 0.2, 0.3) if largest <= 0.45 else (0.2, 0.4, 0.6)


def cost_scatter(scene: Scene) -> Figure | None:
    """Score on unseen tasks against the time and the trainable parameters of one fit."""
    costs, gap = scene.frame("cost"), scene.frame("gap")
    if costs is None or gap is None or "seconds" not in costs:
        return None
    frame = gap[["method", "unseen", "unseen_low", "unseen_high"]].merge(costs, on="method").dropna(subset=["unseen"])
    tuned = frame[frame["trainable_parameters"] > 0]
    if not len(tuned):
        return None
    free = frame[~(frame["trainable_parameters"] > 0)]
    methods = scene.methods(tuned)
    lines = free.sort_values("unseen", ascending=False)
    dotted = ", ".join(f"{short(one)} {100 * at:.1f}" for one, at in zip(lines["method"], lines["unseen"], strict=True))
    caption = (
        "Mean score on unseen tasks against what one fit costs: seconds of tuning (median over seeds, without conflict "
        f"measurement and answering) and trainable parameters. {INTERVAL}."
        + (f" Dotted, from the top, what is not tuned: {dotted}." if len(free) else "")
        + " Times are of the machine that they were measured on."
    )
    with drawing():
        page, grid = canvas(3.3, 1, 2, sharey=True)
        for axes, field, title in (
            (grid[0], "seconds", "tuning one fit (s)"),
            (grid[1], "trainable_parameters", "trainable parameters"),
        ):
            _cost_panel(axes, scene, tuned, free, field)
            axes.set_xlabel(title)
        grid[0].set_ylabel("unseen tasks (%)")
        percent_axis(grid[0].yaxis)
        legend(page, methods, handles(methods, scene.looks))
        columns = ["method", "unseen", "unseen_low", "unseen_high", "seconds", "trainable_parameters", "peak_memory"]
        return Figure("cost", "Cost against score", caption, frame[columns].reset_index(drop=True), page)


def _cost_panel(axes: Axes, scene: Scene, tuned: pd.DataFrame, free: pd.DataFrame, field: str) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.grid()
    values = tuned[field].astype(float)
    if values.min() > 0 and values.max() > 5 * values.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, 1.08 * values.max() if values.max() > 0 else 1.0)
    for _, row in free.iterrows():
        axes.axhline(row["unseen"], color=scene.looks[row["method"]].color, ls=":", lw=1.2)
    for method in scene.methods(tuned):
        look, own = scene.looks[method], tuned[tuned["method"] == method]
        line: dict[str, Any] = {"ecolor": look.color, "elinewidth": 1.0, "capsize": 0}
        whiskers(axes, own[field], own["unseen"], own["unseen_low"], own["unseen_high"], **line)
        axes.scatter(own[field], own["unseen"], s=40, marker=look.marker, color=look.color, edgecolors=INK,
                     linewidths=0.6, zorder=4)  # fmt: skip
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
