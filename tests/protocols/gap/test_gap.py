from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from snibench.base.hashing import digest
from snibench.base.registry import PROTOCOLS
from snibench.base.types import SuiteData
from snibench.protocols.gap import PAPER, QUICK, Gap
from snibench.stats.intervals import gap_interval, mean_interval

Answer = Callable[..., pd.DataFrame]


def rows(scores: Mapping[str, tuple[bool, Sequence[Sequence[float]]]], method: str = "ours") -> pd.DataFrame:
    """``scores``: task -> (seen, one list of instance scores per seed)."""
    return pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "task": task,
            "instance": f"{task}-{index}",
            "format": "definition",
            "seen": seen,
            "score": score,
        }
        for task, (seen, seeds) in scores.items()
        for seed, values in enumerate(seeds)
        for index, score in enumerate(values)
    )


def about(names: Sequence[str], **columns: object) -> pd.DataFrame:
    fixed = {"category": "C", "sources": [[name] for name in names], "metric": "exact_match"}
    return pd.DataFrame({"task": list(names), **fixed, "chance": 0.5, "majority": 0.5, **columns})


HAND = {
    "a": (True, [[1, 0, 1, 1], [1, 1, 1, 1]]),  # 0.75, 1.00 -> 0.875
    "b": (True, [[0, 0], [1, 0]]),  # 0.00, 0.50 -> 0.25
    "c": (False, [[1, 0], [1, 0]]),  # 0.5
    "d": (False, [[0, 0], [0, 0]]),  # 0
}


def test_the_registry_finds_it() -> None:
    assert PROTOCOLS.get("gap") is Gap
    assert Gap.quick == QUICK


def test_the_quick_plan_never_changes_without_a_new_version(suite: SuiteData) -> None:
    (ask,) = Gap(QUICK).plan(suite, 3)
    assert Gap.version == 2
    assert digest([asdict(question) for question in ask.questions]) == (
        "664ffd155b7da77fa11aa3c625c835e2f7ffec86e0339d8e20776f70de31882c"
    )


def test_one_fit_on_all_seen_tasks_answers_every_task(suite: SuiteData) -> None:
    (ask,) = Gap(PAPER).plan(suite, None)
    assert ask.mixture.tasks == suite.seen
    assert len(ask.questions) == 20 * 16
    assert {question.format for question in ask.questions} == {"definition"}


def test_a_smaller_limit_asks_a_subset(suite: SuiteData) -> None:
    (few,), (many,) = Gap(QUICK).plan(suite, 2), Gap(QUICK).plan(suite, 5)
    assert set(few.questions) < set(many.questions)


def test_the_numbers_of_a_small_case_are_those_worked_out_by_hand() -> None:
    (row,) = Gap().measure(rows(HAND), about("abcd"))["gap"].to_dict("records")
    expected = {
        "seen": 0.5625,
        "unseen": 0.25,
        "gap": 0.3125,
        "relative_gap": 0.3125 / 0.5625,
        "seen_normalised": (0.75 - 0.5) / 2,
        "unseen_normalised": (0.0 - 1.0) / 2,
        "gap_normalised": 0.625,
        "unseen_clean": 0.25,
        "seen_pooled": 8 / 12,
        "unseen_pooled": 0.25,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert (row["n_seen"], row["n_unseen"], row["n_seeds"]) == (2, 2, 2)
    seen = mean_interval(np.array([[0.75, 0.0], [1.0, 0.5]]))
    assert (row["seen_low"], row["seen_high"]) == pytest.approx((seen.low, seen.high), nan_ok=True)


def test_the_interval_of_the_gap_is_over_the_tasks_of_both_sides() -> None:
    scores = {name: (name in "abc", [[1, 1, 0], [i % 2, 1, 0]]) for i, name in enumerate("abcdef")}
    (row,) = Gap().measure(rows(scores), about("abcdef"))["gap"].to_dict("records")
    means = {name: np.mean(seeds, axis=1) for name, (_, seeds) in scores.items()}
    seen, unseen = (np.stack([means[name] for name in side], axis=1) for side in ("abc", "def"))
    expected = gap_interval(seen, unseen)
    assert (row["gap_low"], row["gap_high"]) == pytest.approx((expected.low, expected.high))
    assert row["gap_low"] < row["gap"] < row["gap_high"]


def test_tasks_flagged_as_alias_leaks_are_left_out_of_the_clean_mean() -> None:
    flags = [[], [], [], np.array(["source-leak", "alias-leak"], dtype=object)]
    (row,) = Gap().measure(rows(HAND), about("abcd", flags=flags))["gap"].to_dict("records")
    assert (row["unseen"], row["unseen_clean"]) == (0.25, 0.5)


def test_a_task_with_one_dominating_answer_is_left_out_of_normalised_means_only() -> None:
    (row,) = Gap().measure(rows(HAND), about("abcd", majority=[0.5, 0.95, 0.5, 0.5]))["gap"].to_dict("records")
    assert (row["seen"], row["seen_normalised"]) == (0.5625, 0.75)


def test_methods_are_compared_on_the_questions_that_all_answered() -> None:
    theirs = rows({name: (seen, [seeds[0]]) for name, (seen, seeds) in HAND.items()}, "untuned")
    theirs = theirs[theirs["instance"] != "a-1"]
    frame = Gap().measure(pd.concat([rows(HAND), theirs]), about("abcd"))["gap"].set_index("method")
    assert frame.loc["untuned", "seen"] == 0.5
    assert frame.loc["ours", "seen"] == pytest.approx((1.0 + 0.25) / 2)
    assert frame["n_seeds"].to_dict() == {"ours": 2, "untuned": 1}


def test_without_unseen_tasks_there_is_a_seen_mean_but_no_gap() -> None:
    seen = {name: HAND[name] for name in "ab"}
    frames = Gap().measure(rows(seen), about("ab"))
    (row,) = frames["gap"].to_dict("records")
    assert row["seen"] == 0.5625
    assert np.isnan([row["unseen"], row["gap"], row["gap_low"], row["unseen_clean"], row["unseen_pooled"]]).all()


def test_a_category_has_an_interval_from_five_sources_on() -> None:
    names = [f"t{index}" for index in range(9)]
    scores = {name: (False, [[index % 2, 1]]) for index, name in enumerate(names)}
    tasks = about(names, category=["few"] * 4 + ["many"] * 5, chance=[0.5] * 4 + [0.25] * 5)
    frame = Gap().measure(rows(scores), tasks)["gap_categories_unseen"].set_index("category")
    assert np.isnan(frame.loc["few", "unseen_low"])
    assert frame.loc["many", "unseen_low"] < frame.loc["many", "unseen"] < frame.loc["many", "unseen_high"]
    assert frame["n_sources"].to_dict() == {"few": 4, "many": 5}
    assert frame["chance"].to_dict() == {"few": 0.5, "many": 0.25}
    assert frame["seen"].isna().all()


def test_tasks_of_one_source_count_as_one_for_the_interval_of_a_category() -> None:
    names = [f"t{index}" for index in range(5)]
    scores = {name: (False, [[index % 2, 1]]) for index, name in enumerate(names)}
    frame = Gap().measure(rows(scores), about(names, sources=[["one"]] * 5))["gap_categories_unseen"]
    assert frame["n_sources"].tolist() == [1]
    assert frame["unseen_low"].isna().all()


def test_metrics_of_a_category_are_never_averaged_together(
    suite: SuiteData, tasks: pd.DataFrame, answer: Answer
) -> None:
    mixed = tasks.assign(category="all")
    frame = Gap(QUICK).measure(answer(Gap(QUICK).plan(suite, 4), {"ours": 2}), mixed)["gap_categories_unseen"]
    assert frame["metric"].tolist() == ["exact_match", "rouge_l"]


def test_a_category_is_shown_on_the_sides_that_it_has_tasks_on() -> None:
    frames = Gap().measure(rows(HAND), about("abcd", category=["both", "seen only", "both", "unseen only"]))
    assert frames["gap_categories_seen"]["category"].tolist() == ["both", "seen only"]
    assert frames["gap_categories_unseen"]["category"].tolist() == ["both", "unseen only"]
