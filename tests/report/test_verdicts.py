from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import nan
from typing import Any

import pytest

from snibench.report import build, compare
from snibench.report.values import Verdict, points
from snibench.store import StoredRun

Make = Callable[..., StoredRun]

UNDECIDED = Verdict(
    method="ours",
    baseline="unified-prompt",
    question="unseen",
    scope="tasks like these",
    estimate=0.009,
    low=-0.06,
    high=0.078,
    outcome="undecided",
    within_margin=False,
    starred=False,
    margin=0.02,
    minimum_detectable_effect=0.093,
    equivalence_bound=0.05,
)


def of(report: Any, method: str, question: str, scope: str = "tasks like these") -> Verdict:
    (found,) = (v for v in report.verdicts if (v.method, v.question, v.scope) == (method, question, scope))
    return found


# -------------------------------------------------------------------------------------- sentences


def test_an_undecided_comparison_says_what_the_run_could_have_found() -> None:
    assert UNDECIDED.sentence == (
        "ours against unified-prompt, unseen tasks: +0.9 points [-6.0, +7.8]: undecided; "
        "this run finds 9.3 points with 80 % power."
    )
    assert "finds at least 9.3 points" in replace(UNDECIDED, few_seeds=True).sentence


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"outcome": "better"}, "[-6.0, +7.8]: better."),
        ({"outcome": "better", "within_margin": True}, "better, within 2 points."),
        ({"outcome": "equivalent", "within_margin": True}, "equivalent within 2 points."),
        ({"outcome": "worse", "question": "gap"}, "larger (worse)."),
        ({"low": nan, "high": nan, "why": "one seed"}, "+0.9 points: undecided; no interval, one seed."),
    ],
)  # fmt: skip
def test_every_outcome_has_its_words(changes: dict[str, Any], end: str) -> None:
    assert replace(UNDECIDED, **changes).sentence.endswith(end)


def test_the_scope_of_the_suite_is_named() -> None:
    assert "unseen tasks, this suite alone: +0.9" in replace(UNDECIDED, scope="this suite").sentence


@pytest.mark.parametrize("value", [-0.0, -0.0004, 0.0004])
def test_no_difference_has_no_minus(value: float) -> None:
    assert points(value) == "+0.0"


# ------------------------------------------------------------------------------------- of a run


def test_every_method_has_a_verdict_on_every_question_that_was_asked(make_results: Make) -> None:
    verdicts = build(make_results()).verdicts
    assert {v.method for v in verdicts} == {"mtl-lora", "ours"}
    assert {v.baseline for v in verdicts} == {"unified-prompt"}
    for method in ("mtl-lora", "ours"):
        assert [v.question for v in verdicts if v.method == method and v.scope == "tasks like these"] == [
            "unseen", "seen", "gap", "formats", "combos"
        ]  # fmt: skip
    assert {v.question for v in verdicts if v.scope == "this suite"} == {"unseen", "seen", "gap", "formats"}


def test_a_large_difference_is_better_and_mirrored_is_worse(make_results: Make) -> None:
    results = make_results()
    assert of(build(results), "ours", "unseen").outcome == "better"
    assert of(build(results), "ours", "unseen").starred
    assert of(compare(results, "unified-prompt", "ours"), "unified-prompt", "unseen").outcome == "worse"


def test_a_method_against_itself_with_other_seeds_is_never_starred(make_results: Make) -> None:
    report = build(make_results({"unified-prompt": 0.55, "ours": 0.55}))
    assert not any(v.starred for v in report.verdicts)
    assert {v.outcome for v in report.verdicts} <= {"undecided", "equivalent"}


def test_one_seed_decides_nothing(make_results: Make) -> None:
    report = build(make_results({"unified-prompt": 0.3, "ours": 0.9}, seeds=(0,)))
    assert {v.outcome for v in report.verdicts} == {"undecided"}
    assert all(v.sentence.endswith("no interval, a tuned method has one seed.") for v in report.verdicts)


def test_methods_at_the_floor_everywhere_are_undecided_and_it_is_said_why(make_results: Make) -> None:
    results = make_results({"unified-prompt": 0.5, "ours": 0.5}, seeds=(0, 1))
    results = replace(results, answers=results.answers.assign(score=0.0, exact_match=0.0, rouge_l=0.0))
    report = build(results)
    for scope in ("tasks like these", "this suite"):
        verdict = of(report, "ours", "unseen", scope)
        assert verdict.outcome == "undecided"
        assert not verdict.within_margin
        assert verdict.minimum_detectable_effect != verdict.minimum_detectable_effect
        assert verdict.sentence.endswith(
            "+0.0 points: undecided; no interval, both methods have the same score, 0.0 %, on every question: no noise "
            "can be estimated from them."
        )
    assert {v.outcome for v in report.verdicts} == {"undecided"}


def test_a_verdict_says_what_the_table_below_it_says(make_results: Make) -> None:
    report = build(make_results())
    for question, name in (("unseen", "unseen"), ("seen", "held_out"), ("gap", "gap"), ("combos", "combos")):
        row = report.table(f"comparison_{name}").frame.set_index("method").loc["ours"]
        verdict = of(report, "ours", question)
        assert (verdict.estimate, verdict.low, verdict.high) == (row["delta"], row["delta_low"], row["delta_high"])
        assert verdict.starred == row["significant"]
        assert verdict.minimum_detectable_effect == row["mde"]
    suite, row = of(report, "ours", "unseen", "this suite"), report.table("comparison_unseen").frame.set_index("method")
    assert suite.low == row.loc["ours", "suite_low"]
    assert not suite.starred


def test_a_method_that_was_not_tuned_needs_no_seeds(make_results: Make) -> None:
    report = build(make_results(), "untuned")
    assert of(report, "ours", "unseen").outcome == "better"


def test_parts_of_formats_and_combos_are_paired_with_the_baseline(make_results: Make) -> None:
    report = build(make_results())
    formats = report.table("format_differences").frame
    assert (
        formats.groupby("format")["method"].agg(set).map(lambda names: names == {"ours", "mtl-lora", "untuned"}).all()
    )
    scores = report.table("formats").frame.set_index(["format", "method"])["score"]
    for row in formats.to_dict("records"):
        other = scores[row["format"], row["method"]] - scores[row["format"], "unified-prompt"]
        assert row["delta"] == pytest.approx(other)
    boxes = report.table("combos").frame.set_index(["combo", "schedule", "history", "method"])["mean"]
    for row in report.table("combo_mean_differences").frame.to_dict("records"):
        where = (row["combo"], row["schedule"], row["history"])
        assert row["delta"] == pytest.approx(boxes[(*where, row["method"])] - boxes[(*where, "unified-prompt")])
    spread = report.table("format_spread").frame.set_index("method")
    for row in report.table("format_measures_difference").frame.to_dict("records"):
        column = "worst" if row["of"].startswith("the worst") else "spread_mean"
        assert row["delta"] == pytest.approx(spread.loc[row["method"], column] - spread.loc["unified-prompt", column])


def test_the_summary_shows_combos_in_the_unit_of_their_verdict(make_results: Make) -> None:
    report = build(make_results())
    summary = report.table("summary").frame.set_index("method")["combos"]
    compared = report.table("comparison_combos").frame.set_index("method")["mean"]
    for method in compared.index:
        assert summary[method] == pytest.approx(compared[method])
