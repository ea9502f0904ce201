"""Figure 4 of the paper: the accuracy of streams that switch between two families of tasks."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from snibench.report.figures.figure import Figure
from snibench.report.figures.scene import Scene, sizes
from snibench.report.figures.style import BAND, FAINT, INK, PAPER, canvas, drawing, legend, percent_axis, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

HISTORIES = {"none": "no history", "same": "history of the same task", "other": "history of the other side"}
_SHADES = {"none": 0.0, "same": 0.35, "other": 1.0}  # how full a box is of its method's colour
_VECTOR = 400  # points of a panel that are drawn one by one; an image beyond
_NORMAL_IQR = 1.349  # of a normal distribution, in standard deviations
_METRICS = {"exact_match": "exact match", "rouge_l": "ROUGE-L", "above_chance": "score above chance"}


def combo_boxes(scene: Scene) -> Figure | None:
    """A box per combo, method and history, its streams as points, and the spread that noise alone would give."""
    boxes, streams = (scene.frame(name, floors_too=False) for name in ("combos", "combo-streams"))
    if boxes is None or streams is None:
        return None
    caption = (
        f"Accuracy of single streams ({sizes(boxes['n'].tolist())} points a box: streams x seeds; the number stands "
        "below each method). Box: quartiles; whiskers: the last point within 1.5 interquartile ranges; diamond: mean. "
        "No confidence interval is drawn. Grey band: the interquartile range that chance alone would give streams of "
        "this length (1.349 x noise SD around the median), so read only what sticks out of it. Histories: two solved "
        "instances before each question."
    )
    keys = ["combo", "schedule", "metric", "method", "history"]
    numbers = pd.concat(
        [streams[[*keys, "stream", "seed", "accuracy"]], boxes[[*keys, "median", "mean", "q1", "q3", "noise_sd", "n"]]],
        ignore_index=True,
    )
    with drawing():
        return Figure("figure4-combos", "Task combinations: streams that switch between two families", caption,
                      numbers, _page(scene, boxes, streams))  # fmt: skip


def _page(scene: Scene, boxes: pd.DataFrame, streams: pd.DataFrame) -> Canvas:
    from matplotlib.patches import Patch

    panels = list(boxes[["combo", "schedule", "metric"]].drop_duplicates().itertuples(index=False, name=None))
    methods = scene.methods(boxes)
    histories = [one for one in HISTORIES if one in set(boxes["history"])]
    across = 2 if len(methods) * len(histories) <= 15 and len(panels) > 1 else 1
    rows = ceil(len(panels) / across)
    page, grid = canvas(0.5 + 2.25 * rows, rows, across, squeeze=False)
    for unused in grid.flat[len(panels) :]:
        unused.remove()
    schedules = boxes["schedule"].nunique() > 1
    for index, (combo, schedule, metric) in enumerate(panels):
        axes = grid.flat[index]
        here = (boxes["combo"] == combo) & (boxes["schedule"] == schedule)
        there = (streams["combo"] == combo) & (streams["schedule"] == schedule)
        # Where panels stand one below the other and agree in n, the last one names the methods for all.
        named = across > 1 or index + 1 == len(panels) or boxes.groupby("method")["n"].nunique().max() > 1
        _panel(axes, scene, boxes[here], streams[there], methods, histories, named=named)
        title = f"{short(combo, 44)}{f', {schedule}' if schedules else ''}"
        axes.set_title(f"{title}: {_METRICS.get(metric, short(metric))} (%)", loc="left")
    shades = [Patch(facecolor=_mixed(INK, _SHADES[one]), edgecolor=INK) for one in histories]
    band = [Patch(facecolor=BAND, lw=0)]
    legend(page, [*(HISTORIES[one] for one in histories), "by chance alone"], [*shades, *band])
    return page


def _panel(
    axes: Axes,
    scene: Scene,
    boxes: pd.DataFrame,
    streams: pd.DataFrame,
    methods: list[str],
    histories: list[str],
    *,
    named: bool,
) -> None:
    axes.grid(axis="y")
    width = 0.8 / len(histories)
    rng = np.random.default_rng(0)  # jitter within a box
    many = len(streams) > _VECTOR
    counts = []
    for place, method in enumerate(methods):
        look = scene.looks[method]
        mine = boxes[boxes["method"] == method].set_index("history")
        counts.append(sizes(mine["n"].astype(int).tolist()) if len(mine) else "0")
        for index, history in enumerate(histories):
            if history not in mine.index:
                continue
            own = streams[(streams["method"] == method) & (streams["history"] == history)]["accuracy"].to_numpy()
            x = place - 0.4 + width * (index + 0.5)
            row = mine.loc[history]
            half = _NORMAL_IQR * row["noise_sd"] / 2
            axes.bar(x, 2 * half, width * 0.98, bottom=row["median"] - half, color=BAND, lw=0, zorder=1)
            lower, upper = np.quantile(own, (0.25, 0.75))
            reach = 1.5 * (upper - lower)
            inside = own[(own >= lower - reach) & (own <= upper + reach)]
            stats = {"q1": lower, "q3": upper, "med": np.median(own), "mean": own.mean(), "fliers": []}
            stats |= {"whislo": min(inside.min(), lower), "whishi": max(inside.max(), upper)}
            line = {"color": look.color, "linewidth": 1.0}
            axes.bxp([stats], positions=[x], widths=width * 0.72, patch_artist=True, showfliers=False, showmeans=True,
                     boxprops={"facecolor": _mixed(look.color, _SHADES[history]), "edgecolor": look.color},
                     whiskerprops=line, capprops=line, medianprops={"color": INK, "linewidth": 1.3},
                     meanprops={"marker": "D", "markersize": 2.6, "markerfacecolor": PAPER, "markeredgecolor": INK,
                                "markeredgewidth": 0.6}, manage_ticks=False, zorder=2)  # fmt: skip
            jitter = x + width * rng.uniform(-0.2, 0.2, len(own))
            axes.scatter(jitter, own, s=3.5, color=FAINT, lw=0, alpha=0.7, zorder=3, rasterized=many)
    crowded = len(methods) > 6 or max(len(short(one)) for one in methods) * len(methods) > 60
    upright = len(methods) > 12  # two lines that lean would lie across the next name
    between = ", " if upright else "\n"
    names = [f"{short(one, 24)}{between}n={count}" for one, count in zip(methods, counts, strict=True)]
    axes.set_xticks(range(len(methods)), names, fontsize=7)
    if not named:
        axes.tick_params(labelbottom=False)
    elif upright:
        axes.tick_params(axis="x", rotation=90)
    elif crowded:
        for text in axes.get_xticklabels():
            text.set(rotation=28, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.55, len(methods) - 0.45)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    percent_axis(axes.yaxis)


def _mixed(color: str, share: float) -> str:
    """``color`` on white paper, ``share`` of it."""
    if share == 0.0:
        return PAPER
    parts = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(255 - share * (255 - part)):02x}" for part in parts)
