"""Measures of mode ``switch`` of protocol ``combos``: boxes over streams, their differences, and switch costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby, permutations
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from snibench.protocols.combos.settings import HISTORIES
from snibench.protocols.frames import Frames
from snibench.protocols.panel import (
    ABOVE_CHANCE,
    FEWEST_SOURCES,
    Floats,
    above_chance,
    box,
    comparable,
    group_means,
    mean,
    panel,
    resampling,
    task_means_of,
    with_facts,
)
from snibench.stats.estimates import Estimate
from snibench.stats.intervals import mean_interval
from snibench.stats.streams import excess_sd, iqr

_DRAWS = 2_000  # resamples of streams


def stream_frames(answers: pd.DataFrame, tasks: pd.DataFrame) -> Frames:
    """``combos``, ``combo_means``, ``combo_streams``, ``combo_differences`` and ``switch_cost``."""
    shared = panel(answers, questions=("combo", "schedule", "history", "stream", "position"), facts=("task", "side"))
    questions = with_facts(shared.questions, tasks)
    scores = {method: shared.values("score", method=method) for method in shared.methods}
    seeds = shared.fits.groupby("method")["seed"].agg(list)

    @cache
    def boxes() -> list[_Box]:
        return [
            one
            for _, combo in questions.groupby("combo")
            for metric, compared in [comparable(combo)]
            for key, part in compared.groupby(["combo", "schedule", "history"])
            for one in _boxes(tuple(map(str, key)), metric, scores, part)
        ]

    return Frames(
        {
            "combos": lambda: pd.DataFrame(box.row for box in boxes()),
            "combo_means": lambda: _means(questions, scores),
            "combo_streams": lambda: pd.DataFrame(row for box in boxes() for row in box.data(seeds[box.method])),
            "combo_differences": lambda: pd.DataFrame(_differences(boxes())),
            "switch_cost": lambda: pd.DataFrame(_switch_costs(questions, scores)),
        }
    )


def _means(questions: pd.DataFrame, scores: Mapping[str, Floats]) -> pd.DataFrame:
    """One row per method over all combos, schedules and histories, in one unit: above chance.

    ``above_chance``: mean over tasks, each over all its questions, as comparisons of methods take it. The others are
    means over boxes, whose streams are above chance as well; ``min`` is of all streams.
    """
    informative = questions[questions["informative"]]
    informative = informative.assign(zero=informative["chance"])
    if not len(informative):
        return pd.DataFrame()
    parts = [part for _, part in informative.groupby(["combo", "schedule", "history"])]
    by_part = [_boxes(("", "", ""), ABOVE_CHANCE, scores, part) for part in parts]
    means = task_means_of({method: _values(own, informative) for method, own in scores.items()}, informative["task"])
    sources = informative.drop_duplicates("task").set_index("task")["source"].sort_index().astype(str).tolist()
    return pd.DataFrame(_mean_row(boxes, means[boxes[0].method], sources) for boxes in zip(*by_part, strict=True))


def _mean_row(boxes: Sequence[_Box], means: Floats, sources: Sequence[str]) -> dict[str, Any]:
    """Row of one method, from its boxes and its means [S, T] over tasks with these sources."""
    level = mean_interval(means, clusters=sources)
    spreads = [one.spread for one in boxes]
    return {
        "method": boxes[0].method,
        "metric": ABOVE_CHANCE,
        "above_chance": level.value,
        "above_chance_low": level.low,
        "above_chance_high": level.high,
        **{name: float(np.mean([spread[name] for spread in spreads])) for name in _OF_BOXES},
        "min": min(spread["min"] for spread in spreads),
        "n_boxes": len(boxes),
        "n_tasks": len(sources),
    }


_OF_BOXES = ("median", "iqr", "p5", "noise_sd", "excess_sd")


def _values(scores: Floats, questions: pd.DataFrame) -> Floats:
    """``[S, len(asked)]`` comparable scores."""
    return above_chance(scores[:, questions.index], questions["zero"].to_numpy(dtype=np.float64))


def _level(values: Floats, questions: pd.DataFrame) -> tuple[Estimate, str]:
    """The interval of the mean of ``values`` [S, Q], and its unit: the source, or with too few of them the stream.

    By streams it holds for these very tasks only, as the box does.
    """
    unit = "source" if questions["source"].nunique() >= FEWEST_SOURCES else "stream"
    return mean_interval(values, clusters=questions[unit].astype(str).tolist()), unit


def _boxes(variant: tuple[str, ...], metric: str, scores: Mapping[str, Floats], questions: pd.DataFrame) -> list[_Box]:
    """The box of every method over the streams of ``questions``; means over groups are taken for all methods at once.

    Noise: for right and wrong, sum p(1 - p) / L^2, p the accuracy of each question's task over all streams and
    seeds; other scores vary less than that, and their own variance within the task stands in its place.
    """
    task, streams = questions["task"], questions["stream"]
    values = {method: _values(own, questions) for method, own in scores.items()}
    every = np.concatenate(list(values.values()))  # [methods S, Q]
    ends = np.cumsum([len(own) for own in values.values()])[:-1]
    accuracy, level, square = (
        np.split(group_means(table, groups), ends)
        for table, groups in ((every, streams), (every, task), (every**2, task))
    )
    within = [np.maximum(0.0, two.mean(axis=0) - one.mean(axis=0) ** 2) for one, two in zip(level, square, strict=True)]
    length = streams.groupby(streams).transform("size").to_numpy()  # [Q]
    noise = group_means(np.stack(within)[:, pd.factorize(task, sort=True)[0]] / length, streams)  # [methods, n]
    return [
        _Box(method, variant, metric, values[method], questions, accuracy[place], noise[place])
        for place, method in enumerate(values)
    ]


@dataclass(frozen=True)
class _Box:
    """The streams of one method under one combo, schedule and history."""

    method: str
    variant: tuple[str, ...]  # combo, schedule, history
    metric: str
    values: Floats  # [S, Q]
    questions: pd.DataFrame  # [Q]
    accuracy: Floats  # [S, n] mean of each stream: the data of the box
    noise: Floats  # [n] variance of each stream's mean if answers varied only within their tasks

    @property
    def names(self) -> dict[str, str]:
        """The columns that name the box."""
        combo, schedule, history = self.variant
        return {"method": self.method, "combo": combo, "schedule": schedule, "history": history, "metric": self.metric}

    @cached_property
    def spread(self) -> dict[str, float]:
        """The streams' accuracies: five numbers, and how far noise alone would spread them."""
        data = self.accuracy.reshape(-1)
        return {
            **box(data),
            "noise_sd": np.sqrt(self.noise.mean()),
            "excess_sd": float(excess_sd(data, self.noise)) if len(data) > 1 else nan,
        }

    @cached_property
    def row(self) -> dict[str, Any]:
        """The statistics of the box, quartiles of type 7."""
        level, unit = _level(self.values, self.questions)
        spread = dict(self.spread)
        noise = {name: spread.pop(name) for name in ("noise_sd", "excess_sd")}
        return {
            **self.names,
            **spread,
            "mean": level.value,
            "low": level.low,
            "high": level.high,
            **noise,
            "unit": unit,
            "n_streams": self.accuracy.shape[1],
            "n": self.accuracy.size,
        }

    def data(self, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
        """One row per stream and seed."""
        streams = sorted(self.questions["stream"].unique())
        for (row, column), accuracy in np.ndenumerate(self.accuracy):
            yield {**self.names, "stream": streams[column], "seed": seeds[row], "accuracy": accuracy}

    def resampled(self) -> dict[str, Floats]:
        """``[B]`` values of IQR and excess SD; the same streams are drawn in every box of as many streams."""
        streams = self.accuracy.shape[1]
        picks = resampling("streams").integers(streams, size=(_DRAWS, streams))
        data = self.accuracy.T[picks].reshape(_DRAWS, -1)  # [B, n S]
        return {"iqr": iqr(data), "excess_sd": excess_sd(data, self.noise[picks])}


def _differences(boxes: Sequence[_Box]) -> Iterator[dict[str, Any]]:
    """Differences in width between the boxes of two methods, streams resampled in pairs."""
    for _, group in groupby(boxes, key=lambda box: box.variant):
        drawn = [(box, box.resampled()) for box in group if box.accuracy.shape[1] > 1]
        for (ours, first), (theirs, second) in permutations(drawn, 2):
            row: dict[str, Any] = {**ours.names, "versus": theirs.method}
            for name in ("iqr", "excess_sd"):
                low, high = np.quantile(first[name] - second[name], (0.025, 0.975))
                row |= {f"{name}_difference": ours.row[name] - theirs.row[name]}
                row |= {f"{name}_difference_low": low, f"{name}_difference_high": high}
            yield row


def _switch_costs(questions: pd.DataFrame, scores: Mapping[str, Floats]) -> Iterator[dict[str, Any]]:
    """Per side, the score after history of the same task minus the score after history of the other side.

    The same queries on both sides of the minus. ``relative_change`` is from no history to the other side's; it has
    no meaning above chance, where zero is not the bottom.
    """
    for (combo, side), part in questions.groupby(["combo", "side"]):
        metric, compared = comparable(part)
        columns = compared.reset_index(names="column").pivot(
            index=["schedule", "stream", "position"], columns="history", values="column"
        )
        columns = columns.reindex(columns=list(HISTORIES)).dropna(subset=["same", "other"])
        for schedule, queries in columns.groupby(level="schedule"):
            by_history = {name: compared.loc[queries[name].dropna().astype(int)] for name in HISTORIES}
            for method, answered in scores.items():
                none, same, other = (_values(answered, by_history[name]) for name in HISTORIES)
                cost, unit = _level(same - other, by_history["same"])
                alone = mean(none)
                yield {
                    "method": method,
                    "combo": combo,
                    "schedule": schedule,
                    "side": side,
                    "metric": metric,
                    "none": alone,
                    "same": mean(same),
                    "other": mean(other),
                    "cost": cost.value,
                    "low": cost.low,
                    "high": cost.high,
                    "relative_change": mean(other) / alone - 1.0 if alone and metric != ABOVE_CHANCE else nan,
                    "unit": unit,
                    "n": len(queries),
                }
