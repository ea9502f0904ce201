"""The gradient conflict that the fits of a run measured, as frames.

Fits on folds or on mixtures of two families are left out: they are no further seeds of the fits that tables show.
"""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from snibench.report.fits import on_most_tasks
from snibench.stats.arrays import Floats
from snibench.stats.conflict import ONE_SIDED, UNRESOLVED
from snibench.stats.intervals import mean_interval

if TYPE_CHECKING:
    from snibench.store import StoredRun


def conflict_points(results: StoredRun) -> pd.DataFrame:
    """method, share of training, and every number of the conflict measurement, means over seeds.

    Of the fits on all seen tasks alone: what folds and combos are tuned on has a conflict of its own.
    """
    means: list[dict[str, Any]] = []
    measured: dict[tuple[str, float], list[dict[str, float]]] = {}
    for record, spec in on_most_tasks(results):
        for point, values in record.conflict.items():
            measured.setdefault((spec.label, float(point)), []).append(dict(values))
    for (method, share), fits in measured.items():
        seeds = pd.DataFrame(fits)
        low, high = _seed_interval(seeds["score"].dropna().to_numpy(np.float64)) if "score" in seeds else (nan, nan)
        numbers = {str(name): float(seeds[name].mean()) for name in seeds}
        ends = {"score_low": low, "score_high": high, "n_seeds": len(fits)}
        means.append({"method": method, "share": share, **numbers, **ends})
    frame = pd.DataFrame(means, columns=None if means else ["method", "share"])
    frame["unresolved"] = frame.get("standard_error", pd.Series(nan, frame.index, dtype=float)) > UNRESOLVED
    return frame


def _seed_interval(values: Floats) -> tuple[float, float]:
    """The t interval of a number that each seed has one of."""
    if len(values) < 2:
        return nan, nan
    estimate = mean_interval(values[None, :])  # seeds take the place of tasks
    return estimate.low, estimate.high


def conflict_pairs(results: StoredRun) -> pd.DataFrame:
    """method, seed, share of the training, first, second, cosine, ...: one row per seed and measured pair of tasks.

    ``conflict/0.5.parquet`` was measured after half of the training.
    """
    frames = [
        frame.assign(method=spec.label, seed=spec.seed, share=float(share))
        for record, spec in on_most_tasks(results)
        for share, frame in results.frames(record.fit, "conflict/*.parquet").items()
    ]
    columns = ["method", "seed", "share", "first", "second", "cosine"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def pair_frame(results: StoredRun) -> pd.DataFrame:
    """method, share, first, second, their categories, and every number of the pair as a mean over seeds.

    Standard errors are averaged too: seeds share the probe, so their noise is the same. ``conflicting``: the cosine is
    negative at the one-sided 5 % level.
    """
    seeds = conflict_pairs(results)
    if not len(seeds):
        return seeds.drop(columns="seed")
    groups = seeds.groupby(["method", "share", "first", "second"], sort=False)
    pairs = groups.mean().drop(columns="seed").assign(n_seeds=groups.size()).reset_index()
    for side in ("first", "second"):
        pairs[f"{side}_category"] = pairs[side].map(categories(results)).fillna("")
    if "standard_error" in pairs:
        pairs["conflicting"] = pairs["cosine"] < -ONE_SIDED * pairs["standard_error"]
    return pairs


def categories(results: StoredRun) -> dict[str, str]:
    """The category of every task of the run."""
    return dict(zip(results.tasks["task"], results.tasks["category"], strict=True))
