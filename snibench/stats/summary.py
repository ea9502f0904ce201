"""The default report: is it better, by how much, how sure, where.

One function from the scores of all methods to one table. Which tests, and why so few: docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from snibench.base.errors import unknown
from snibench.base.hashing import derive_seed
from snibench.base.wording import counted
from snibench.stats.arrays import Floats, check_level, rounded
from snibench.stats.estimates import DIFFERENCE, SHARE
from snibench.stats.intervals import sample_interval
from snibench.stats.outcomes import MARGIN, equivalence_bound, outcome, within
from snibench.stats.paired import EXACT_UNITS, holm, rank_biserial, sign_flip_p, smallest_sign_flip_p, win_tie_loss
from snibench.stats.power import minimum_detectable_effect
from snibench.stats.ranks import Booleans, Friedman, friedman, ranks, tie_groups
from snibench.stats.scopes import Comparison, Sample, Side, compare, pooled_noise

if TYPE_CHECKING:
    import pandas as pd

FEWEST_SOURCES = 5  # with fewer, a category gets no interval
DOMINANT = 1 / 3  # a source with more of the tasks than this makes the scope "tasks like these" unsafe
NAMED = 5  # tasks or methods that the footer names; it counts the rest
COLUMNS = (
    *("method", "mean", "ci_low", "ci_high", "delta", "delta_low", "delta_high", "df", "se_task", "se_seed", "se_cell"),
    *("p", "p_holm", "p_seed", "p_seed_holm", "significant", "outcome", "within_margin", "mde", "equivalence"),
    *("suite_delta", "suite_low", "suite_high", "suite_df", "suite_p", "suite_p_holm", "suite_outcome", "suite_mde"),
    *("suite_equivalence", "effect", "wins", "ties", "losses", "rank", "group", "seed_sd", "seed_ratio", "pooling"),
    *("n_tasks", "n_sources", "n_seeds"),
)


@dataclass(frozen=True)
class Scores:
    """Scores of all methods on the same questions.

    ``clusters`` names the source of every task, for each side; None: every task is its own. ``tasks`` are those of the
    first side. ``excluded`` are tasks that some method or seed has not answered.
    """

    methods: Mapping[str, Sample]
    tasks: tuple[str, ...]
    clusters: tuple[Sequence[str] | None, ...] = (None,)
    excluded: tuple[str, ...] = ()

    @property
    def paired(self) -> bool:
        """Whether the question is about one group of tasks, so that each task gives one difference."""
        return all(len(sample.sides) == 1 for sample in self.methods.values())


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
    rows = [row | _columns(comparisons.get(str(row["method"])), level, suite_power) for row in rows]
    table = pd.DataFrame(rows)
    flips = _flip_p(scores, np.random.default_rng(derive_seed("sign flips", seed)), draws) if scores.paired else None
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
    _add_outcomes(table, comparisons, margin, level, higher_is_better)
    separated = _separated(scores, flips, table, baseline, level) if flips is not None else None
    _add_ranks(table, scores, separated)
    counts = ["wins", "ties", "losses"]
    table[counts] = table[counts].astype("Int64")
    table = table[list(COLUMNS)].sort_values(["mean", "method"], ascending=[False, True], ignore_index=True)
    means = np.stack([sample.sides[0].table.mean(axis=0) for sample in scores.methods.values()])  # [methods, T]
    return Summary(
        table=table,
        comparisons=comparisons,
        notes=_notes(scores, baseline, comparisons, rope, level, draws),
        means=means if scores.paired else None,
        level=level,
    )


def compared(
    scores: Scores, ours: str, theirs: str, *, level: float = 0.95, bounds: tuple[float, float] = DIFFERENCE
) -> Comparison:
    """``ours`` minus ``theirs`` in both scopes, with the seed noise of all methods that may lend theirs."""
    return compare(
        scores.methods[ours],
        scores.methods[theirs],
        clusters=scores.clusters,
        pool=pooled_noise(scores.methods, ours, theirs),
        level=level,
        bounds=bounds,
    )


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
            differences = rounded(_task_means(sample) - _task_means(scores.methods[baseline]))
            p = sign_flip_p(differences, rng=rng, clusters=scores.clusters[0], draws=draws)
            columns = _columns(compared(scores, method, baseline, level=level, bounds=bounds), level)
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
    """Where a method is better: per category and method the difference from the baseline, without p values.

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


def only_tasks(scores: Scores, kept: Sequence[int]) -> Scores:
    """``scores`` on some tasks of one group, by their numbers."""
    sources = scores.clusters[0]
    methods = {}
    for method, sample in scores.methods.items():
        (side,) = sample.sides
        instances = tuple(side.instances[index] for index in kept) if side.instances else ()
        methods[method] = Sample((Side(side.table[:, list(kept)], instances),), sample.tuning)
    clusters = None if sources is None else [sources[index] for index in kept]
    return Scores(methods, tuple(scores.tasks[index] for index in kept), (clusters,))


def dominant_source(scores: Scores) -> tuple[str, float] | None:
    """The source that holds over a third of the tasks of a side, with its share; None if there is none."""
    for sources in scores.clusters:
        names = [] if sources is None else list(sources)
        for name in sorted(set(names)):
            if (share := names.count(name) / len(names)) > DOMINANT and share < 1.0:
                return name, share
    return None


# ----------------------------------------------------------------------------------- the columns


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
    differences = rounded(_task_means(sample) - _task_means(scores.methods[baseline]))
    wins, ties, losses = win_tie_loss(differences, rope=rope)
    return row | {"effect": rank_biserial(differences), "wins": wins, "ties": ties, "losses": losses}


def _task_means(sample: Sample) -> Floats:
    return np.asarray(sample.sides[0].table.mean(axis=0))


def _columns(comparison: Comparison | None, level: float, suite_power: bool = True) -> dict[str, object]:
    """The columns of one difference from the baseline."""
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


def _add_outcomes(
    table: pd.DataFrame, comparisons: Mapping[str, Comparison], margin: float, level: float, higher: bool
) -> None:
    """The columns ``outcome``, ``within_margin`` and ``suite_outcome``."""
    import pandas as pd

    found: dict[str, list[object]] = {"outcome": [], "within_margin": [], "suite_outcome": []}
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
        found["outcome"].append(like_these)
        found["within_margin"].append(bool(comparison and within(comparison.like_these, margin=margin, level=level)))
        found["suite_outcome"].append(suite)
    for name, values in found.items():
        table[name] = pd.Series(values, index=table.index, dtype=bool if name == "within_margin" else object)


# ------------------------------------------------------------------------------ ranks and groups


def _flip_p(scores: Scores, rng: np.random.Generator, draws: int) -> Floats:
    """Raw sign-flip p of every pair of methods, ``[methods, methods]``; 1 on the diagonal."""
    means = np.stack([_task_means(sample) for sample in scores.methods.values()])
    first, second = np.triu_indices(len(means), 1)
    p = np.ones((len(means), len(means)))
    if len(first):
        p[first, second] = p[second, first] = sign_flip_p(
            means[first] - means[second], rng=rng, clusters=scores.clusters[0], draws=draws
        )
    return p


def _separated(scores: Scores, flips: Floats, table: pd.DataFrame, baseline: str | None, level: float) -> Booleans:
    """Which pairs of methods are separated, ``[methods, methods]``: by the star, and among the others by both tests.

    Against the baseline the star alone decides, so that groups cannot say otherwise. All other pairs are one family.
    """
    methods = list(scores.methods)
    without = {  # instances are of no use here, and cost time
        name: Sample(tuple(Side(side.table) for side in sample.sides), sample.tuning)
        for name, sample in scores.methods.items()
    }
    bare = Scores(without, scores.tasks, scores.clusters)
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


def _add_ranks(table: pd.DataFrame, scores: Scores, separated: Booleans | None) -> None:
    """The columns ``rank`` and ``group``."""
    if separated is None:
        table["rank"], table["group"] = nan, None
        return
    means = np.stack([_task_means(sample) for sample in scores.methods.values()])
    mean_ranks = ranks(means.T).mean(axis=0)
    table["rank"], table["group"] = mean_ranks, tie_groups(mean_ranks, separated)


# ------------------------------------------------------------------------------------- the footer


def _notes(
    scores: Scores, baseline: str | None, comparisons: Mapping[str, Comparison], rope: float, level: float, draws: int
) -> tuple[str, ...]:
    tasks = sum(side.table.shape[1] for side in next(iter(scores.methods.values())).sides)
    declared = all(sources is not None for sources in scores.clusters)
    units = sum(len(set(sources)) for sources in scores.clusters if sources is not None) if declared else tasks
    unit = f"{counted(units, 'source')} ({counted(tasks, 'task')})" if declared else counted(tasks, "task")
    family, alpha = len(comparisons), 1.0 - level
    notes = [f"Intervals: t at {level:.0%}, over tasks and seeds; unit: {unit}."]
    if family:
        patterns = f"all {2**units:,} sign patterns" if units <= EXACT_UNITS else f"B = {draws:,} sign patterns"
        adjusted = f"Holm-adjusted over {counted(family, 'comparison')}"
        notes += (
            [
                f"p: sign-flip permutation of differences from {baseline} over {unit}, {patterns}; p seed: t test with "
                f"seed noise; both {adjusted}; a star needs both.",
                f"W/T/L: tasks, tie band {rope:g}. Effect: matched-pairs rank-biserial correlation; ties keep their "
                "ranks and favour nobody.",
                "Groups: methods that share a letter are not separated. Against the baseline the star decides; the "
                "other pairs need both tests, Holm-adjusted over those pairs.",
            ]
            if scores.paired
            else [f"p seed: t test over tasks and seeds, {adjusted}; a star needs p < {alpha:.2g}."]
        )
    notes += [*_seed_notes(scores, comparisons), *_limits(scores, family, units, unit, alpha, draws)]
    if scores.excluded:
        more = f"; and {len(scores.excluded) - NAMED} more" if len(scores.excluded) > NAMED else ""
        notes.append(
            f"Excluded for all methods, because a score is missing: {len(scores.excluded)} of "
            f"{counted(tasks + len(scores.excluded), 'task')}: {'; '.join(scores.excluded[:NAMED])}{more}."
        )
    return tuple(notes)


_POOLING = {
    "methods": "seed noise pooled over {names}, which share recipe, number of seeds and kind of adapter: {who}",
    "pair": "seed noise pooled over the pair: {who}",
    "one method": "seed noise of the method alone, the other is deterministic: {who}",
    "unpooled": "seed noise not pooled, the recipes differ: {who}",
}


def _seed_notes(scores: Scores, comparisons: Mapping[str, Comparison]) -> list[str]:
    """Whose seeds the seed noise is taken from, and who has too few."""
    by_rule: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for method, comparison in comparisons.items():
        by_rule.setdefault((comparison.seeds.pooling, comparison.seeds.pooled), []).append(method)
    said = []
    for (pooling, pooled), methods in by_rule.items():
        if pooling in _POOLING:
            ratios = [comparisons[method].seeds.ratio for method in methods]
            largest = max((ratio for ratio in ratios if ratio == ratio), default=nan)
            ratio = f" (ratio of variances up to {largest:.1f})" if largest == largest else ""
            said.append(_POOLING[pooling].format(names=_named(pooled), who=_named(methods)) + ratio)
    single = [name for name, sample in scores.methods.items() if sample.seeds < 2 and not sample.deterministic]
    notes = [f"{text[0].upper()}{text[1:]}." for text in said]
    if single:
        notes.append(f"One seed, so no interval of differences and no star: {_named(single)}.")
    return notes


def _limits(scores: Scores, family: int, units: int, unit: str, alpha: float, draws: int) -> list[str]:
    """Limits of this design."""
    notes = []
    if scores.paired:
        methods = len(scores.methods)
        pairs = (methods - 1) * (methods - 2) // 2 if family else methods * (methods - 1) // 2
        smallest = smallest_sign_flip_p(units, draws)
        if family and smallest * family >= alpha:
            reach = min(1.0, smallest * family)
            notes.append(f"With {unit} the smallest adjusted p is {reach:.2g}: no difference can be significant.")
        if pairs and smallest * pairs >= alpha:
            notes.append(f"With {unit} and {counted(pairs, 'pair')} no two methods can be separated into groups.")
    if found := dominant_source(scores):
        notes.append(
            f"{found[1]:.0%} of the tasks are of one source ({found[0]}): what holds for tasks like these cannot be "
            "told from them, so there is no star. Read the scope of this suite."
        )
    return notes


def _named(methods: Sequence[str]) -> str:
    more = f" and {len(methods) - NAMED} more" if len(methods) > NAMED else ""
    return ", ".join(methods[:NAMED]) + more
