"""Cosines between the gradients of tasks, as maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from snibench.report.conflict import conflict_pairs
from snibench.report.figures.figure import Figure
from snibench.report.figures.scene import Scene
from snibench.report.figures.style import BAND, FAINT, INK, OKABE_ITO, WIDTH, canvas, drawing, rows_and_columns, short
from snibench.stats.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_ACROSS = 3  # panels in a row
_ANNOTATED = 12  # tasks up to which a single panel has its numbers in the cells
_VECTOR = 32  # rows of cells up to which they are drawn one by one; an image beyond
_CAPTION = (
    "Each cell: the cosine between the mean gradients of two tasks, on probe instances that are never trained on, "
    "corrected for the noise of finite samples; means over seeds. Orange: the tasks pull apart; blue: they pull alike; "
    "grey: too noisy to say. Tasks are in order of category (the lines). The conflict score of snibench is the mean "
    "over pairs of max(0, -cos), cross-fitted, so it is not exactly the mean of these cells; the literature also calls "
    "the share of pairs with a negative cosine by that name (the conflict rate)."
)


def conflict_map(
    panels: Mapping[str, pd.DataFrame],
    *,
    categories: Mapping[str, str],
    scores: Mapping[str, float] | None = None,
    name: str = "conflict",
    title: str = "Gradient conflict between tasks",
) -> Figure:
    """Task x task cosines as a heat map centred at 0, one panel per key of ``panels``.

    Args:
        panels: What each panel is called, and its pairs: columns first, second, cosine, each pair once; a pair that
            is repeated (for seeds) is averaged.
        categories: Category of each task; tasks are sorted by it. One that is not named stands at the end.
        scores: Conflict score of a panel, to stand in its title.
        name: Stem of the files.
        title: Of the figure.

    Raises:
        ValueError: If there is no panel.
        MissingExtra: If matplotlib is not installed.
    """
    if not panels:
        raise ValueError("A conflict map needs at least one panel.")
    means = {
        label: pairs.groupby(["first", "second"], sort=False)["cosine"].mean().reset_index()
        for label, pairs in panels.items()
    }
    known = pd.concat(means.values())
    tasks = sorted({*known["first"], *known["second"]}, key=lambda task: (categories.get(task, "~"), task))
    squares = {label: _square(pairs, tasks) for label, pairs in means.items()}
    frame = pd.concat([pairs.assign(panel=label) for label, pairs in means.items()], ignore_index=True)
    for side in ("first", "second"):
        frame[f"{side}_category"] = frame[side].map(lambda task: categories.get(task, ""))
    frame = frame[["panel", "first", "first_category", "second", "second_category", "cosine"]]
    with drawing():
        return Figure(name, title, _CAPTION, frame, _drawn(squares, tasks, categories, scores or {}))


def _square(pairs: pd.DataFrame, tasks: list[str]) -> Floats:
    """``[T, T]`` symmetric cosines, NaN where a pair is missing and on the diagonal."""
    place = {task: index for index, task in enumerate(tasks)}
    square = np.full((len(tasks), len(tasks)), np.nan)
    rows, columns = pairs["first"].map(place), pairs["second"].map(place)
    square[rows, columns] = square[columns, rows] = pairs["cosine"]
    return square


def _drawn(
    squares: Mapping[str, Floats], tasks: list[str], categories: Mapping[str, str], scores: Mapping[str, float]
) -> Canvas:
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    count, panels = len(tasks), len(squares)
    rows, columns = rows_and_columns(panels, _ACROSS)
    named = count <= 40
    side = (WIDTH - 2.4) / columns
    page, grid = canvas(rows * (side + 0.5) + (0.9 if named and panels == 1 else 0.3), rows, columns, squeeze=False)
    cosines = np.abs(np.concatenate([square[np.isfinite(square)] for square in squares.values()] or [np.zeros(1)]))
    limit = float(np.ceil(max(cosines.max(initial=0.0), 0.1) * 10) / 10)
    diverging = LinearSegmentedColormap.from_list("conflict", [OKABE_ITO[0], "#fffffd", OKABE_ITO[1]])
    colours = diverging.with_extremes(bad=BAND)
    starts = [i for i in range(1, count) if categories.get(tasks[i]) != categories.get(tasks[i - 1])]
    for unused in grid.flat[panels:]:
        unused.remove()
    for index, (label, square) in enumerate(squares.items()):
        axes: Axes = grid.flat[index]
        shown = np.ma.masked_invalid(square)
        image = axes.pcolormesh(shown, cmap=colours, norm=Normalize(-limit, limit), rasterized=panels * count > _VECTOR,
                                edgecolors="none")  # fmt: skip
        axes.plot([0, count], [0, count], color=FAINT, lw=0.6)
        axes.set(xlim=(0, count), ylim=(count, 0), aspect="equal", xticks=[], yticks=[])
        for start in starts:
            axes.axhline(start, color=INK, lw=0.5)
            axes.axvline(start, color=INK, lw=0.5)
        score = scores.get(label)
        words = short(label, 60 if panels == 1 else 58 // columns)
        subtitle = "" if score is None else f"score {score:.3f}"
        axes.set_title(
            f"{words}: {subtitle}" if panels == 1 and subtitle else f"{words}\n{subtitle}".strip(), loc="left"
        )
        ticks = np.arange(count) + 0.5
        size = min(7.5, 300 / count) if panels == 1 else min(6.5, 130 / count)
        if named and index % columns == 0:
            axes.set_yticks(ticks, [short(task, 40 if panels == 1 else 28) for task in tasks], fontsize=size)
        if named and panels == 1:
            axes.set_xticks(ticks, [short(task, 28) for task in tasks], fontsize=size, rotation=90)
        axes.tick_params(length=0)
        if panels == 1 and count <= _ANNOTATED:
            for row, column in zip(*np.nonzero(np.isfinite(square)), strict=True):
                value = square[row, column]
                words = f"{value:.2f}".replace("-0.00", "0.00")
                ink = "#fffffe" if abs(value) > 0.7 * limit else "#000001"
                axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", fontsize=6.5, color=ink)
    bar = page.colorbar(image, ax=grid.ravel().tolist()[:panels], shrink=0.6 if rows == 1 else 0.4, aspect=18, pad=0.02)
    bar.set_label("cosine: apart (-)  /  alike (+)")
    bar.outline.set_visible(False)
    return page


def conflict_panels(scene: Scene) -> Figure | None:
    """The conflict map of every method at the end of tuning, or the last point that was measured."""
    pairs = conflict_pairs(scene.results)
    if not len(pairs):
        return None
    share = pairs["share"].max()
    last = pairs[pairs["share"] == share]
    table = scene.frame("conflict")
    scores: dict[str, float] = {}
    if table is not None and "score" in table:
        known = table[(table["share"] == share) & table["score"].notna()]
        scores = dict(zip(known["method"], known["score"], strict=True))
    return conflict_map(
        {method: last[last["method"] == method] for method in scene.methods(last)},
        categories=scene.categories,
        scores=scores,
        title=f"Gradient conflict between tasks, {100 * share:g}% trained",
    )
