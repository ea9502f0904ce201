"""Mode ``train`` of protocol ``combos``, and pairs that a user names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from math import sqrt

import numpy as np
import pandas as pd
import pytest

from snibench.base.errors import UsageError
from snibench.base.hashing import canonical_json
from snibench.base.types import Ask, Combo, Mixture, SuiteData
from snibench.protocols.combos import QUICK, Combos, Settings
from snibench.protocols.combos.mixtures import mixed
from snibench.protocols.combos.pairs import combos_of

Answer = Callable[..., pd.DataFrame]
TRAIN = dataclasses.replace(QUICK, modes=("train",), instances=3)


def by_mixture(asks: Sequence[Ask]) -> dict[tuple[str, str], Ask]:
    """The asks of mode ``train`` by combo and mixture."""
    found = {}
    for ask in asks:
        ((combo, mixture),) = {tuple(json.loads(question.variant).values()) for question in ask.questions}
        found[combo, mixture] = ask
    return found


# ------------------------------------------------------------------------------------- the plan


def test_every_combo_gets_three_mixtures_and_each_side_alone(suite: SuiteData) -> None:
    asks = by_mixture(Combos(TRAIN).plan(suite, None))
    assert len(asks) == 2 * 5
    a, b = ("sentiment0", "sentiment1"), ("topic0",)  # the seen ones
    name = "sentiment + topic"
    assert asks[name, "A alone"].mixture == Mixture(a)
    assert asks[name, "B alone"].mixture == Mixture(b)
    assert {asks[name, text].mixture.tasks for text in ("3:1", "1:1", "1:3")} == {(*a, *b)}


@pytest.mark.parametrize(("text", "share"), [("3:1", 0.75), ("1:1", 0.5), ("1:3", 0.25)])
def test_a_side_gets_its_share_of_the_steps_however_many_tasks_it_has(
    suite: SuiteData, text: str, share: float
) -> None:
    mixture = by_mixture(Combos(TRAIN).plan(suite, None))["sentiment + topic", text].mixture
    assert sum(mixture.weights[:2]) / sum(mixture.weights) == pytest.approx(share)


def test_equal_tasks_are_a_plain_mixture_so_that_its_fit_is_shared() -> None:
    assert mixed(Combo("x", ("a", "b"), ("c", "d")), 1, 1) == Mixture(("a", "b", "c", "d"))


def test_lite_tunes_on_the_even_mixture_only(suite: SuiteData) -> None:
    asks = by_mixture(Combos(dataclasses.replace(TRAIN, modes=("train-lite",))).plan(suite, None))
    assert {mixture for _, mixture in asks} == {"1:1", "A alone", "B alone"}


def test_joint_fits_are_asked_about_both_sides_and_single_ones_about_their_own(suite: SuiteData) -> None:
    asks = by_mixture(Combos(TRAIN).plan(suite, None))
    sides = {mixture: {question.side for question in ask.questions} for (_, mixture), ask in asks.items()}
    assert sides == {"3:1": {"A", "B"}, "1:1": {"A", "B"}, "1:3": {"A", "B"}, "A alone": {"A"}, "B alone": {"B"}}
    for ask in asks.values():
        assert all(question.seen and question.split == "held_out" for question in ask.questions)
        assert {question.task for question in ask.questions} <= set(ask.mixture.tasks)


def test_a_limit_bounds_the_questions_of_a_task_in_one_fit(suite: SuiteData) -> None:
    for ask in Combos(TRAIN).plan(suite, 2):
        assert pd.Series([question.task for question in ask.questions]).value_counts().max() == 2


def test_both_modes_together_ask_what_each_asks(suite: SuiteData) -> None:
    both = Combos(dataclasses.replace(TRAIN, modes=("switch", "train"))).plan(suite, None)
    alone = Combos(dataclasses.replace(TRAIN, modes=("switch",))).plan(suite, None)
    assert list(both) == [*alone, *Combos(TRAIN).plan(suite, None)]


def test_a_side_without_a_seen_task_is_not_tuned_on_and_named(suite: SuiteData) -> None:
    unseen = dataclasses.replace(suite, combos=(Combo("c", ("topic0",), ("topic3", "topic4")),))
    assert Combos(TRAIN).plan(unseen, None) == []
    assert Combos(TRAIN).notes(unseen) == ("Combo 'c' is not tuned on: no task of side B is among the seen tasks.",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modes": ("trian",)}, "Did you mean 'train'"),
        ({"mixtures": ("3:0",)}, "two positive numbers such as 3:1, but got '3:0'"),
        ({"mixtures": ("3",)}, "two positive numbers"),
        ({"mixtures": ("1:nan",)}, "two positive numbers"),
        ({"pairs": ("a/b",)}, "NAME=A,.../B,..."),
        ({"pairs": ("x=a",)}, "NAME=A,.../B,..."),
        ({"pairs": ("x=a/b/c",)}, "NAME=A,.../B,..."),
        ({"pairs": ("x=a/ ,",)}, "NAME=A,.../B,..."),
        ({"pairs": ("x=a/b", "x=c/d")}, "Two pairs are called 'x'"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, tuple[str, ...]], words: str) -> None:
    with pytest.raises(UsageError, match=words.replace(".", r"\.")):
        Settings(**changes)


# --------------------------------------------------------------------------------------- pairs


def test_pairs_name_categories_and_tasks_and_stand_in_place_of_the_suites_own(suite: SuiteData) -> None:
    (combo,) = combos_of(suite, ["mine = Topic, inference1 / Sentiment"])
    assert combo.name == "mine"
    assert combo.a == ("topic0", "topic1", "topic2", "topic3", "topic4", "inference1")
    assert combo.b == ("sentiment0", "sentiment1", "sentiment2", "sentiment3", "sentiment4")
    (ask,) = Combos(dataclasses.replace(QUICK, pairs=("mine=topic0/Sentiment",))).plan(suite, None)
    assert {json.loads(question.variant)["combo"] for question in ask.questions} == {"mine"}
    assert {question.task for question in ask.questions if question.side == "A"} == {"topic0"}


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("mine=Topik/Sentiment", "Did you mean 'Topic'"),
        ("mine=topic9/Sentiment", "category or task of pair 'mine' 'topic9'"),
        ("mine=Topic/topic3", "the task 'topic3' on both sides"),
    ],
)
def test_a_pair_that_the_suite_cannot_fill_is_refused(suite: SuiteData, pair: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Combos(dataclasses.replace(QUICK, pairs=(pair,))).plan(suite, None)


# --------------------------------------------------------------------------------- the measures


def rows(told: Mapping[str, Mapping[str, Sequence[float]]], method: str = "ours", seed: int = 0) -> pd.DataFrame:
    """``told``: mixture -> task -> scores of its instances; tasks "a..." are on side A."""
    return pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "variant": canonical_json({"combo": "C", "mixture": mixture}),
            "task": task,
            "instance": f"{task}-{index}",
            "side": "A" if task.startswith("a") else "B",
            "score": score,
        }
        for mixture, tasks in told.items()
        for task, scores in tasks.items()
        for index, score in enumerate(scores)
    )


def about(**columns: object) -> pd.DataFrame:
    fixed = {"sources": [["a"], ["b"], ["c"]], "metric": "exact_match", "chance": 0.5, "majority": 0.5}
    return pd.DataFrame({"task": ["a", "b1", "b2"], **fixed, **columns})


TOLD = {
    "3:1": {"a": [1, 1, 1, 1], "b1": [0, 0], "b2": [1, 1]},
    "1:1": {"a": [1, 1, 1, 0], "b1": [0, 1], "b2": [1, 0]},
    "A alone": {"a": [1, 1, 0, 0]},
    "B alone": {"b1": [1, 1], "b2": [0, 1]},
}


def test_the_box_is_over_seeds_mixtures_and_tasks() -> None:
    (row,) = Combos().measure(rows(TOLD), about())["combo_training"].to_dict("records")
    data = [1.0, 0.0, 1.0, 0.75, 0.5, 0.5]
    noise = [0, 0, 0, 0.75 * 0.25 / 4, 0.25 / 2, 0.25 / 2]
    expected = {
        "median": np.median(data), "min": 0.0, "max": 1.0, "n": 6, "n_tasks": 3, "n_mixtures": 2, "n_seeds": 1,
        "mean": np.mean(data),
        "noise_sd": sqrt(np.mean(noise)),
        "excess_sd": sqrt(np.var(data, ddof=1) - np.mean(noise)),
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_interference_is_the_one_worked_out_by_hand() -> None:
    frame = Combos().measure(rows(TOLD), about())["combo_interference"].set_index(["mixture", "side"])
    even = frame.loc[("1:1", "A+B")]
    # I: a (0.5 - 0.75) / 0.5 = -0.5, b1 (1 - 0.5) / 1 = 0.5, b2 (0.5 - 0.5) / 0.5 = 0
    assert even["delta_m"] == pytest.approx(0.0)
    assert even["interference"] == pytest.approx(0.5 / 3)
    assert (even["worst"], even["worst_task"], even["n_tasks"]) == (0.5, "b1", 3)
    assert even["single"] == pytest.approx(2 / 3)
    assert even["joint"] == pytest.approx(1.75 / 3)
    assert even["difference"] == pytest.approx(-0.25 / 3)
    assert frame.loc[("1:1", "A"), "delta_m"] == pytest.approx(0.5)
    assert frame.loc[("3:1", "B"), ["interference", "worst"]].tolist() == pytest.approx([0.5, 1.0])
    assert sorted(frame.index) == [(m, s) for m in ("1:1", "3:1") for s in ("A", "A+B", "B")]


def test_a_task_that_is_never_right_alone_has_no_interference_and_is_counted() -> None:
    told = {"1:1": {"a": [1], "b1": [1], "b2": [1]}, "A alone": {"a": [0]}, "B alone": {"b1": [1], "b2": [1]}}
    frame = Combos().measure(rows(told), about())["combo_interference"].set_index("side")
    assert frame["n_undefined"].to_dict() == {"A": 1, "A+B": 1, "B": 0}
    assert np.isnan(frame.loc["A", "delta_m"])
    assert frame.loc["A+B", "delta_m"] == 0.0


def test_with_few_sources_an_interval_is_over_seeds() -> None:
    frames = [rows(TOLD, seed=0), *(rows({**TOLD, "1:1": TOLD["3:1"]}, seed=seed) for seed in (1, 2))]
    frame = Combos().measure(pd.concat(frames), about())["combo_interference"].set_index(["mixture", "side"])
    row = frame.loc[("1:1", "A+B")]
    assert row["unit"] == "seed"
    differences = np.array([-0.25 / 3, 0.0, 0.0])
    half = 4.30265 * differences.std(ddof=1) / sqrt(3)  # t of two degrees of freedom
    assert [row["low"], row["high"]] == pytest.approx([differences.mean() - half, differences.mean() + half], rel=1e-4)


def test_sides_of_different_metrics_meet_above_chance_only() -> None:
    mixed = about(metric=["exact_match", "rouge_l", "rouge_l"], chance=[0.5, 0.2, 0.2])
    frame = Combos().measure(rows(TOLD), mixed)["combo_interference"].set_index(["mixture", "side"])
    assert frame["metric"].to_dict()[("1:1", "A+B")] == "above_chance"
    assert frame.loc[("1:1", "B"), "metric"] == "rouge_l"
    assert frame.loc[("1:1", "B"), "single"] == pytest.approx(0.75)
    assert frame.loc[("1:1", "A+B"), "single"] == pytest.approx((0.0 + 1.0 + (0.5 - 0.2) / 0.8) / 3)
    assert frame.loc[("1:1", "A+B"), "interference"] == pytest.approx(0.5 / 3)  # of raw scores: a ratio has a bottom


def test_a_combo_of_which_nothing_can_be_compared_has_no_row() -> None:
    frames = Combos().measure(rows(TOLD), about(metric=["exact_match", "rouge_l", "rouge_l"], majority=0.95))
    assert frames["combo_training"].empty


def test_only_the_frames_of_the_modes_that_were_asked_are_made(
    suite: SuiteData, tasks: pd.DataFrame, answer: Answer
) -> None:
    for modes, expected in (
        (("switch",), {"combos", "combo_means", "combo_streams", "combo_differences", "switch_cost"}),
        (("train",), {"combo_training", "combo_interference", "combo_training_tasks"}),
    ):
        protocol = Combos(dataclasses.replace(TRAIN, modes=modes))
        assert set(protocol.measure(answer(protocol.plan(suite, None), {"ours": 2}), tasks)) == expected


def test_what_is_not_tuned_has_no_interference(suite: SuiteData, tasks: pd.DataFrame, answer: Answer) -> None:
    protocol = Combos(TRAIN)
    answers = answer(protocol.plan(suite, None), {"untuned": 1})
    answers["score"] = answers["instance"].map(lambda name: float(len(name) % 2))  # one answer per prompt
    frame = protocol.measure(answers, tasks)["combo_interference"]
    assert (frame["difference"] == 0.0).all()
    assert (frame["interference"].dropna() == 0.0).all()


def test_the_order_of_the_rows_changes_nothing(suite: SuiteData, tasks: pd.DataFrame, answer: Answer) -> None:
    protocol = Combos(TRAIN)
    answers = answer(protocol.plan(suite, None), {"untuned": 1, "ours": 2})
    expected = protocol.measure(answers, tasks)
    for name, frame in protocol.measure(answers.sample(frac=1, random_state=3), tasks[::-1]).items():
        pd.testing.assert_frame_equal(frame, expected[name])
