from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from snibench.base.errors import UsageError
from snibench.base.hashing import canonical_json, digest
from snibench.base.registry import PROTOCOLS
from snibench.base.types import Combo, Instance, Question, SuiteData
from snibench.protocols.combos import QUICK, Combos, Settings, missing_combos

Answer = Callable[..., pd.DataFrame]
Streams = Mapping[tuple[str, str, str, int], Sequence[Question]]


def streams(suite: SuiteData, settings: Settings = QUICK, limit: int | None = None) -> Streams:
    """The questions by (combo, schedule, history, stream), in order of position."""
    found: dict[tuple[str, str, str, int], list[Question]] = defaultdict(list)
    for ask in Combos(settings).plan(suite, limit):
        for question in ask.questions:
            variant = json.loads(question.variant)
            found[variant["combo"], variant["schedule"], variant["history"], question.stream].append(question)
    for stream in found.values():
        assert [question.position for question in stream] == list(range(len(stream)))
    return found


# ------------------------------------------------------------------------------------- the plan


def test_the_registry_finds_it() -> None:
    assert PROTOCOLS.get("combos") is Combos
    assert Combos.quick == QUICK


def test_the_quick_plan_never_changes_without_a_new_version(suite: SuiteData) -> None:
    (ask,) = Combos(QUICK).plan(suite, None)
    assert Combos.version == 2
    assert ask.mixture.tasks == suite.seen
    assert digest([asdict(question) for question in ask.questions]) == (
        "68f740775341ae4c2264c03ea55fef9014e9e22d1da81995d5b33c16f9c4106a"
    )


def test_every_combo_and_history_gets_all_its_streams(suite: SuiteData) -> None:
    found = streams(suite)
    assert len(found) == 2 * 3 * QUICK.streams
    assert {len(stream) for stream in found.values()} == {12}


def test_sides_alternate_and_hold_tasks_of_their_own(suite: SuiteData) -> None:
    combos = {combo.name: {"A": combo.a, "B": combo.b} for combo in suite.combos}
    for (combo, *_), stream in streams(suite).items():
        assert "".join(question.side for question in stream) == "AB" * 6
        assert all(question.task in combos[combo][question.side] for question in stream)


def test_schedules_only_reorder_the_same_queries(suite: SuiteData) -> None:
    found = streams(suite, Settings(schedules=("alternate", "blocked", "random"), streams=3, length=8))
    orders = set()
    for (combo, schedule, history, index), stream in found.items():
        queries = {(one.task, one.instance) for one in stream}
        assert queries == {(one.task, one.instance) for one in found[combo, "alternate", history, index]}
        sides = "".join(one.side for one in stream)
        assert Counter(sides) == {"A": 4, "B": 4}
        if schedule == "blocked":
            assert sides == "AAAABBBB"
        if schedule == "random":
            orders.add(sides)
    assert len(orders) > 1


def test_all_histories_meet_the_same_queries(suite: SuiteData) -> None:
    found = streams(suite)
    for (combo, schedule, _, index), stream in found.items():
        twin = found[combo, schedule, "none", index]
        assert [(one.task, one.instance) for one in stream] == [(one.task, one.instance) for one in twin]


def test_history_is_of_the_same_task_or_of_the_task_just_left(suite: SuiteData) -> None:
    for (_, _, history, _), stream in streams(suite).items():
        for position, question in enumerate(stream):
            told = [turn.task for turn in question.history]
            if history == "none":
                assert told == []
            elif history == "same":
                assert told == [question.task] * 2
            else:
                assert told == [stream[position - 1 if position else 1].task] * 2


def test_history_is_never_evaluated_never_repeated_and_never_the_question(suite: SuiteData) -> None:
    twins = {
        name: (*pool, Instance(f"{name}-twin", f"  {suite.evaluation[name][0].input.upper()}!", ("yes",)))
        for name, pool in suite.context.items()
    }
    twinned = dataclasses.replace(suite, context=twins)
    inputs = {one.id: one.input for pool in (*twins.values(), *suite.evaluation.values()) for one in pool}
    evaluated = {one.id for pool in suite.evaluation.values() for one in pool}
    told = set()
    for stream in streams(twinned, dataclasses.replace(QUICK, streams=20)).values():
        for question in stream:
            turns = [turn.instance for turn in question.history]
            assert len(set(turns)) == len(turns)
            assert evaluated.isdisjoint(turns)
            assert inputs[question.instance].lower() not in {inputs[turn].lower().strip(" !") for turn in turns}
            told.update(turns)
    assert any(name.endswith("-twin") for name in told)


def test_few_tasks_are_cycled_and_instances_are_not_repeated_before_they_run_out(suite: SuiteData) -> None:
    for (combo, *_), stream in streams(suite).items():
        if combo == "sentiment + topic":
            assert set(Counter(one.task for one in stream if one.side == "A").values()) == {2}
            assert set(Counter(one.task for one in stream if one.side == "B").values()) == {3}
        assert len({one.instance for one in stream}) == len(stream)


def test_many_tasks_are_drawn_without_replacement(suite: SuiteData) -> None:
    wide = dataclasses.replace(suite, combos=(Combo("wide", suite.seen, suite.unseen),))
    for stream in streams(wide).values():
        assert len({question.task for question in stream}) == len(stream)


def test_questions_say_whether_their_task_was_seen(suite: SuiteData) -> None:
    for stream in streams(suite).values():
        for question in stream:
            assert question.seen == (question.task in suite.seen)
            assert question.split == ("held_out" if question.seen else "unseen")


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_limit_bounds_how_often_a_task_is_asked(suite: SuiteData, limit: int) -> None:
    asked: Counter[tuple[str, str, str]] = Counter()
    for (combo, _, history, _), stream in streams(suite, limit=limit).items():
        asked.update((combo, history, question.task) for question in stream)
    assert 0 < max(asked.values()) <= limit


def test_the_seed_of_the_protocol_decides_the_streams(suite: SuiteData) -> None:
    first, second = (Combos(dataclasses.replace(QUICK, seed=seed)).plan(suite, None) for seed in (0, 1))
    assert first != second


def test_a_combo_without_tasks_on_a_side_is_skipped_and_named(suite: SuiteData) -> None:
    starved = {**suite.context, **{name: suite.context[name][:2] for name in ("topic0", "topic3")}}
    poor = dataclasses.replace(suite, context=starved)
    assert {combo for combo, *_ in streams(poor)} == {"inference + extraction"}
    (note,) = missing_combos(poor)
    assert note.startswith("Combo 'sentiment + topic' is skipped: no task of side B")
    assert missing_combos(suite) == ()


def test_without_combos_no_fit_is_asked_for(suite: SuiteData) -> None:
    none = dataclasses.replace(suite, combos=())
    assert Combos().plan(none, None) == []
    assert Combos().notes(none) == missing_combos(none)
    assert "--pair" in missing_combos(none)[0]


def test_an_unknown_history_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean 'other'"):
        Settings(histories=("othr",))


# --------------------------------------------------------------------------------- the measures


def rows(
    told: Mapping[str, Sequence[Sequence[float]]], sides: str = "AB", method: str = "ours", seed: int = 0
) -> pd.DataFrame:
    """``told``: history -> one list of scores per stream; task "a" on side A, "b" on side B."""
    return pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "variant": canonical_json({"combo": "C", "schedule": "alternate", "history": history}),
            "stream": stream,
            "position": position,
            "task": sides[position].lower(),
            "side": sides[position],
            "score": score,
        }
        for history, streams in told.items()
        for stream, scores in enumerate(streams)
        for position, score in enumerate(scores)
    )


def about(**columns: object) -> pd.DataFrame:
    fixed = {"sources": [["a"], ["b"]], "metric": "exact_match", "chance": 0.5, "majority": 0.5}
    return pd.DataFrame({"task": ["a", "b"], **fixed, **columns})


def test_the_box_of_a_small_case_is_the_one_worked_out_by_hand() -> None:
    frames = Combos().measure(rows({"none": [[1, 0], [1, 1]]}), about())
    assert frames["combo_streams"]["accuracy"].tolist() == [0.5, 1.0]
    (row,) = frames["combos"].to_dict("records")
    expected = {
        "median": 0.75, "mean": 0.75, "iqr": 0.25, "p5": 0.525, "min": 0.5, "max": 1.0, "n": 2, "n_streams": 2,
        "noise_sd": np.sqrt(1.0 * 0.0 + 0.5 * 0.5) / 2,
        "excess_sd": np.sqrt(0.125 - 0.0625),
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert (row["combo"], row["schedule"], row["history"], row["metric"]) == ("C", "alternate", "none", "exact_match")


def test_streams_of_every_seed_are_data_of_the_box() -> None:
    answers = pd.concat([rows({"none": [[1, 0], [1, 1]]}), rows({"none": [[0, 0], [1, 0]]}, seed=7)])
    frames = Combos().measure(answers, about())
    (row,) = frames["combos"].to_dict("records")
    assert (row["n"], row["n_streams"], row["mean"]) == (4, 2, 0.5)
    data = frames["combo_streams"].set_index(["seed", "stream"])["accuracy"].to_dict()
    assert data == {(0, 0): 0.5, (0, 1): 1.0, (7, 0): 0.0, (7, 1): 0.5}


def test_a_single_stream_has_no_excess() -> None:
    (row,) = Combos().measure(rows({"none": [[1, 0]]}), about())["combos"].to_dict("records")
    assert np.isnan(row["excess_sd"])
    assert row["iqr"] == 0.0


def test_switch_cost_is_same_minus_other_on_each_side() -> None:
    told = {
        "none": [[1, 0], [1, 0]],
        "same": [[1, 1], [1, 0]],
        "other": [[0, 1], [1, 0]],
    }
    frame = Combos().measure(rows(told), about())["switch_cost"].set_index("side")
    assert frame["same"].to_dict() == {"A": 1.0, "B": 0.5}
    assert frame["other"].to_dict() == {"A": 0.5, "B": 0.5}
    assert frame["cost"].to_dict() == {"A": 0.5, "B": 0.0}
    assert frame.loc["A", "relative_change"] == pytest.approx(0.5 / 1.0 - 1.0)
    assert np.isnan(frame.loc["B", "relative_change"])  # nothing was right without history


def test_without_both_histories_there_is_no_switch_cost() -> None:
    assert Combos().measure(rows({"none": [[1, 0]]}), about())["switch_cost"].empty


def test_switch_cost_is_made_of_questions_answered_after_both_histories() -> None:
    answers = rows({"same": [[1, 1], [1, 0]], "other": [[0, 1], [1, 0]]})
    lost = (answers["stream"] == 0) & (answers["position"] == 0) & answers["variant"].str.contains("same")
    frame = Combos().measure(answers[~lost], about())["switch_cost"].set_index("side")
    assert frame["n"].to_dict() == {"A": 1, "B": 2}
    assert frame.loc["A", "cost"] == 0.0


def test_exact_match_and_rouge_are_averaged_above_chance_only() -> None:
    mixed = about(metric=["exact_match", "rouge_l"], chance=[0.5, 0.2])
    frames = Combos().measure(rows({"same": [[1, 0.6]], "other": [[0, 0.6]]}), mixed)
    combos = frames["combos"].set_index("history")
    assert combos["metric"].tolist() == ["above_chance"] * 2
    assert combos.loc["same", "mean"] == pytest.approx((1.0 + 0.5) / 2)
    assert combos.loc["other", "mean"] == pytest.approx((-1.0 + 0.5) / 2)
    costs = frames["switch_cost"].set_index("side")
    assert costs["metric"].to_dict() == {"A": "exact_match", "B": "rouge_l"}
    assert costs["cost"].to_dict() == {"A": 1.0, "B": 0.0}


def test_above_chance_there_is_no_relative_change() -> None:
    tasks = pd.concat([about(), about(metric="rouge_l").assign(task=["c", "d"])])
    answers = rows({name: [[1, 1], [1, 0]] for name in ("none", "same", "other")}, sides="AB")
    answers.loc[answers["stream"] == 1, "task"] = answers["task"].map({"a": "c", "b": "d"})
    frame = Combos().measure(answers, tasks)["switch_cost"]
    assert frame["metric"].tolist() == ["above_chance"] * 2
    assert frame["relative_change"].isna().all()


def test_a_task_whose_answer_is_nearly_given_is_left_out_of_a_mixed_combo() -> None:
    mixed = about(metric=["exact_match", "rouge_l"], chance=[0.5, 0.2], majority=[0.95, 0.1])
    (row,) = Combos().measure(rows({"none": [[1, 0.6]]}), mixed)["combos"].to_dict("records")
    assert row["mean"] == pytest.approx(0.5)


def test_the_unit_of_an_interval_is_the_stream_unless_there_are_five_sources(
    suite: SuiteData, tasks: pd.DataFrame, answer: Answer
) -> None:
    combos = Combos(replace(QUICK, streams=5))
    frame = combos.measure(answer(combos.plan(suite, None), {"ours": 3}), tasks)["combos"]
    assert frame.groupby("combo")["unit"].first().to_dict() == {
        "inference + extraction": "stream",
        "sentiment + topic": "source",
    }
    assert (frame["low"] < frame["mean"]).all()
    assert (frame["mean"] < frame["high"]).all()


def test_differences_of_boxes_turn_their_sign_with_the_order_of_the_methods() -> None:
    even = rows({"none": [[1, 0], [1, 0], [0, 1]]}, method="even")
    wild = rows({"none": [[1, 1], [0, 0], [1, 0]]}, method="wild")
    frame = Combos().measure(pd.concat([even, wild]), about())["combo_differences"].set_index(["method", "versus"])
    one, other = frame.loc[("wild", "even")], frame.loc[("even", "wild")]
    assert one["iqr_difference"] == pytest.approx(0.5)
    assert other["iqr_difference_low"] == -one["iqr_difference_high"]
    assert one["excess_sd_difference"] >= 0.0


def test_the_headline_is_the_mean_over_tasks_of_all_combos_above_chance(
    suite: SuiteData, tasks: pd.DataFrame, answer: Answer
) -> None:
    protocol = Combos(dataclasses.replace(QUICK, streams=3))
    rows = answer(protocol.plan(suite, None), {"untuned": 1, "ours": 2})
    frames = protocol.measure(rows, tasks)
    facts = tasks.set_index("task")
    for row in frames["combo_means"].to_dict("records"):
        own = rows[rows["method"] == row["method"]]
        chance = own["task"].map(facts["chance"])
        fair = (chance < 1.0) & ~(own["task"].map(facts["majority"]) >= 0.9)
        values = ((own["score"] - chance) / (1.0 - chance))[fair].groupby(own["task"]).mean()
        assert row["above_chance"] == pytest.approx(values.mean())
        assert row["above_chance_low"] <= row["above_chance"] <= row["above_chance_high"]
        assert (row["n_tasks"], row["metric"]) == (len(values), "above_chance")
    boxes = frames["combos"].drop_duplicates(["combo", "schedule", "history"])
    assert set(frames["combo_means"]["n_boxes"]) == {len(boxes)}
    assert len(set(boxes["metric"])) > 1
