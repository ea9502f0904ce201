"""Helpers of the statistics: rounding against float noise, and units of resampling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

DECIMALS = 12


def rounded(values: npt.ArrayLike) -> Floats:
    """``values`` to 12 decimals, so that 0.3 - 0.2 equals 0.2 - 0.1 and the mean of equal scores is that score."""
    return np.asarray(np.round(np.asarray(values, dtype=np.float64), DECIMALS))


def unit_codes(clusters: Sequence[str] | None, tasks: int) -> Codes:
    """The number of each task's independent unit, 0..C-1: its source, or the task itself without ``clusters``.

    Raises:
        ValueError: If ``clusters`` does not name one source per task.
    """
    if clusters is None:
        return np.arange(tasks, dtype=np.intp)
    if len(clusters) != tasks:
        raise ValueError(f"clusters names {len(clusters)} sources for {tasks} tasks; it needs one per task.")
    return _codes(tuple(clusters))


@lru_cache(maxsize=64)
def _codes(clusters: tuple[str, ...]) -> Codes:
    codes = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1].astype(np.intp)
    codes.setflags(write=False)  # shared by all who name the same sources
    return codes


def check_level(level: float) -> None:
    """Raise ValueError unless ``level`` is inside (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be inside (0, 1), but got {level}.")


def average_ranks(values: npt.ArrayLike) -> Floats:
    """Ranks along the last axis, 1 = lowest, ties averaged; ``scipy.stats.rankdata`` without the cost of its import."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim > 1:
        return np.array([average_ranks(row) for row in table]).reshape(table.shape)
    _, places, counts = np.unique(table, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[places])
