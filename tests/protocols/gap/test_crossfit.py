"""Mode ``crossfit`` of protocol ``gap``."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from snibench.base.errors import UsageError
from snibench.base.hashing import canonical_json
from snibench.base.registry import SUITES
from snibench.base.types import SuiteData, SuiteRequest
from snibench.data.leakage import origins
from snibench.protocols.gap import QUICK, Gap, Settings
from snibench.protocols.gap.crossfit import folds
from snibench.stats.intervals import difference_interval, mean_interval

Answer = Callable[..., pd.DataFrame]
CROSSFIT = dataclasses.replace(QUICK, modes=("crossfit",), tasks=None, instances=3)


def with_sources(suite: SuiteData, sources: Mapping[str, tuple[str, ...]]) -> SuiteData:
    tasks = {
        name: dataclasses.replace(
            task, card=dataclasses.replace(task.card, sources=sources.get(name, task.card.sources))
        )
        for name, task in suite.tasks.items()
    }
    return dataclasses.replace(suite, tasks=tasks)


# ------------------------------------------------------------------------------------- the plan


def test_the_folds_are_halves_of_the_seen_tasks_alike_in_categories(suite: SuiteData) -> None:
    first, second = folds(suite, 0)
    assert sorted((*first, *second)) == sorted(suite.seen)
    assert abs(len(first) - len(second)) <= 1
    for half in (first, second):
        counts = Counter(suite.tasks[task].card.category for task in half)
        assert set(counts) == {"Sentiment", "Topic", "Inference", "Extraction"}
        assert max(counts.values()) - min(counts.values()) <= 1


def test_tasks_that_share_a_source_stay_together_even_by_way_of_a_third(suite: SuiteData) -> None:
    chain = {"sentiment0": ("one",), "topic0": ("One", "two"), "extraction0": ("TWO",)}
    for seed in range(5):
        halves = folds(with_sources(suite, chain), seed)
        assert any(set(chain) <= set(half) for half in halves)


def test_in_mini_no_source_is_on_both_sides_of_the_folds() -> None:
    mini = SUITES.get("mini")().load(SuiteRequest("mini"))
    first, second = ({o for t in half for o in origins(mini.tasks[t].card.sources)} for half in folds(mini, 0))
    assert not first & second


def test_the_order_in_which_a_suite_lists_its_tasks_does_not_change_the_folds(suite: SuiteData) -> None:
    turned = dataclasses.replace(suite, seen=suite.seen[::-1])
    assert [set(half) for half in folds(turned, 3)] == [set(half) for half in folds(suite, 3)]
    assert len({folds(suite, seed) for seed in range(5)}) > 1


def test_one_source_for_all_is_refused(suite: SuiteData) -> None:
    with pytest.raises(UsageError, match="at least two sources"):
        Gap(CROSSFIT).plan(with_sources(suite, dict.fromkeys(suite.tasks, ("one",))), None)


def test_both_fits_are_asked_the_same_of_all_seen_tasks_one_seen_and_one_not(suite: SuiteData) -> None:
    first, second = Gap(CROSSFIT).plan(suite, None)
    assert {*first.mixture.tasks, *second.mixture.tasks} == set(suite.seen)
    assert [json.loads(ask.questions[0].variant) for ask in (first, second)] == [{"fold": 0}, {"fold": 1}]
    pairs = zip(first.questions, second.questions, strict=True)
    for one, other in pairs:
        assert (one.task, one.instance) == (other.task, other.instance)
        assert one.seen == (one.task in first.mixture.tasks) != other.seen
        assert (one.split == "held_out") == one.seen
    assert len(first.questions) == 3 * len(suite.seen)


def test_both_modes_together_ask_what_each_asks(suite: SuiteData) -> None:
    both = Gap(dataclasses.replace(CROSSFIT, modes=("split", "crossfit"))).plan(suite, None)
    split = Gap(dataclasses.replace(CROSSFIT, modes=("split",))).plan(suite, None)
    assert list(both) == [*split, *Gap(CROSSFIT).plan(suite, None)]


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'crossfit'"):
        Settings(modes=("crosfit",))


# --------------------------------------------------------------------------------- the measures

SCORES = {  # task -> (seen, not seen), one list of instance scores per seed
    "a": ([[1, 1], [1, 0]], [[0, 1], [0, 0]]),
    "b": ([[1, 0], [1, 1]], [[1, 0], [0, 0]]),
    "c": ([[0, 0], [1, 0]], [[0, 1], [1, 0]]),
}
GAPS = np.array([[0.5, 0.0, -0.5], [0.5, 1.0, 0.0]])  # [S, T]


def rows(
    scores: Mapping[str, tuple[Sequence[Sequence[float]], Sequence[Sequence[float]]]] = SCORES, method: str = "ours"
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "variant": canonical_json({"fold": number if seen else 1 - number}),
            "task": task,
            "instance": f"{task}-{index}",
            "format": "definition",
            "seen": seen,
            "score": score,
        }
        for number, (task, sides) in enumerate(sorted(scores.items()))
        for seen, seeds in zip((True, False), sides, strict=True)
        for seed, values in enumerate(seeds)
        for index, score in enumerate(values)
    )


def about(**columns: object) -> pd.DataFrame:
    fixed = {"category": "C", "sources": [["a"], ["b"], ["c"]], "metric": "exact_match", "chance": 0.5, "majority": 0.5}
    return pd.DataFrame({"task": ["a", "b", "c"], **fixed, **columns})


def test_the_gap_is_paired_by_task_and_its_interval_is_over_tasks_and_seeds() -> None:
    (row,) = Gap().measure(rows(), about())["gap_crossfit"].to_dict("records")
    level = mean_interval(GAPS, bounds=(-1.0, 1.0))
    expected = {
        "seen": 7 / 12, "unseen": 1 / 3, "gap": 0.25, "gap_low": level.low, "gap_high": level.high,
        "relative_gap": 3 / 7, "seen_normalised": 1 / 6, "unseen_normalised": -1 / 3, "gap_normalised": 0.5,
        "n_tasks": 3, "n_sources": 3, "n_seeds": 2,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_every_task_and_seed_is_kept() -> None:
    frame = Gap().measure(rows(), about())["gap_crossfit_tasks"].set_index(["seed", "task"])["gap"]
    assert frame.to_dict() == {(s, t): GAPS[s, i] for s in (0, 1) for i, t in enumerate("abc")}


def test_a_difference_of_gaps_is_paired_by_task() -> None:
    flat = {task: (seen, seen) for task, (seen, _) in SCORES.items()}
    frame = Gap().measure(pd.concat([rows(), rows(flat, "flat")]), about())["gap_crossfit_differences"]
    found = frame.set_index(["method", "versus"])
    level = difference_interval(GAPS, np.zeros((2, 3)))
    assert found.loc[("ours", "flat")].tolist() == pytest.approx([0.25, level.low, level.high])
    assert found.loc[("flat", "ours"), "difference"] == pytest.approx(-0.25)


def test_a_question_that_one_of_the_two_fits_lacks_counts_for_neither() -> None:
    answers = rows()
    lost = (answers["instance"] == "a-0") & ~answers["seen"]
    (row,) = Gap().measure(answers[~lost], about())["gap_crossfit"].to_dict("records")
    assert row["gap"] == pytest.approx(np.mean([[0.0, 0.0, -0.5], [0.0, 1.0, 0.0]]))


def test_a_category_of_few_sources_has_no_interval() -> None:
    frame = Gap().measure(rows(), about(category=["C", "C", "D"]))["gap_crossfit_categories"].set_index("category")
    assert frame["gap"].to_dict() == pytest.approx({"C": 0.5, "D": -0.25})
    assert frame["gap_low"].isna().all()
    assert frame["n_tasks"].to_dict() == {"C": 2, "D": 1}


def test_the_modes_do_not_mix(suite: SuiteData, tasks: pd.DataFrame, answer: Answer) -> None:
    both = Gap(dataclasses.replace(QUICK, modes=("split", "crossfit")))
    answers = answer(both.plan(suite, None), {"untuned": 1, "ours": 2})
    frames = both.measure(answers, tasks)
    split = answers[answers["variant"] == "{}"]
    alone = Gap(QUICK).measure(split, tasks)
    assert set(frames) - set(alone) == {
        "gap_crossfit", "gap_crossfit_categories", "gap_crossfit_differences", "gap_crossfit_tasks"
    }  # fmt: skip
    for name, frame in alone.items():
        pd.testing.assert_frame_equal(frame, frames[name])
    assert "gap" not in both.measure(answers.drop(split.index), tasks)


def test_a_model_that_is_not_tuned_has_no_gap(suite: SuiteData, tasks: pd.DataFrame, answer: Answer) -> None:
    protocol = Gap(CROSSFIT)
    answers = answer(protocol.plan(suite, None), {"untuned": 1})
    answers["score"] = answers["instance"].map(lambda name: float(name.endswith("1")))
    (row,) = protocol.measure(answers, tasks)["gap_crossfit"].to_dict("records")
    assert (row["gap"], row["gap_low"], row["gap_high"]) == (0.0, 0.0, 0.0)
