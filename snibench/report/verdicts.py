"""The answer in a sentence to each question of a report: is a method better than the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from snibench.report.values import SCOPES, Asked, Scope, Verdict
from snibench.stats.estimates import UNBOUNDED, Estimate
from snibench.stats.outcomes import MARGIN, equivalence_bound
from snibench.stats.power import minimum_detectable_effect
from snibench.stats.scopes import Comparison
from snibench.stats.scores import Scores
from snibench.stats.summary import Summary, summarise

if TYPE_CHECKING:
    from snibench.report.questions import Questions


def summaries(questions: Questions, baseline: str, *, margin: float = MARGIN) -> dict[Asked, Summary]:
    """The comparison of all methods with ``baseline`` on every question that was asked of two methods or more."""
    return dict(each_summary(questions, baseline, margin=margin))


def each_summary(
    questions: Questions, baseline: str, *, margin: float = MARGIN, suite_power: bool = True
) -> Iterator[tuple[Asked, Summary]]:
    """``summaries``, one after the other; ``suite_power``: as for ``summarise``."""
    asked: dict[Asked, Callable[[], Scores | None]] = {
        "unseen": lambda: questions.split("unseen"),
        "seen": lambda: questions.split("seen"),
        "gap": questions.gap,
        "formats": lambda: questions.formats().get("mean"),
        "combos": questions.combos,
    }
    asked |= {name: partial(questions.of_protocol, name) for name in questions.further}
    for question, scores_of in asked.items():
        scores = scores_of()
        if scores is not None and baseline in scores.methods and len(scores.methods) > 1:
            yield question, _summary(question, scores, baseline, margin, suite_power)


def _summary(question: Asked, scores: Scores, baseline: str, margin: float, suite_power: bool) -> Summary:
    summarised = partial(summarise, scores, baseline=baseline, margin=margin, suite_power=suite_power)
    if question == "gap":
        wide = (-1.0, 1.0), (-2.0, 2.0)
        return summarised(higher_is_better=False, mean_bounds=wide[0], bounds=wide[1])
    if question == "combos":  # above chance, where 0 is not the bottom
        return summarised(mean_bounds=UNBOUNDED, bounds=UNBOUNDED)
    return summarised()


def verdicts(
    by_question: Mapping[Asked, Summary],
    baseline: str,
    methods: Sequence[str],
    *,
    margin: float = MARGIN,
    scopes: Sequence[Scope] = SCOPES,
    further: Mapping[Asked, str] | None = None,
) -> tuple[Verdict, ...]:
    """A verdict per method, question and scope, in this order; ``further``: what questions beyond the usual are on."""
    answers = []
    rows = {question: summary.table.set_index("method") for question, summary in by_question.items()}
    for method in methods:
        for question, summary in by_question.items():
            if method not in summary.comparisons:
                continue
            comparison = summary.comparisons[method]
            row = rows[question].loc[method]
            seeds = [int(n) for n in rows[question].loc[[method, baseline], "n_seeds"]]
            for scope, estimate, prefix in zip(
                SCOPES, (comparison.like_these, comparison.suite), ("", "suite_"), strict=True
            ):
                if estimate is not None and scope in scopes:
                    answers.append(
                        Verdict(
                            method=method,
                            baseline=baseline,
                            question=question,
                            scope=scope,
                            estimate=estimate.value,
                            low=estimate.low,
                            high=estimate.high,
                            outcome=row[f"{prefix}outcome"],  # type: ignore[arg-type]  # of a frame
                            within_margin=_is_within(estimate, margin),
                            starred=bool(row["significant"]) and not prefix,
                            margin=margin,
                            minimum_detectable_effect=minimum_detectable_effect(estimate),
                            equivalence_bound=equivalence_bound(estimate),
                            why=_why(comparison, estimate, seeds),
                            few_seeds=2 in seeds,
                            on=(further or {}).get(question, ""),
                        )
                    )
    return tuple(answers)


def _is_within(estimate: Estimate, margin: float) -> bool:
    bound = equivalence_bound(estimate)
    return bool(bound == bound and abs(estimate.value) + bound < margin)


def _why(comparison: Comparison, estimate: Estimate, seeds: Sequence[int]) -> str:
    """Why there is no interval, if there is none."""
    seed_noise = comparison.seeds.variance.value
    if seed_noise != seed_noise and 1 in seeds:
        return "a tuned method has one seed"
    if estimate.noiseless and comparison.same == comparison.same:
        same = f"{100 * comparison.same:.1f} %"
        return f"both methods have the same score, {same}, on every question: no noise can be estimated from them"
    if estimate.noiseless:
        return "the difference does not vary: no noise can be estimated from it"
    return "there are fewer than three tasks"
