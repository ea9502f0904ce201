"""Change of the loss on general text by tuning, which no task of a suite measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from snibench.report.fits import on_most_tasks
from snibench.report.layouts import METHOD, ordered
from snibench.report.values import Column, Table
from snibench.stats.intervals import mean_interval

if TYPE_CHECKING:
    from snibench.store import StoredRun

COLUMN = Column("forgetting", "Forgetting", "number", "lower", "forgetting_low", "forgetting_high")
NOTE = (
    "Forgetting: loss per token after tuning minus before, in nats, on 40 passages of general English that come with "
    "snibench; paired by passage, mean over passages; below 0 the model got better at them."
)
_ENDS = ("before", "after")
_NOTES = (
    NOTE,
    "Read alone, without format or instruction. Intervals: t at 95%, over passages and seeds. Before: the base model.",
)


def passage_losses(results: StoredRun) -> pd.DataFrame:
    """method, seed, passage, tokens, before, after: loss per token of general text, in nats."""
    frames = [
        frame.assign(method=spec.label, seed=spec.seed)
        for record, spec in on_most_tasks(results)
        for frame in results.frames(record.fit, "forgetting.parquet").values()
    ]
    columns = ["method", "seed", "passage", "tokens", *_ENDS]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def forgetting(results: StoredRun) -> pd.DataFrame:
    """method, before, after, forgetting with its interval, n_passages, n_seeds: one row per measured method."""
    rows = []
    for method, own in passage_losses(results).groupby("method", sort=False):
        before, after = (own.pivot(index="seed", columns="passage", values=name).to_numpy(float) for name in _ENDS)
        estimate = mean_interval(after - before)
        rows.append(
            {
                "method": method,
                "before": before.mean(),
                "after": after.mean(),
                "forgetting": estimate.value,
                "forgetting_low": estimate.low if np.any(after != before) else 0.0,
                "forgetting_high": estimate.high if np.any(after != before) else 0.0,
                "n_passages": before.shape[1],
                "n_seeds": before.shape[0],
            }
        )
    return pd.DataFrame(rows, columns=None if rows else ["method"])


def forgetting_tables(results: StoredRun, order: Sequence[str]) -> list[Table]:
    """One table, or none if it was not measured."""
    frame = forgetting(results)
    if not len(frame):
        return []
    columns = (
        Column("before", "Before", "number", "lower"),
        Column("after", "After", "number", "lower"),
        COLUMN,
        Column("n_passages", "Passages/seeds", "count", also=("n_seeds",)),
    )
    return [ordered(Table("forgetting", "Loss per token on general text", frame, (METHOD,), columns, _NOTES), order)]
