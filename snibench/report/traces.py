"""What fits left beside their answers: how tuning went, and which tasks' gradients conflict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from snibench.report.fits import done
from snibench.store import read_frame

if TYPE_CHECKING:
    from snibench.store import Results


def training_traces(results: Results) -> pd.DataFrame:
    """method, seed, and what the trainer wrote of every step (step, loss, ...); empty where nothing was tuned."""
    frames = [
        read_frame(path).assign(method=spec.label, seed=spec.seed)
        for record, spec in done(results)
        if (path := results.folder / record.fit / "trace.parquet").exists()
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["method", "seed", "step", "loss"])


def conflict_pairs(results: Results) -> pd.DataFrame:
    """method, seed, share of the training, first, second, cosine: one row per measured pair of tasks."""
    columns = ["method", "seed", "share", "first", "second", "cosine"]
    frames = [
        read_frame(path).assign(method=spec.label, seed=spec.seed, share=_share(path))
        for record, spec in done(results)
        for path in sorted((results.folder / record.fit / "conflict").glob("*.parquet"))
    ]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _share(path: Path) -> float:
    """``conflict/0.5.parquet`` was measured after half of the training."""
    return float(path.stem)
