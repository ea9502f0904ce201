"""Training traces of fits on all seen tasks, step by step.

Fits on folds or on mixtures of two families are left out: they are no further seeds of the fits that tables show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from snibench.report.fits import on_most_tasks

if TYPE_CHECKING:
    from snibench.store import StoredRun


def training_traces(results: StoredRun) -> pd.DataFrame:
    """method, seed, and what the trainer wrote of every step (step, loss, ...); empty where nothing was tuned."""
    frames = [
        frame.assign(method=spec.label, seed=spec.seed)
        for record, spec in on_most_tasks(results)
        for frame in results.frames(record.fit, "trace.parquet").values()
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["method", "seed", "step", "loss"])
