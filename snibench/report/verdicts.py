"""The answer in a sentence to each question of a report: is a method better than the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from snibench.report.values import Asked, Verdict
from snibench.stats.estimates import UNBOUNDED, Estimate
from snibench.stats.outcomes import MARGIN, equivalence_bound
from snibench.stats.power import minimum_detectable_effect
from snibench.stats.scores import Scores
from snibench.stats.summary import Summary, summarise

if TYPE_CHECKING:
    from snibench.report.questions import Questions


def summaries(questions: Questions, baseline: str, *, margin: float = MARGIN) -> dict[Asked, Summary]:
    """The comparison of all methods with ``baseline`` on every question that was asked of two methods or more."""
    asked: dict[Asked, Scores | None] = {
        "unseen": questions.split("unseen"),
        "seen": questions.split("seen"),
        "gap": questions.gap(),
        "formats": questions.formats().get("mean"),
        "combos": questions.combos(),
    }
    return {
        question: _summary(question, scores, baseline, margin)
        for question, scores in asked.items()
        if scores is not None and baseline in scores.methods and len(scores.methods) > 1
    }


def _summary(question: Asked, scores: Scores, baseline: str, margin: float) -> Summary:
    if question == "gap":
        wide = (-1.0, 1.0), (-2.0, 2.0)
        return summarise(
            scores, baseline=baseline, margin=margin, higher_is_better=False, mean_bounds=wide[0], bounds=wide[1]
        )
    if question == "combos":  # above chance, where 0 is not the bottom
        return summarise(scores, baseline=baseline, margin=margin, mean_bounds=UNBOUNDED, bounds=UNBOUNDED)
    return summarise(scores, baseline=baseline, margin=margin)


def verdicts(
    found: Mapping[Asked, Summary], baseline: str, methods: Sequence[str], *, margin: float = MARGIN
) -> tuple[Verdict, ...]:
    """A verdict per method, question and scope, in this order."""
    made = []
    for method in methods:
        for question, summary in found.items():
            if method not in summary.comparisons:
                continue
            comparison = summary.comparisons[method]
            row = summary.table.set_index("method").loc[method]
            seeds = [int(n) for n in summary.table.set_index("method").loc[[method, baseline], "n_seeds"]]
            for scope, estimate, prefix in (
                ("tasks like these", comparison.like_these, ""),
                ("this suite", comparison.suite, "suite_"),
            ):
                if estimate is not None:
                    made.append(
                        Verdict(
                            method=method,
                            baseline=baseline,
                            question=question,
                            scope=scope,  # type: ignore[arg-type]  # one of the two
                            estimate=estimate.value,
                            low=estimate.low,
                            high=estimate.high,
                            outcome=row[f"{prefix}outcome"],  # type: ignore[arg-type]  # of a frame
                            within_margin=_is_within(estimate, margin),
                            starred=bool(row["significant"]) and not prefix,
                            margin=margin,
                            minimum_detectable_effect=minimum_detectable_effect(estimate),
                            equivalence_bound=equivalence_bound(estimate),
                            why=_why(comparison.seeds.variance.value, seeds),
                            few_seeds=2 in seeds,
                        )
                    )
    return tuple(made)


def _is_within(estimate: Estimate, margin: float) -> bool:
    bound = equivalence_bound(estimate)
    return bool(bound == bound and abs(estimate.value) + bound < margin)


def _why(seed_noise: float, seeds: Sequence[int]) -> str:
    """Why there is no interval, if there is none."""
    return (
        "a tuned method has one seed" if seed_noise != seed_noise and 1 in seeds else "there are fewer than three tasks"
    )
