"""The default report: is it better, by how much, how sure, where.

One function from tidy scores to one table. Which tests, and why so few: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from snibench.base.errors import DataError, unknown
from snibench.base.hashing import derive_seed
from snibench.base.wording import counted
from snibench.stats.arrays import Floats, check_level, rounded
from snibench.stats.effects import rank_biserial
from snibench.stats.estimates import Estimate
from snibench.stats.intervals import difference_interval, mean_interval
from snibench.stats.paired import EXACT_UNITS, holm, sign_flip_p, smallest_sign_flip_p, win_tie_loss
from snibench.stats.power import minimum_detectable_effect
from snibench.stats.ranks import Friedman, friedman, ranks, tie_groups

if TYPE_CHECKING:
    import pandas as pd

FEWEST_SOURCES = 5  # with fewer, a category gets no interval
NAMED = 5  # excluded tasks that the footer names; it counts the rest
COLUMNS = (
    *("method", "mean", "ci_low", "ci_high", "se_task", "se_seed", "delta", "delta_low", "delta_high", "df"),
    *("p", "p_holm", "p_seed", "p_seed_holm", "significant", "effect", "wins", "ties", "losses"),
    *("rank", "group", "seed_sd", "n_tasks", "n_sources", "n_seeds"),
)


@dataclass(frozen=True)
class Summary:
    """The comparison of all methods over the same tasks; all scores are fractions.

    ``table`` has one row per method, the highest mean first:

    ====================================  ==========================================================================
    method, mean                          mean over seeds and tasks
    ci_low, ci_high, se_task, se_seed     t interval of the mean, and the two parts of its standard error
    delta, delta_low, delta_high, df      paired difference from the baseline, its t interval and degrees of freedom
    p, p_holm                             sign flips over tasks (sources as blocks), and adjusted over the methods
    p_seed, p_seed_holm                   t test with ``df``, which counts seed noise too, and adjusted
    significant                           both adjusted values are below 1 - level
    effect                                matched-pairs rank-biserial correlation with the baseline
    wins, ties, losses                    tasks; a tie is a difference of at most ``rope``
    rank, group                           mean rank over tasks; methods that share a letter are not separated
    seed_sd                               SD over seeds of the mean over tasks; NaN with one seed
    n_tasks, n_sources, n_seeds           sizes; sources are tasks where none are declared
    ====================================  ==========================================================================

    The baseline itself, and every method if there is no baseline, has NaN (``<NA>`` in counts) and False there.

    ``friedman`` is None with fewer than three methods or two tasks. ``minimum_detectable_effect`` is the difference
    that the t test finds with 80% power before correction, the median over methods; NaN without a baseline.
    ``notes`` are the footer: one sentence each.
    """

    table: pd.DataFrame
    friedman: Friedman | None
    minimum_detectable_effect: float
    notes: tuple[str, ...]


def summarise(
    scores: pd.DataFrame,
    *,
    baseline: str | None,
    clusters: Mapping[str, str] | None = None,
    rope: float = 0.01,
    level: float = 0.95,
    draws: int = 9_999,
    seed: int = 0,
) -> Summary:
    """The default report on tidy scores.

    Seeds of different methods are not paired and may differ in number; a deterministic method has one. A task that
    lacks a score from some method and seed is dropped for all methods, and named in ``notes``.

    Args:
        scores: Columns method, seed, task, score (instances averaged); one row per triple.
        baseline: The method that the others are compared with, or None.
        clusters: Source of each task; a task that is not named is its own source.
        rope: Differences of at most this size are ties in wins, ties, losses.
        level: Of intervals; 1 - level is the alpha of tests.
        draws: Sign patterns of the Monte Carlo permutation test.
        seed: Of those sign patterns; nothing else is random.

    Raises:
        UsageError: If the baseline is not among the methods.
        DataError: If no task has a score from every method and seed.
        ValueError: If a triple occurs twice or ``level`` is not inside (0, 1).

    Source:
        Fisher (1935) for sign flips; Holm (1979); Satterthwaite (1946); Demsar, JMLR 7 (2006) for ranks.
    """
    import pandas as pd

    check_level(level)
    by_method, tasks, excluded = _aligned(scores)
    methods = list(by_method)
    if baseline is not None and baseline not in by_method:
        raise unknown("baseline", baseline, methods)
    sources = [(clusters or {}).get(task, task) for task in tasks]
    means = np.stack([by_method[method].mean(axis=0) for method in methods])  # [methods, T]
    pairwise = _pairwise_p(means, sources, np.random.default_rng(derive_seed("sign flips", seed)), draws)
    mean_ranks = ranks(means.T).mean(axis=0)
    separated = _holm_over_pairs(pairwise) < 1.0 - level
    groups = tie_groups(mean_ranks, separated)

    rows, deltas = [], []
    for index, method in enumerate(methods):
        row, delta = _row(method, by_method, baseline, sources, rope, level)
        p = pairwise[index, methods.index(baseline)] if delta is not None and baseline is not None else nan
        deltas += [delta] if delta is not None else []
        rows.append(row | {"p": p, "rank": mean_ranks[index], "group": groups[index]})
    table = pd.DataFrame(rows)
    table["p_holm"], table["p_seed_holm"] = holm(table["p"]), holm(table["p_seed"])
    table["significant"] = table[["p_holm", "p_seed_holm"]].max(axis=1, skipna=False) < 1.0 - level
    counts = ["wins", "ties", "losses"]
    table[counts] = table[counts].astype("Int64")
    table = table[list(COLUMNS)].sort_values(["mean", "method"], ascending=[False, True], ignore_index=True)

    effects = [minimum_detectable_effect(delta.se, delta.df, level=level) for delta in deltas]
    return Summary(
        table=table,
        friedman=friedman(means.T, level=level) if len(methods) > 2 and len(tasks) > 1 else None,
        minimum_detectable_effect=float(np.median(effects)) if effects else nan,
        notes=_notes(by_method, baseline, sources, clusters is not None, excluded, rope, level, draws),
    )


def category_deltas(
    scores: pd.DataFrame,
    *,
    baseline: str,
    categories: Mapping[str, str],
    clusters: Mapping[str, str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Where a method is better: per category and method the difference from the baseline, without p values.

    Args:
        scores: As in ``summarise``.
        baseline: The method that the others are compared with.
        categories: Category of each task; tasks that are not named are left out.
        clusters: Source of each task; a task that is not named is its own source.
        level: Of the intervals.

    Returns:
        Columns category, method, mean, delta, delta_low, delta_high, n_tasks, n_sources; ends are NaN in
        categories of fewer than five sources.

    Raises:
        UsageError: If the baseline is not among the methods.
        DataError: If no task has a score from every method and seed.
    """
    import pandas as pd

    by_method, tasks, _ = _aligned(scores)
    if baseline not in by_method:
        raise unknown("baseline", baseline, by_method)
    rows = []
    for category in sorted({categories[task] for task in tasks if task in categories}):
        columns = [index for index, task in enumerate(tasks) if categories.get(task) == category]
        sources = [(clusters or {}).get(tasks[index], tasks[index]) for index in columns]
        for method, values in by_method.items():
            if method == baseline:
                continue
            delta = difference_interval(
                values[:, columns], by_method[baseline][:, columns], clusters=sources, level=level
            )
            known = len(set(sources)) >= FEWEST_SOURCES
            rows.append(
                {
                    "category": category,
                    "method": method,
                    "mean": float(values[:, columns].mean()),
                    "delta": delta.value,
                    "delta_low": delta.low if known else nan,
                    "delta_high": delta.high if known else nan,
                    "n_tasks": len(columns),
                    "n_sources": len(set(sources)),
                }
            )
    columns_out = ["category", "method", "mean", "delta", "delta_low", "delta_high", "n_tasks", "n_sources"]
    return pd.DataFrame(rows, columns=columns_out)


def _aligned(scores: pd.DataFrame) -> tuple[dict[str, Floats], list[str], dict[str, str]]:
    """Per method its ``[S, T]`` scores over the tasks that all have; those tasks; and why others are left out."""
    triples = scores.astype({"method": str, "task": str})  # plain text: categories would pivot into every combination
    repeated = triples[triples.duplicated(["method", "seed", "task"])]
    if len(repeated):
        method, seed, task = repeated.iloc[0][["method", "seed", "task"]]
        raise ValueError(f"scores holds {method}, seed {seed}, {task} more than once; average the instances first.")
    wide = triples.pivot(index=["method", "seed"], columns="task", values="score").sort_index().sort_index(axis=1)
    complete = wide.notna().all(axis=0)
    excluded = {}
    for task in wide.columns[~complete]:
        method, seed = wide.index[wide[task].isna()][0]
        excluded[str(task)] = f"{method}, seed {seed}"
    kept = wide.loc[:, complete]
    if kept.empty:
        raise DataError(
            f"No task has a score from every method and seed ({len(wide.columns)} tasks, {len(wide)} fits). "
            "Compare fewer methods, or finish the missing fits."
        )
    by_method = {str(method): group.to_numpy(np.float64) for method, group in kept.groupby(level="method", sort=False)}
    return by_method, [str(task) for task in kept.columns], excluded


def _pairwise_p(means: Floats, sources: list[str], rng: np.random.Generator, draws: int) -> Floats:
    """Raw sign-flip p of every pair of methods, ``[methods, methods]``; 1 on the diagonal."""
    first, second = np.triu_indices(len(means), 1)
    p = np.ones((len(means), len(means)))
    if len(first):
        p[first, second] = p[second, first] = sign_flip_p(
            means[first] - means[second], rng=rng, clusters=sources, draws=draws
        )
    return p


def _holm_over_pairs(p: Floats) -> Floats:
    adjusted = np.ones_like(p)
    first, second = np.triu_indices(len(p), 1)
    adjusted[first, second] = adjusted[second, first] = holm(p[first, second])
    return adjusted


def _row(
    method: str, by_method: Mapping[str, Floats], baseline: str | None, sources: list[str], rope: float, level: float
) -> tuple[dict[str, object], Estimate | None]:
    values = by_method[method]  # [S, T]
    mean = mean_interval(values, clusters=sources, level=level)
    row: dict[str, object] = {
        "method": method,
        "mean": mean.value,
        "ci_low": mean.low,
        "ci_high": mean.high,
        "se_task": mean.se_task,
        "se_seed": mean.se_seed,
        "seed_sd": float(values.mean(axis=1).std(ddof=1)) if len(values) > 1 else nan,
        "n_tasks": values.shape[1],
        "n_sources": len(set(sources)),
        "n_seeds": len(values),
    }
    if baseline is None or method == baseline:
        compared = ("delta", "delta_low", "delta_high", "df", "p_seed", "effect")
        return row | dict.fromkeys(compared, nan) | dict.fromkeys(("wins", "ties", "losses")), None
    delta = difference_interval(values, by_method[baseline], clusters=sources, level=level)
    differences = rounded(values.mean(axis=0) - by_method[baseline].mean(axis=0))
    wins, ties, losses = win_tie_loss(differences, rope=rope)
    return row | {
        "delta": delta.value,
        "delta_low": delta.low,
        "delta_high": delta.high,
        "df": delta.df,
        "p_seed": delta.p,
        "effect": rank_biserial(differences),
        "wins": wins,
        "ties": ties,
        "losses": losses,
    }, delta


def _notes(
    by_method: Mapping[str, Floats],
    baseline: str | None,
    sources: list[str],
    declared: bool,
    excluded: Mapping[str, str],
    rope: float,
    level: float,
    draws: int,
) -> tuple[str, ...]:
    tasks, units = len(sources), len(set(sources))
    unit = f"{counted(units, 'source')} ({counted(tasks, 'task')})" if declared else counted(tasks, "task")
    family, pairs = len(by_method) - 1, len(by_method) * (len(by_method) - 1) // 2
    smallest = smallest_sign_flip_p(units, draws)
    notes = [f"Intervals: t at {level:.0%}, {_seed_kind(by_method)}; unit: {unit}."]
    if baseline is not None and family:
        patterns = f"all {2**units:,} sign patterns" if units <= EXACT_UNITS else f"B = {draws:,} sign patterns"
        notes += [
            f"p: sign-flip permutation of differences from {baseline} over {unit}, {patterns}; p seed: t test with "
            f"seed noise; both Holm-adjusted over {counted(family, 'comparison')}; a star needs both.",
            f"W/T/L: tasks, tie band {rope:g}; effect: matched-pairs rank-biserial correlation.",
        ]
    if pairs:
        notes.append(
            "Groups: methods that share a letter are not separated by sign flips, Holm-adjusted over "
            f"{counted(pairs, 'pair')}; this holds for these checkpoints."
        )
    if baseline is not None and family and smallest * family >= 1.0 - level:
        reach = min(1.0, smallest * family)
        notes.append(f"With {unit} the smallest adjusted p is {reach:.2g}: no difference can be significant.")
    if pairs and smallest * pairs >= 1.0 - level:
        notes.append(f"With {unit} and {counted(pairs, 'pair')} no two methods can be separated into groups.")
    if excluded:
        shown = "; ".join(f"{task} ({cell})" for task, cell in list(excluded.items())[:NAMED])
        more = f"; and {len(excluded) - NAMED} more" if len(excluded) > NAMED else ""
        notes.append(
            f"Excluded for all methods, because a score is missing: {len(excluded)} of "
            f"{counted(tasks + len(excluded), 'task')}: {shown}{more}."
        )
    return tuple(notes)


def _seed_kind(by_method: Mapping[str, Floats]) -> str:
    single = [method for method, values in by_method.items() if len(values) == 1]
    if len(single) == len(by_method):
        return "tasks only (one seed each, so run-to-run noise is not in it)"
    return f"tasks+seeds; tasks only for {', '.join(single)} (one seed)" if single else "tasks+seeds"
