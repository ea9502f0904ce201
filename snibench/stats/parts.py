"""Differences from the baseline in parts of a question: in formats, combos and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from snibench.base.errors import unknown
from snibench.base.hashing import derive_seed
from snibench.stats.arrays import rounded
from snibench.stats.columns import comparison_columns
from snibench.stats.estimates import DIFFERENCE
from snibench.stats.paired import holm, sign_flip_p
from snibench.stats.scores import Scores, compared, dominant_source, only_tasks, task_means

if TYPE_CHECKING:
    import pandas as pd

FEWEST_SOURCES = 5  # with fewer, a category gets no interval


def family(
    parts: Sequence[Scores],
    *,
    baseline: str,
    bounds: tuple[float, float] = DIFFERENCE,
    level: float = 0.95,
    draws: int = 9_999,
    seed: int = 0,
) -> pd.DataFrame:
    """Differences from the baseline in several parts of a question, all tests in one Holm family.

    Returns:
        One row per part (its number in ``part``) and method, with the columns of ``Summary`` up to ``significant``.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for number, scores in enumerate(parts):
        rng = np.random.default_rng(derive_seed("sign flips", seed))
        for method, sample in scores.methods.items():
            if method == baseline:
                continue
            differences = rounded(task_means(sample) - task_means(scores.methods[baseline]))
            p = sign_flip_p(differences, rng=rng, clusters=scores.clusters[0], draws=draws)
            columns = comparison_columns(compared(scores, method, baseline, level=level, bounds=bounds), level)
            row: dict[str, object] = {"part": number, "method": method, "mean": sample.mean, "p": float(p)}
            row |= {"unsafe": dominant_source(scores) is not None, "n_units": len(set(scores.clusters[0] or ()))}
            rows.append(row | columns)
    table = pd.DataFrame(rows)
    if not rows:
        return table
    for name in ("p", "p_seed"):
        table[f"{name}_holm"] = holm(table[name])
    deciding = table[["p_holm", "p_seed_holm"]].max(axis=1, skipna=False)
    table["significant"] = (deciding < 1.0 - level) & ~table.pop("unsafe")
    return table


def category_deltas(
    scores: Scores, *, baseline: str, categories: Mapping[str, str], level: float = 0.95
) -> pd.DataFrame:
    """Difference from the baseline per category and method, without p values.

    Args:
        scores: Of every method, on one group of tasks.
        baseline: The method that the others are compared with.
        categories: Category of each task; tasks that are not named are left out.
        level: Of the intervals.

    Returns:
        Columns category, method, mean, delta, delta_low, delta_high, n_tasks, n_sources; ends are NaN in
        categories of fewer than five sources.

    Raises:
        UsageError: If the baseline is not among the methods.
    """
    import pandas as pd

    if baseline not in scores.methods:
        raise unknown("baseline", baseline, list(scores.methods))
    rows = []
    for category in sorted({categories[task] for task in scores.tasks if task in categories}):
        part = only_tasks(
            scores, [index for index, task in enumerate(scores.tasks) if categories.get(task) == category]
        )
        sources = len(set(part.clusters[0] or part.tasks))
        for method, sample in part.methods.items():
            if method == baseline:
                continue
            delta = compared(part, method, baseline, level=level).like_these
            known = sources >= FEWEST_SOURCES
            rows.append(
                {
                    "category": category,
                    "method": method,
                    "mean": sample.mean,
                    "delta": delta.value,
                    "delta_low": delta.low if known else nan,
                    "delta_high": delta.high if known else nan,
                    "n_tasks": len(part.tasks),
                    "n_sources": sources,
                }
            )
    columns = ["category", "method", "mean", "delta", "delta_low", "delta_high", "n_tasks", "n_sources"]
    return pd.DataFrame(rows, columns=columns)
