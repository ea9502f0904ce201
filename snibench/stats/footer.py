"""Footnotes of a comparison: tests, unit and draws, source of the seed noise, and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from snibench.base.wording import counted
from snibench.stats.paired import EXACT_UNITS, smallest_sign_flip_p
from snibench.stats.scopes import Comparison
from snibench.stats.scores import Scores, dominant_source

NAMED = 5  # tasks or methods that the footer names; it counts the rest


def footer(
    scores: Scores, baseline: str | None, comparisons: Mapping[str, Comparison], rope: float, level: float, draws: int
) -> tuple[str, ...]:
    """The footer of a summary: one sentence each."""
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
    "methods": "seed noise pooled over {names}, which share recipe and numbers of seeds and trained parameters: {who}",
    "pair": "seed noise pooled over the pair: {who}",
    "one method": "seed noise of the method alone, the other is deterministic: {who}",
    "unpooled": "seed noise not pooled, the recipes differ: {who}",
}


def _seed_notes(scores: Scores, comparisons: Mapping[str, Comparison]) -> list[str]:
    """Notes on the methods whose seeds give the seed noise, and on those with too few."""
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
    if dominant := dominant_source(scores):
        notes.append(
            f"{dominant[1]:.0%} of the tasks are of one source ({dominant[0]}): nothing can be said of other tasks "
            "like these, so there is no star. Read the scope of this suite."
        )
    return notes


def _named(methods: Sequence[str]) -> str:
    more = f" and {len(methods) - NAMED} more" if len(methods) > NAMED else ""
    return ", ".join(methods[:NAMED]) + more
