"""The numbers that a board's page draws: cost against score, conflict against gap, and boxes of streams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snibench.leaderboard.columns import Measures
from snibench.leaderboard.rows import RowsError, read_rows
from snibench.leaderboard.validate import incomplete
from snibench.report.cells import number
from snibench.report.measures import measured

if TYPE_CHECKING:
    from snibench.leaderboard.pool import Board

STREAMS = "combo_streams"  # the frame with one row per stream


def figures_data(board: Board, measures: Measures, folder: Path) -> dict[str, Any]:
    """Points and boxes by figure; a figure without any is left out. Entries are named by their place."""
    entries = [
        (place, entry)
        for place, entry in enumerate(board["entries"])
        if entry["status"] == "measured" and not incomplete(board, entry)
    ]
    figures: dict[str, Any] = {}
    headline = measures.headline
    if headline is not None:
        costly = [
            (place, entry["cost"]["seconds"], value)
            for place, entry in entries
            if (value := _mean(entry, *headline)) is not None
        ]
        if len(costly) > 1:
            title = measures.summary[headline].title
            front = pareto([(seconds, score) for _, seconds, score in costly])
            figures["pareto"] = {
                "points": [[place, round(x, 3), round(100 * y, 3)] for place, x, y in costly],
                "texts": [[number(x, "seconds"), number(y, "percent")] for _, x, y in costly],
                "front": [costly[index][0] for index in front],
                "axes": ["Tuning, seconds", f"{title}, %"],
            }
    gaps = [
        (place, float(score), gap)
        for place, entry in entries
        if (score := (entry["conflict"] or {}).get("1", {}).get("score")) is not None
        and (gap := _mean(entry, "gap", "gap")) is not None
    ]
    if len(gaps) > 1:
        figures["conflict"] = {
            "points": [[place, round(x, 5), round(100 * y, 3)] for place, x, y in gaps],
            "texts": [[number(x, "number"), number(y, "difference")] for _, x, y in gaps],
            "axes": ["Gradient conflict at the end of tuning", "Gap, points"],
        }
    if boxes := _boxes(entries, folder):
        figures["boxes"] = boxes
    return figures


def _mean(entry: dict[str, Any], protocol: str, name: str) -> float | None:
    value = entry["metrics"].get(protocol, {"overall": {}})["overall"].get(name, {}).get("mean")
    return None if value is None else float(value)


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points that no other one beats: none costs as little or less and scores as much or more.

    ``points``: cost, score. In the order of their cost; of equal points all.
    """
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    front: list[int] = []
    best = -np.inf
    for index in order:
        cost, score = points[index]
        if score > best or (front and points[front[-1]] == (cost, score)):
            front.append(index)
            best = max(best, score)
    return front


def _boxes(entries: Sequence[tuple[int, dict[str, Any]]], folder: Path) -> dict[str, Any] | None:
    """By combo, schedule and history the box of every entry: whisker, quartile, median, quartile, whisker, mean."""
    boxes: dict[str, list[list[Any]]] = {}
    for place, entry in entries:
        file = folder / entry["rows"]["path"]
        if not file.is_file():
            continue
        try:
            frames, _ = measured(read_rows(file))
        except RowsError:
            continue
        for own in frames:
            streams = own.frames.get(STREAMS)
            if streams is None or not len(streams):
                continue
            for (combo, schedule, history), rows in streams.groupby(["combo", "schedule", "history"], sort=False):
                name = f"{combo}: history {history}" + (f", {schedule}" if streams["schedule"].nunique() > 1 else "")
                boxes.setdefault(name, []).append([place, *box(rows["accuracy"].to_numpy(dtype=np.float64))])
    return {"choices": boxes, "axes": ["Accuracy of a stream, %"]} if boxes else None


def box(values: np.ndarray) -> list[float]:
    """Whisker, quartile, median, quartile, whisker, mean and number of ``values``, in percent.

    Whiskers end at the last value within 1.5 interquartile ranges.
    """
    values = 100 * values[np.isfinite(values)]
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    reach = 1.5 * (high - low)
    inside = values[(values >= low - reach) & (values <= high + reach)]
    numbers = (inside.min(), low, middle, high, inside.max(), values.mean())
    return [*(round(float(one), 2) for one in numbers), len(values)]
