"""Mean ranks, with groups of methods that are not separated."""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from snibench.report.figures.figure import Figure
from snibench.report.figures.scene import Scene
from snibench.report.figures.style import INK, canvas, drawing, short
from snibench.stats.ranks import cliques, nemenyi_cd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


def rank_diagram(scene: Scene) -> Figure | None:
    """Critical-difference diagram: methods on a line of mean ranks, bars over those that do not differ."""
    frame = scene.frame("comparison_unseen")
    frame = None if frame is None else frame[frame["rank"].notna()]  # floors have none
    if frame is None or len(frame) < 3:
        return None
    frame = frame.sort_values(["rank", "method"], ignore_index=True)
    ranks = frame["rank"].to_numpy(dtype=float)
    tasks = int(frame["n_tasks"].max())
    distance = nemenyi_cd(len(frame), tasks)
    by_flips = _lettered(frame["group"].tolist())
    by_nemenyi = [run for run in cliques(ranks, np.abs(ranks[:, None] - ranks) >= distance) if len(run) > 1]
    caption = (
        f"Mean rank over N = {tasks} unseen tasks, 1 is best; k = {len(frame)} methods, alpha = 0.05. A bar joins "
        "methods that do not differ. Above: pairwise sign-flip tests with Holm's correction, which decide in the "
        "tables. Below, for readers of such diagrams: Nemenyi's test, whose critical difference (CD "
        f"{distance:.2f}, the ruler) depends on which other methods are in the pool. No confidence interval is drawn."
    )
    numbers = frame[["method", "rank", "group", "n_tasks"]].assign(nemenyi_cd=distance)
    with drawing():
        heights = [0.75 + 0.19 * ceil(len(frame) / 2) + 0.16 * len(bars) for bars in (by_flips, by_nemenyi)]
        page, grid = canvas(sum(heights), 2, 1, height_ratios=heights)
        _rank_panel(grid[0], scene, frame, by_flips, "Pairwise sign flips, Holm")
        _rank_panel(grid[1], scene, frame, by_nemenyi, "Nemenyi", ruler=distance)
        return Figure("ranks", "Critical-difference diagram: mean ranks on unseen tasks", caption, numbers, page)


def _lettered(groups: Sequence[str]) -> list[tuple[int, ...]]:
    """Groups of methods that share a letter, for letters that more than one has."""
    members: dict[str, list[int]] = {}
    for index, letters in enumerate(groups):
        for letter in re.findall(r"\[\d+\]|[A-Za-z]", str(letters)):
            members.setdefault(letter, []).append(index)
    return [tuple(group) for group in members.values() if len(group) > 1]


def _rank_panel(
    axes: Axes,
    scene: Scene,
    frame: pd.DataFrame,
    bars: Sequence[tuple[int, ...]],
    title: str,
    ruler: float = 0.0,
) -> None:
    count = len(frame)
    ranks = frame["rank"].to_numpy(dtype=float)
    left = ceil(count / 2)
    lines = max(left, count - left)
    top = 0.9 + 0.85 * len(bars)  # depth of the first name below the axis
    margin = 0.42 * (count - 1)
    axes.set(xlim=(1 - margin, count + margin), ylim=(top + lines + 0.2, -2.6 if ruler else -1.9))
    axes.axis("off")
    axes.set_title(title, loc="left")
    axes.plot([1, count], [0, 0], color=INK, lw=1)
    for tick in range(1, count + 1, ceil(count / 18)):
        axes.plot([tick, tick], [-0.3, 0], color=INK, lw=1)
        axes.text(tick, -0.5, str(tick), ha="center", va="bottom", fontsize=8)
    for index, rank in enumerate(ranks):
        look = scene.looks[frame["method"][index]]
        on_left = index < left
        depth = top + (index if on_left else count - 1 - index)
        edge = 1 - 0.04 * count if on_left else count + 0.04 * count
        axes.plot([rank, rank, edge], [0, depth, depth], color=look.color, lw=1.1)
        axes.plot(rank, 0, marker=look.marker, color=look.color, ms=5, mec=INK, mew=0.5, zorder=4)
        words = f"{short(frame['method'][index], 30)}  {rank:.2f}"
        axes.annotate(words, (edge, depth), xytext=(-4 if on_left else 4, 0), textcoords="offset points",
                      ha="right" if on_left else "left", va="center", fontsize=8, annotation_clip=False)  # fmt: skip
    for place, members in enumerate(bars):
        low, high = ranks[list(members)].min(), ranks[list(members)].max()
        depth = 0.75 + 0.85 * place
        axes.plot([low - 0.04, high + 0.04], [depth, depth], color=INK, lw=3.2, solid_capstyle="round", zorder=3)
    if ruler:
        axes.plot([1, min(1 + ruler, count)], [-1.75, -1.75], color=INK, lw=1.2, marker="|", ms=6)
        axes.text(1, -1.95, f"CD {ruler:.2f}", ha="left", va="bottom", fontsize=8)
