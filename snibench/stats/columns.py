"""The columns of one difference from the baseline, and of the methods' ranks and groups."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from snibench.stats.arrays import Floats
from snibench.stats.outcomes import equivalence_bound, outcome, within
from snibench.stats.paired import holm, sign_flip_p
from snibench.stats.power import minimum_detectable_effect
from snibench.stats.ranks import Booleans, ranks, tie_groups
from snibench.stats.scopes import Comparison, Sample, Side
from snibench.stats.scores import Scores, compared, dominant_source, task_means

if TYPE_CHECKING:
    import pandas as pd


def comparison_columns(comparison: Comparison | None, level: float, suite_power: bool = True) -> dict[str, object]:
    """The columns of one difference from the baseline; ``suite_power``: ``suite_mde``, too."""
    numbers = (
        *("delta", "delta_low", "delta_high", "df", "se_task", "se_seed", "se_cell", "p_seed", "mde", "equivalence"),
        *(
            "suite_delta",
            "suite_low",
            "suite_high",
            "suite_df",
            "suite_p",
            "suite_mde",
            "suite_equivalence",
            "seed_ratio",
        ),
    )
    row: dict[str, object] = dict.fromkeys(numbers, nan) | {"pooling": None}
    if comparison is None:
        return row
    delta, suite = comparison.like_these, comparison.suite
    row |= {
        "delta": delta.value,
        "delta_low": delta.low,
        "delta_high": delta.high,
        "df": delta.df,
        "se_task": delta.se_task,
        "se_seed": delta.se_seed,
        "se_cell": delta.se_cell,
        "p_seed": delta.p,
        "mde": minimum_detectable_effect(delta, level=level),
        "equivalence": equivalence_bound(delta, level=level),
        "seed_ratio": comparison.seeds.ratio,
        "pooling": comparison.seeds.pooling,
    }
    if suite is not None:
        row |= {
            "suite_delta": suite.value,
            "suite_low": suite.low,
            "suite_high": suite.high,
            "suite_df": suite.df,
            "suite_p": suite.p,
            "suite_mde": minimum_detectable_effect(suite, level=level) if suite_power else nan,
            "suite_equivalence": equivalence_bound(suite, level=level),
        }
    return row


def add_outcomes(
    table: pd.DataFrame, comparisons: Mapping[str, Comparison], margin: float, level: float, higher: bool
) -> None:
    """The columns ``outcome``, ``within_margin`` and ``suite_outcome``."""
    import pandas as pd

    columns: dict[str, list[object]] = {"outcome": [], "within_margin": [], "suite_outcome": []}
    for row in table.to_dict("records"):
        comparison = comparisons.get(row["method"])
        like_these = comparison and outcome(
            comparison.like_these,
            significant=bool(row["significant"]),
            margin=margin,
            level=level,
            higher_is_better=higher,
        )
        suite = (
            outcome(
                comparison.suite,
                significant=bool(row["suite_p_holm"] < 1.0 - level),
                margin=margin,
                level=level,
                higher_is_better=higher,
            )
            if comparison and comparison.suite
            else None
        )
        columns["outcome"].append(like_these)
        columns["within_margin"].append(bool(comparison and within(comparison.like_these, margin=margin, level=level)))
        columns["suite_outcome"].append(suite)
    for name, values in columns.items():
        table[name] = pd.Series(values, index=table.index, dtype=bool if name == "within_margin" else object)


# ------------------------------------------------------------------------------ ranks and groups


def flip_p(scores: Scores, rng: np.random.Generator, draws: int) -> Floats:
    """Raw sign-flip p of every pair of methods, ``[methods, methods]``; 1 on the diagonal."""
    means = np.stack([task_means(sample) for sample in scores.methods.values()])
    first, second = np.triu_indices(len(means), 1)
    p = np.ones((len(means), len(means)))
    if len(first):
        p[first, second] = p[second, first] = sign_flip_p(
            means[first] - means[second], rng=rng, clusters=scores.clusters[0], draws=draws
        )
    return p


def separated_pairs(scores: Scores, flips: Floats, table: pd.DataFrame, baseline: str | None, level: float) -> Booleans:
    """Pairs of methods that are separated, ``[methods, methods]``: by the star, and among the others by both tests.

    Against the baseline the star alone decides, so that groups cannot say otherwise. All other pairs are one family.
    """
    methods = list(scores.methods)
    without = {  # instances are of no use here, and cost time
        name: Sample(tuple(Side(side.table) for side in sample.sides), sample.tuning)
        for name, sample in scores.methods.items()
    }
    bare = Scores(without, scores.tasks, scores.clusters, lenders=scores.lenders)
    first, second = np.triu_indices(len(methods), 1)
    fixed = -1 if baseline is None else methods.index(baseline)
    others = (first != fixed) & (second != fixed)
    first, second = first[others], second[others]
    with_seeds = [compared(bare, methods[a], methods[b]).like_these.p for a, b in zip(first, second, strict=True)]
    adjusted = np.maximum(holm(flips[first, second]), holm(with_seeds))
    separated = np.zeros(flips.shape, dtype=bool)
    separated[first, second] = separated[second, first] = adjusted < 1.0 - level
    if dominant_source(scores):
        separated[:] = False
    if fixed >= 0:
        separated[fixed] = separated[:, fixed] = table["significant"].to_numpy(dtype=bool)
    return separated


def add_ranks(table: pd.DataFrame, scores: Scores, separated: Booleans | None) -> None:
    """The columns ``rank`` and ``group``."""
    if separated is None:
        table["rank"], table["group"] = nan, None
        return
    means = np.stack([task_means(sample) for sample in scores.methods.values()])
    mean_ranks = ranks(means.T).mean(axis=0)
    table["rank"], table["group"] = mean_ranks, tie_groups(mean_ranks, separated)
