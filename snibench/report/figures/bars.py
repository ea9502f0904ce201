"""Figure 2 of the paper, scores by format, and Figure 3, unseen tasks by category."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from snibench.report.figures.figure import Figure
from snibench.report.figures.scene import INTERVAL, Scene, sizes
from snibench.report.figures.style import (
    FAINT,
    INK,
    PAPER,
    canvas,
    drawing,
    handles,
    legend,
    percent_axis,
    short,
    whiskers,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_GROUPS = {
    "I": "Group I: the definition in another form",
    "II": "Group II: the information changes",
    "": "Formats that are not installed",
}
_FULL_ROW = 44  # bars that one row of panels has room for


def format_bars(scene: Scene) -> Figure | None:
    """Scores by format, one bar per method; forms apart from changes of information, floors as lines."""
    frame = scene.frame("formats", floors_too=False)
    if frame is None:
        return None
    floors = frame[frame["group"] == "control"]
    bars = frame[frame["group"] != "control"]
    if not len(bars):
        return None
    methods = scene.methods(bars)
    leader = scene.report.baseline if scene.report.baseline in methods else methods[-1]
    reference = str(bars["reference"].iloc[0])
    height = bars[bars["method"] == leader].set_index("format")["score"]
    groups = {
        group: sorted(part["format"].unique(), key=lambda name: (-height.get(name, -1.0), name))
        for group, part in sorted(bars.groupby("group"), key=lambda pair: list(_GROUPS).index(str(pair[0])))
    }
    caption = (
        f"Mean score over {sizes(bars['n_tasks'].tolist())} tasks, each by its own metric (exact match or ROUGE-L), in "
        f"every format; the same instances in all. {INTERVAL}. Formats are in the order of {short(leader)}, and the "
        f"dashed line is {short(leader)} in `{reference}`. Group I asks the same in another form; group II adds or "
        "removes information, so compare forms within a group."
    )
    if len(floors):
        caption += f" Dotted: {', '.join(sorted(map(str, floors['format'].unique())))}, the highest of any method: "
        caption += "what the input alone gives."
    columns = ["group", "format", "seen_in_training", "method", "score", "low", "high", "n_tasks", "n_seeds"]
    with drawing():
        page = _format_page(scene, bars, floors, groups, methods, float(height.get(reference, np.nan)))
        return Figure("figure2-formats", "Score by instruction format", caption, frame[columns], page)


def _format_page(
    scene: Scene,
    bars: pd.DataFrame,
    floors: pd.DataFrame,
    groups: dict[Any, list[str]],
    methods: list[str],
    reference: float,
) -> Canvas:
    stacked = len(methods) * sum(map(len, groups.values())) > _FULL_ROW
    shape = (len(groups), 1) if stacked else (1, len(groups))
    ratios: dict[str, Any] = {} if stacked else {"width_ratios": [len(names) for names in groups.values()]}
    page, grid = canvas(0.5 + 2.4 * shape[0], *shape, sharey=True, squeeze=False, **ratios)
    width = 0.84 / len(methods)
    for axes, (group, names) in zip(grid.flat, groups.items(), strict=True):
        axes.grid(axis="y")
        for index, method in enumerate(methods):
            own = bars[(bars["method"] == method) & bars["format"].isin(names)].set_index("format").reindex(names)
            x = np.arange(len(names)) - 0.42 + width * (index + 0.5)
            look = scene.looks[method]
            axes.bar(x, own["score"], width * 0.94, color=look.color, hatch=look.hatch, edgecolor=PAPER, lw=0)
            whiskers(axes, x, own["score"], own["low"], own["high"], capsize=min(1.6, 12 * width))
        if np.isfinite(reference):
            axes.axhline(reference, color=INK, lw=0.9, ls="--")
        for _, part in floors.groupby("format"):
            axes.axhline(part["score"].max(), color=FAINT, lw=1.1, ls=":")
        tilted = not stacked and sum(map(len, groups.values())) > 5
        axes.set_xticks(range(len(names)), [short(name, 22) for name in names])
        axes.tick_params(axis="x", length=0)
        if tilted or len(names) > 6:
            for text in axes.get_xticklabels():
                text.set(rotation=28, ha="right", rotation_mode="anchor")
        axes.set_title(
            _GROUPS[str(group)] if stacked or len(names) > 2 else f"Group {group}" if group else "", loc="left"
        )
        axes.set_xlim(-0.6, len(names) - 0.4)
        percent_axis(axes.yaxis)
    for axes in grid[:, 0]:
        axes.set_ylim(bottom=0)
        axes.set_ylabel("score (%)")
    legend(page, methods, handles(methods, scene.looks, shape="patch"))
    return page


# ------------------------------------------------------------------------------------ categories


def category_bars(scene: Scene) -> Figure | None:
    """Unseen tasks by category: a bar per method, a dot per task, and where chance lies."""
    frame = scene.frame("categories", floors_too=False)
    if frame is None:
        return None
    facts = scene.results.tasks.set_index("task")
    dots = scene.unseen.assign(
        category=scene.unseen["task"].map(facts["category"]), metric=scene.unseen["task"].map(facts["metric"])
    )
    methods = scene.methods(frame)
    dots = dots[dots["method"].isin(methods)]
    leader = scene.report.baseline if scene.report.baseline in methods else methods[-1]
    lead = frame[frame["method"] == leader].sort_values(["metric", "unseen"], ascending=[True, False])
    rows = list(lead[["category", "metric"]].itertuples(index=False, name=None))
    hatched = frame["metric"].nunique() > 1
    caption = (
        "Mean over the unseen tasks of each category, in the category's metric"
        + (": plain bars exact match, hatched ROUGE-L" if hatched else "")
        + f". Dots: single tasks, means over seeds. {INTERVAL}; none where a category has fewer than five source "
        f"datasets. The upright tick is chance (copying the input, for ROUGE-L). In the order of {short(leader)}."
    )
    columns = {"unseen": "score", "unseen_low": "low", "unseen_high": "high", "n_unseen": "n_tasks"}
    keys = ["category", "metric", "method"]
    means = frame.rename(columns=columns)[[*keys, *columns.values(), "n_sources", "chance"]].assign(task="")
    numbers = pd.concat([means, dots[[*keys, "task", "score"]]], ignore_index=True)
    with drawing():
        page = _category_page(scene, frame, dots, rows, methods, hatched=hatched)
        return Figure("figure3-categories", "Unseen tasks by category", caption, numbers, page)


def _category_page(
    scene: Scene,
    frame: pd.DataFrame,
    dots: pd.DataFrame,
    rows: list[tuple[str, str]],
    methods: list[str],
    *,
    hatched: bool,
) -> Canvas:
    thick = 0.17 if len(methods) <= 4 else 0.13 if len(methods) <= 8 else 0.1  # inches of a bar
    each = thick * len(methods) + 0.2
    page, axes = canvas(0.9 + each * len(rows))
    axes.grid(axis="x")
    rng = np.random.default_rng(0)  # jitter within a bar
    width = thick / each
    for place, (category, metric) in enumerate(rows):
        part = frame[(frame["category"] == category) & (frame["metric"] == metric)].set_index("method")
        for index, method in enumerate(methods):
            if method not in part.index:
                continue
            own, look = part.loc[method], scene.looks[method]
            y = place + width * (index + 0.5 - len(methods) / 2)
            hatch = "/////" if hatched and metric == "rouge_l" else ""
            axes.barh(y, own["unseen"], width * 0.92, color=look.color, hatch=hatch, edgecolor=PAPER, lw=0)
            tasks = dots.query("category == @category and metric == @metric and method == @method")["score"]
            jitter = y + width * rng.uniform(-0.28, 0.28, len(tasks))
            axes.scatter(tasks, jitter, s=8, color=PAPER, edgecolors=INK, linewidths=0.5, zorder=3)
            whiskers(axes, [own["unseen"]], [y], [own["unseen_low"]], [own["unseen_high"]], across=True, zorder=4)
        axes.plot([part["chance"].iloc[0]] * 2, [place - 0.46, place + 0.46], color=INK, lw=1.6, zorder=5)
    named = [f"{short(category, 30)}\n{_units(frame, category, metric)}" for category, metric in rows]
    axes.set_yticks(range(len(rows)), named, linespacing=1.2)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xlim(0, 1.02)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("score (%)")
    percent_axis(axes.xaxis)
    legend(page, methods, handles(methods, scene.looks, shape="plain"))
    return page


def _units(frame: pd.DataFrame, category: str, metric: str) -> str:
    row = frame[(frame["category"] == category) & (frame["metric"] == metric)].iloc[0]
    tasks, sources = int(row["n_unseen"]), int(row["n_sources"])
    return f"{tasks} task{'s' * (tasks != 1)}, {sources} source{'s' * (sources != 1)}"
