"""The default report: is it better, by how much, how sure, where.

One function from the scores of all methods to one table. Which tests, and why so few: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from snibench.base.errors import unknown
from snibench.base.hashing import derive_seed
from snibench.stats.arrays import Floats, check_level, rounded
from snibench.stats.columns import add_outcomes, add_ranks, comparison_columns, flip_p, separated_pairs
from snibench.stats.estimates import DIFFERENCE, SHARE
from snibench.stats.footer import footer
from snibench.stats.intervals import sample_interval
from snibench.stats.outcomes import MARGIN
from snibench.stats.paired import holm, rank_biserial, win_tie_loss
from snibench.stats.ranks import Friedman, friedman
from snibench.stats.scopes import Comparison
from snibench.stats.scores import Scores, compared, dominant_source, task_means

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("method", "mean", "ci_low", "ci_high", "delta", "delta_low", "delta_high", "df", "se_task", "se_seed", "se_cell"),
    *("p", "p_holm", "p_seed", "p_seed_holm", "significant", "outcome", "within_margin", "mde", "equivalence"),
    *("suite_delta", "suite_low", "suite_high", "suite_df", "suite_p", "suite_p_holm", "suite_outcome", "suite_mde"),
    *("suite_equivalence", "effect", "wins", "ties", "losses", "rank", "group", "seed_sd", "seed_ratio", "pooling"),
    *("n_tasks", "n_sources", "n_seeds"),
)


@dataclass(frozen=True)
class Summary:
    """The comparison of all methods over the same tasks; all scores are fractions.

    ``table`` has one row per method, the highest mean first:

    ======================================  ========================================================================
    method, mean, ci_low, ci_high           mean over seeds and tasks, with its t interval
    delta, delta_low, delta_high, df        difference from the baseline, for tasks like these, and its interval
    se_task, se_seed, se_cell               parts of its standard error; the first two both hold the third
    p, p_holm                               sign flips over tasks (sources as blocks), and adjusted over the methods
    p_seed, p_seed_holm                     t test with ``df``, which counts seed noise too, and adjusted
    significant                             both adjusted values are below 1 - level: the star
    outcome, within_margin                  better, worse, equivalent, undecided; whether equivalence is shown
    mde, equivalence                        minimum detectable effect of this pair; the least margin it could claim
    suite_delta ... suite_equivalence       the same for these tasks alone, by the t test; without a star
    effect                                  matched-pairs rank-biserial correlation with the baseline
    wins, ties, losses                      tasks; a tie is a difference of at most ``rope``
    rank, group                             mean rank over tasks; methods that share a letter are not separated
    seed_sd, seed_ratio, pooling            SD over seeds of the mean; larger variance of the pair over the smaller;
                                            whose seeds the seed noise is estimated from
    n_tasks, n_sources, n_seeds             sizes; sources are tasks where none are declared
    ======================================  ========================================================================

    The baseline itself, and every method if there is no baseline, has NaN (``<NA>`` in counts) and False there.
    Where tasks are not paired (the gap), ``p``, ``effect``, counts, ranks and groups are NaN, and the t test decides.

    ``friedman`` is None with fewer than three methods or two tasks. ``comparisons`` holds the two scopes of each
    method against the baseline. ``notes`` are the footer: one sentence each.
    """

    table: pd.DataFrame
    comparisons: Mapping[str, Comparison]
    notes: tuple[str, ...]
    means: Floats | None = None  # [methods, T] that ranks are made of; None where tasks are not paired
    level: float = 0.95

    @cached_property
    def friedman(self) -> Friedman | None:
        """The test over all methods."""
        means = self.means
        return (
            None
            if means is None or min(means.shape[0] - 1, means.shape[1]) < 2
            else friedman(means.T, level=self.level)
        )


def summarise(
    scores: Scores,
    *,
    baseline: str | None,
    rope: float = 0.01,
    margin: float = MARGIN,
    higher_is_better: bool = True,
    mean_bounds: tuple[float, float] = SHARE,
    bounds: tuple[float, float] = DIFFERENCE,
    level: float = 0.95,
    draws: int = 9_999,
    seed: int = 0,
    suite_power: bool = True,
) -> Summary:
    """The default report on the scores of all methods.

    Seeds of different methods are not paired and may differ in number. A tuned method with one seed has no interval
    against another one, and no star.

    Args:
        scores: Of every method, on the same tasks.
        baseline: The method that the others are compared with, or None.
        rope: Differences of at most this size are ties in wins, ties, losses.
        margin: Differences that are shown to be smaller are "equivalent".
        higher_is_better: Whether a positive difference is "better".
        mean_bounds: The range in which a true mean must lie.
        bounds: The range in which a true difference must lie.
        level: Of intervals; 1 - level is the alpha of tests.
        draws: Sign patterns of the Monte Carlo permutation test.
        seed: Of those sign patterns; nothing else is random.
        suite_power: Whether ``suite_mde`` is computed, which takes as long as all other columns together.

    Raises:
        UsageError: If the baseline is not among the methods.
        ValueError: If methods differ in tasks, or ``level`` is not inside (0, 1).

    Source:
        Fisher (1935) for sign flips; Holm (1979); Satterthwaite (1946); Demsar, JMLR 7 (2006) for ranks.
    """
    import pandas as pd

    check_level(level)
    methods = list(scores.methods)
    if baseline is not None and baseline not in scores.methods:
        raise unknown("baseline", baseline, methods)
    comparisons = {
        method: compared(scores, method, baseline, level=level, bounds=bounds)
        for method in methods
        if baseline is not None and method != baseline
    }
    rows = [_row(scores, method, baseline, rope, mean_bounds, level) for method in methods]
    rows = [row | comparison_columns(comparisons.get(str(row["method"])), level, suite_power) for row in rows]
    table = pd.DataFrame(rows)
    flips = flip_p(scores, np.random.default_rng(derive_seed("sign flips", seed)), draws) if scores.paired else None
    table["p"] = [
        nan if flips is None or row["method"] not in comparisons else flips[index, methods.index(str(baseline))]
        for index, row in enumerate(rows)
    ]
    for name in ("p", "p_seed", "suite_p"):
        table[f"{name}_holm"] = holm(table[name])
    deciding = table[["p_holm", "p_seed_holm"]].max(axis=1, skipna=not scores.paired)
    table["significant"] = (deciding < 1.0 - level) & table["p_seed_holm"].notna()
    if dominant_source(scores):
        table["significant"] = False
    add_outcomes(table, comparisons, margin, level, higher_is_better)
    separated = separated_pairs(scores, flips, table, baseline, level) if flips is not None else None
    add_ranks(table, scores, separated)
    counts = ["wins", "ties", "losses"]
    table[counts] = table[counts].astype("Int64")
    table = table[list(COLUMNS)].sort_values(["mean", "method"], ascending=[False, True], ignore_index=True)
    means = np.stack([sample.sides[0].table.mean(axis=0) for sample in scores.methods.values()])  # [methods, T]
    return Summary(
        table=table,
        comparisons=comparisons,
        notes=footer(scores, baseline, comparisons, rope, level, draws),
        means=means if scores.paired else None,
        level=level,
    )


def _row(
    scores: Scores, method: str, baseline: str | None, rope: float, bounds: tuple[float, float], level: float
) -> dict[str, object]:
    sample = scores.methods[method]
    mean = sample_interval(sample, clusters=scores.clusters, level=level, bounds=bounds)
    units = [len(set(sources)) for sources in scores.clusters if sources is not None]
    row: dict[str, object] = {
        "method": method,
        "mean": mean.value,
        "ci_low": mean.low,
        "ci_high": mean.high,
        "seed_sd": float(sample.by_seed.std(ddof=1)) if sample.seeds > 1 else nan,
        "n_tasks": sum(side.table.shape[1] for side in sample.sides),
        "n_sources": sum(units) or sum(side.table.shape[1] for side in sample.sides),
        "n_seeds": sample.seeds,
        "effect": nan,
        **dict.fromkeys(("wins", "ties", "losses")),
    }
    if baseline is None or method == baseline or not scores.paired:
        return row
    differences = rounded(task_means(sample) - task_means(scores.methods[baseline]))
    wins, ties, losses = win_tie_loss(differences, rope=rope)
    return row | {"effect": rank_biserial(differences), "wins": wins, "ties": ties, "losses": losses}
