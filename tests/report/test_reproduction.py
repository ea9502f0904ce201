"""Verdicts on what was run again: known cases, and the difference of two environments."""

from __future__ import annotations

import pandas as pd
import pytest

from snibench.report.reproduction import (
    answer_items,
    conflict_items,
    entry_forgetting_items,
    forgetting_item,
    losses_item,
    overall,
    stored_items,
    value_differences,
)


def rows(predictions: list[str], scores: list[float]) -> pd.DataFrame:
    count = len(predictions)
    same = {"seed": 0, "variant": "{}", "format": "definition", "task": "t", "stream": 0, "position": 0}
    frame = pd.DataFrame({"instance": [f"i{n}" for n in range(count)], "prediction": predictions, "score": scores})
    return frame.assign(prompt_sha=frame["instance"], **same)


@pytest.mark.parametrize(
    ("otherwise", "better", "answers", "scores"),
    [
        (0, 0, "reproduced", "reproduced"),
        (2, 0, "within noise", "within noise"),
        (2, 2, "within noise", "within noise"),  # two to one side may be chance
        (10, 5, "not reproduced", "within noise"),
        (10, 10, "not reproduced", "not reproduced"),  # ten of ten to one side: p = 0.002
    ],
)
def test_answers_and_scores_have_verdicts_of_their_own(otherwise: int, better: int, answers: str, scores: str) -> None:
    first = rows(["a"] * 100, [0.5] * 100)
    again = rows(
        ["b"] * otherwise + ["a"] * (100 - otherwise),
        [1.0] * better + [0.0] * (otherwise - better) + [0.5] * (100 - otherwise),
    )
    items = list(answer_items(first, again, "gap"))
    assert [item.verdict for item in items] == [answers, scores]
    assert overall(items) == max(answers, scores, key=["reproduced", "within noise", "not reproduced"].index)


def test_prompts_that_were_not_asked_again_are_not_reproduced() -> None:
    first = rows(["a"] * 4, [1.0] * 4)
    assert next(iter(answer_items(first, first[:3], "gap"))).verdict == "not reproduced"
    assert [item.verdict for item in answer_items(first, first[:0], "gap")] == ["not reproduced"]


def test_losses_are_equal_near_or_neither() -> None:
    first = pd.DataFrame({"loss": [2.0, 1.0]})
    for factor, verdict in ((1.0, "reproduced"), (1.0001, "within noise"), (1.1, "not reproduced")):
        assert losses_item(first, first * factor).verdict == verdict
    assert losses_item(first, first[:1]).verdict == "not reproduced"


def test_a_conflict_inside_of_its_interval_is_within_noise() -> None:
    first = {"1.0": {"score": 0.5, "score_low": 0.4, "score_high": 0.6}}
    for score, verdict in ((0.5, "reproduced"), (0.55, "within noise"), (0.7, "not reproduced")):
        assert [item.verdict for item in conflict_items(first, {"1.0": {"score": score}})] == [verdict]
    assert list(conflict_items(first, {"0.0": {"score": 1.0}})) == []


def test_the_forgetting_of_the_same_passages_is_equal_near_or_neither() -> None:
    first = pd.DataFrame({"passage": [0, 1], "tokens": [9, 8], "before": [3.0, 2.0], "after": [3.5, 2.5]})
    for factor, verdict in ((1.0, "reproduced"), (1.0001, "within noise"), (1.1, "not reproduced")):
        assert forgetting_item(first, first.assign(after=first["after"] * factor)).verdict == verdict
    assert forgetting_item(first, first.assign(tokens=[9, 9])).verdict == "not reproduced"
    assert forgetting_item(first, first[:1]).verdict == "not reproduced"


def test_the_forgetting_of_an_entry_is_held_against_its_interval() -> None:
    first = {"mean": 0.5, "ci_low": 0.4, "ci_high": 0.6}
    for now, verdict in ((0.5, "reproduced"), (0.55, "within noise"), (0.7, "not reproduced")):
        again = {"mean": now, "ci_low": None, "ci_high": None}
        assert [item.verdict for item in entry_forgetting_items(first, again)] == [verdict]
    assert list(entry_forgetting_items(None, first)) == []


def test_a_stored_file_that_is_not_what_was_sealed_is_not_reproduced() -> None:
    (item,) = stored_items({"adapter/a.safetensors": "was changed after it was sealed"})
    assert (item.name, item.verdict) == ("stored adapter/a.safetensors", "not reproduced")


def test_nothing_compared_is_nothing_reproduced() -> None:
    assert overall([]) == "not reproduced"


def test_every_value_that_differs_is_listed_with_its_place() -> None:
    then = {"a": {"b": 1, "c": 2}, "d": 3}
    assert value_differences(then, {"a": {"b": 1, "c": 4}}) == [("a.c", "2", "4"), ("d", "3", "not recorded")]
