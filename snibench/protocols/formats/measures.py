"""Measures of protocol ``formats``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from snibench.base.errors import PluginError
from snibench.base.registry import FORMATS
from snibench.contracts import FormatFlags
from snibench.protocols.frames import Frames
from snibench.protocols.panel import (
    Floats,
    Panel,
    by_task,
    mean,
    panel,
    resampling,
    source_clusters,
    task_means,
    task_means_of,
)
from snibench.stats.arrays import rounded
from snibench.stats.estimates import SHARE
from snibench.stats.intervals import mean_interval
from snibench.stats.ranks import agreement_intervals, ranks
from snibench.stats.spread import independent_spread, spread_null


def format_frames(answers: pd.DataFrame, tasks: pd.DataFrame, reference: str) -> Frames:
    """``formats``, ``format_spread``, ``format_groups``, ``format_ranks`` and ``format_agreement``."""
    shared = panel(answers, fits=("method", "format", "seed"), questions=("task", "instance"), facts=("seen",))
    sources = source_clusters(tasks)[sorted(shared.questions["task"].unique())].tolist()
    compared = compared_formats(shared)
    scores = {method: _scores(shared, method, compared) for method in shared.methods} if compared else {}
    floors = set(answers.loc[answers["floor"], "method"]) if "floor" in answers else set()
    ranked = {method: one for method, one in scores.items() if method not in floors}
    makers: dict[str, Callable[[], pd.DataFrame]] = {
        "formats": lambda: pd.DataFrame(_format_rows(shared, sources, reference)),
        "format_spread": lambda: pd.DataFrame(
            {"method": method, **_spread_row(one, sources), **_stability(shared, method, compared)}
            for method, one in scores.items()
        ),
        "format_groups": lambda: pd.DataFrame(
            {"method": method, "formats": name, **_spread_row(one.of(members), sources)}
            for method, one in scores.items()
            for name, members in _groups(shared, method, compared).items()
            if members
        ),
        "format_ranks": lambda: pd.DataFrame(_rank_rows(ranked, compared), columns=["method", "format", "rank"]),
        "format_agreement": lambda: pd.DataFrame([_agreement_row(ranked, compared)]),
    }
    return Frames(makers)


@dataclass(frozen=True)
class _Scores:
    """Scores of one method in the compared formats."""

    tasks: Floats  # [F, S, T]
    instances: tuple[Floats, ...]  # per task [F, n], seed means

    def of(self, formats: Sequence[int]) -> _Scores:
        """The scores in some of the formats, by their numbers."""
        chosen = list(formats)
        return _Scores(self.tasks[chosen], tuple(one[chosen] for one in self.instances))


def _group(format: str) -> str:
    """The information group of an installed format, else "": records may name formats that are not here."""
    # Not every name that get() takes: a record must not make it import the file that it names.
    if format not in FORMATS.names():
        return ""
    try:
        flags: FormatFlags = FORMATS.get(format).flags
    except PluginError:
        return ""
    return flags.group


def _groups(shared: Panel, method: str, formats: Sequence[str]) -> dict[str, list[int]]:
    """Groups of ``formats``: by the information of the definition that they keep, and by training."""
    kinds = [_group(name) for name in formats]
    groups = {f"group {group}": [i for i, own in enumerate(kinds) if own == group] for group in ("I", "II")}
    trained = _train_formats(shared.answers)
    if trained is not None:
        met = [(method, name) in trained for name in formats]
        groups |= {"observed": [i for i, own in enumerate(met) if own]}
        groups |= {"unobserved": [i for i, own in enumerate(met) if not own]}
    return groups


def compared_formats(shared: Panel) -> list[str]:
    """Formats that every method answered with every one of its seeds, sorted; controls are left out."""
    fits = len(shared.fits[["method", "seed"]].drop_duplicates())
    counts = shared.fits["format"].value_counts()
    return sorted(str(name) for name in counts.index[counts == fits] if _group(str(name)) != "control")


def _in_formats(shared: Panel, column: str, method: str, formats: Sequence[str]) -> Floats:
    """``[F, S, Q]`` values of a column."""
    return np.stack([shared.values(column, method=method, format=name) for name in formats])


def _scores(shared: Panel, method: str, formats: Sequence[str]) -> _Scores:
    values, tasks = _in_formats(shared, "score", method, formats), shared.questions["task"]
    return _Scores(task_means(values, tasks), tuple(by_task(values.mean(axis=1), tasks)))


def _format_rows(shared: Panel, sources: Sequence[str], reference: str) -> Iterator[dict[str, Any]]:
    """One row per method and format; ``drop`` is the performance drop rate against the reference format."""
    names = shared.questions["task"]
    seen = shared.questions.groupby("task")["seen"].first().to_numpy(dtype=bool)
    trained = _train_formats(shared.answers)
    pairs = sorted(set(zip(shared.fits["method"], shared.fits["format"], strict=True)))
    means = task_means_of(
        {pair: shared.values("score", method=pair[0], format=pair[1]) for pair in pairs}, names
    )  # [S, T] each
    for method, format in pairs:
        scores = means[method, format]
        base = mean(means[method, reference]) if (method, reference) in means else nan
        length = mean(shared.values("prompt_tokens", method=method, format=format))
        level = mean_interval(scores, clusters=sources, bounds=SHARE)
        yield {
            "method": method,
            "format": format,
            "group": _group(format),
            "seen_in_training": None if trained is None else (method, format) in trained,
            "score": level.value,
            "low": level.low,
            "high": level.high,
            "reference": reference,
            "drop": 1.0 - level.value / base if base else nan,
            "seen": mean(scores[:, seen]),
            "unseen": mean(scores[:, ~seen]),
            "prompt_tokens": length,
            "tokens_added": length - mean(shared.values("prompt_tokens", method=method, format=reference)),
            "n_tasks": scores.shape[1],
            "n_seeds": len(scores),
        }


def _train_formats(answers: pd.DataFrame) -> set[tuple[str, str]] | None:
    """Every method with each format that it was tuned in, if the answers say."""
    if "train_format" not in answers:
        return None
    pairs = answers[["method", "train_format"]].drop_duplicates().itertuples(index=False, name=None)
    return {(method, name) for method, names in pairs for name in str(names).split(",")}


def _spread_row(scores: _Scores, sources: Sequence[str]) -> dict[str, float]:
    """Distance of one method's formats; measures are taken per task, of seed means, and then averaged."""
    accuracy = scores.tasks.mean(axis=1)  # [F, T]
    formats, tasks = accuracy.shape
    top, bottom = accuracy.max(axis=0), accuracy.min(axis=0)
    at_top, at_bottom = extremes(scores.tasks)
    saturation = 1.0 - (top - accuracy.mean(axis=0))
    level = mean_interval(scores.tasks.mean(axis=0), clusters=sources, bounds=SHARE)
    worst = mean_interval(at_bottom, clusters=sources, bounds=SHARE)
    spread = mean_interval(at_top - at_bottom, clusters=sources, bounds=SHARE)
    return {
        "mean": level.value,
        "mean_low": level.low,
        "mean_high": level.high,
        "spread_mean": spread.value,
        "spread_low": spread.low,
        "spread_high": spread.high,
        "spread_median": float(np.median(top - bottom)),
        "spread_null": _spread_by_noise(scores),
        "spread_independent": _spread_of_coins(scores),
        "worst": worst.value,
        "worst_low": worst.low,
        "worst_high": worst.high,
        "sd": mean(accuracy.std(axis=0, ddof=1)) if formats > 1 else nan,
        "avgp": mean(accuracy),
        "maxp": mean(top),
        "sat": mean(saturation),
        "cps": mean(saturation * top),
        "n_tasks": tasks,
        "n_formats": formats,
    }


def extremes(scores: Floats) -> tuple[Floats, Floats]:
    """``[S, T]`` scores in the formats that are best and worst for each task on average; ``scores`` is ``[F, S, T]``.

    Their seed means are the highest and the lowest of the task. Formats that tie are averaged, so that neither float
    noise nor the order of formats or seeds decides which of them is taken.
    """
    means = rounded(scores.mean(axis=1))  # [F, T]
    best, worst = (means == end for end in (means.max(axis=0), means.min(axis=0)))
    top, bottom = (np.einsum("fst,ft->st", scores, tied / tied.sum(axis=0)) for tied in (best, worst))
    return top, bottom


def _spread_by_noise(scores: _Scores) -> float:
    """The mean spread if the format did not matter: the formats of each instance permuted."""
    if len(scores.tasks) < 2:
        return nan
    rng = resampling("formats")
    return float(np.mean([spread_null(instances, rng=rng).null for instances in scores.instances]))


def _spread_of_coins(scores: _Scores) -> float:
    """The mean spread if every answer were an independent coin: more than noise that keeps to hard instances."""
    if len(scores.tasks) < 2:
        return nan
    coins = [independent_spread(float(one.mean()), one.shape[1], len(one)) for one in scores.instances]
    return float(np.mean(coins))


def _stability(shared: Panel, method: str, formats: Sequence[str]) -> dict[str, float]:
    """Stability of single instances over formats: means over instances, then seeds and tasks.

    ``disagreement`` is the mean absolute difference of score over pairs of formats; right and wrong are by exact
    match, so that the three shares add up to 1.
    """
    count = len(formats)
    ordered = np.sort(_in_formats(shared, "score", method, formats), axis=0)  # [F, S, Q]
    # Over sorted values, the sum of |a - b| over pairs counts the k-th value 2k - F + 1 times.
    differences = np.tensordot(2.0 * np.arange(count) - count + 1.0, ordered, axes=1) / max(1, count * (count - 1) / 2)
    right = _in_formats(shared, "exact_match", method, formats) == 1.0
    shares = {
        "disagreement": differences,
        "always_right": right.all(axis=0),
        "always_wrong": ~right.any(axis=0),
        "unstable": right.any(axis=0) & ~right.all(axis=0),
    }
    means = task_means_of({name: values.astype(float) for name, values in shares.items()}, shared.questions["task"])
    return {name: mean(own) for name, own in means.items()}


def _rank_rows(scores: Mapping[str, _Scores], formats: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    """Per format the ranks of the methods, 1 for the highest mean over tasks."""
    for index, format in enumerate(formats):
        means = np.array([one.tasks[index].mean() for one in scores.values()])
        for method, rank in zip(scores, ranks(means), strict=True):
            yield method, format, float(rank)


def _agreement_row(scores: Mapping[str, _Scores], formats: Sequence[str]) -> dict[str, float]:
    """Agreement of formats on the order of the methods, with intervals over tasks."""
    row: dict[str, float] = {}
    for name in ("kendall_w", "tau_b", "top1"):
        row |= {name: nan, f"{name}_low": nan, f"{name}_high": nan}
    if scores:
        accuracy = np.stack([one.tasks.mean(axis=1) for one in scores.values()], axis=1)  # [F, M, T]
        for name, level in agreement_intervals(accuracy, rng=resampling("agreement")).items():
            row |= {name: level.value, f"{name}_low": level.low, f"{name}_high": level.high}
    return {**row, "n_formats": len(formats), "n_methods": len(scores)}
