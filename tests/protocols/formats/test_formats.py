from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from snibench.base.hashing import digest
from snibench.base.registry import FORMATS, PROTOCOLS
from snibench.base.types import SuiteData
from snibench.protocols.formats import PAPER, QUICK, Formats
from snibench.protocols.formats.measures import extremes
from snibench.stats.intervals import mean_interval

Answer = Callable[..., pd.DataFrame]


def rows(scores: Mapping[tuple[str, str], Sequence[Sequence[float]]], method: str = "ours") -> pd.DataFrame:
    """``scores``: (task, format) -> one list of instance scores per seed."""
    frame = pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "task": task,
            "instance": f"{task}-{index}",
            "format": format,
            "seen": True,
            "score": score,
            "prompt_tokens": 10 + len(format),
        }
        for (task, format), seeds in scores.items()
        for seed, values in enumerate(seeds)
        for index, score in enumerate(values)
    )
    return frame.assign(exact_match=(frame["score"] == 1.0).astype(float))


def about(names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({"task": list(names), "sources": [[name] for name in names]})


def spread_of(answers: pd.DataFrame, names: str = "t") -> dict[str, float]:
    (row,) = Formats().measure(answers, about(names))["format_spread"].to_dict("records")
    return row


HAND = {("t", "definition"): [[1, 1, 0, 1]], ("t", "template"): [[1, 0, 0, 0]]}


def test_the_registry_finds_it() -> None:
    assert PROTOCOLS.get("formats") is Formats
    assert Formats.quick == QUICK


def test_every_format_of_both_budgets_is_installed() -> None:
    assert {*PAPER.formats, *QUICK.formats} <= set(FORMATS.names())


def test_the_quick_plan_never_changes_without_a_new_version(suite: SuiteData) -> None:
    (ask,) = Formats(QUICK).plan(suite, 3)
    assert Formats.version == 2
    assert digest([asdict(question) for question in ask.questions]) == (
        "827575cd37fadb84dd5031b89e36e5d91d68bf4692c4c334e433651595834998"
    )


def test_every_format_is_asked_of_the_same_instances(suite: SuiteData) -> None:
    (ask,) = Formats(PAPER).plan(suite, 5)
    asked = {name: [(one.task, one.instance) for one in ask.questions if one.format == name] for name in PAPER.formats}
    assert len(ask.questions) == 10 * 20 * 5
    assert all(one == asked["definition"] for one in asked.values())


def test_the_numbers_of_a_small_case_are_those_worked_out_by_hand() -> None:
    row = spread_of(rows(HAND))
    expected = {
        "mean": 0.5, "avgp": 0.5, "maxp": 0.75, "worst": 0.25, "spread_mean": 0.5, "spread_median": 0.5,
        "sd": np.sqrt(0.125), "sat": 1 - (0.75 - 0.5), "cps": 0.75 * 0.75, "disagreement": 0.5,
        "always_right": 0.25, "always_wrong": 0.25, "unstable": 0.5, "n_tasks": 1, "n_formats": 2,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == pytest.approx(expected)


def test_the_spread_by_noise_is_that_of_shuffled_formats() -> None:
    # Two instances differ between the formats: shuffled, they agree in sign half of the time (0.5) or cancel (0).
    assert spread_of(rows(HAND))["spread_null"] == pytest.approx(0.25, abs=0.03)


def test_spread_is_taken_per_task_of_seed_means_and_then_averaged() -> None:
    row = spread_of(
        rows(
            {
                ("t", "definition"): [[1, 1], [0, 0]],  # 0.5
                ("t", "template"): [[0, 0], [1, 1]],  # 0.5
                ("u", "definition"): [[1, 1], [1, 1]],  # 1.0
                ("u", "template"): [[0, 1], [0, 0]],  # 0.25
            }
        ),
        "tu",
    )
    assert row["spread_mean"] == pytest.approx((0.0 + 0.75) / 2)
    assert row["worst"] == pytest.approx((0.5 + 0.25) / 2)
    assert row["cps"] == pytest.approx((0.5 + (1 - 0.375) * 1.0) / 2)


def test_disagreement_of_graded_scores_is_their_mean_distance() -> None:
    scores = {("t", "definition"): [[0.2]], ("t", "template"): [[0.5]], ("t", "abstract"): [[1.0]]}
    assert spread_of(rows(scores))["disagreement"] == pytest.approx((0.3 + 0.5 + 0.8) / 3)


def test_one_format_alone_has_no_spread_by_noise() -> None:
    row = spread_of(rows({("t", "definition"): [[1, 0]]}))
    assert row["spread_mean"] == 0.0
    assert np.isnan([row["spread_null"], row["sd"]]).all()


def test_a_format_drops_relative_to_definition() -> None:
    frame = Formats().measure(rows(HAND), about("t"))["formats"].set_index("format")
    assert frame["score"].to_dict() == {"definition": 0.75, "template": 0.25}
    assert frame["drop"].to_dict() == pytest.approx({"definition": 0.0, "template": 1 - 0.25 / 0.75})
    assert frame["prompt_tokens"].to_dict() == {"definition": 20.0, "template": 18.0}


def test_without_definition_there_is_no_drop() -> None:
    frame = Formats().measure(rows({("t", "template"): [[1, 0]]}), about("t"))["formats"]
    assert frame["drop"].isna().all()


def test_intervals_of_a_format_are_over_tasks_and_seeds() -> None:
    scores = {("t", "definition"): [[1, 1], [1, 0]], ("u", "definition"): [[0, 0], [1, 0]]}
    scores |= {("v", "definition"): [[1, 0], [1, 0]]}
    (row,) = Formats().measure(rows(scores), about("tuv"))["formats"].to_dict("records")
    expected = mean_interval(np.array([[1.0, 0.0, 0.5], [0.5, 0.5, 0.5]]), bounds=(0.0, 1.0))
    assert (row["score"], row["low"], row["high"]) == pytest.approx((0.5, expected.low, expected.high))


def test_neither_float_noise_nor_the_order_of_seeds_decides_between_formats_that_tie() -> None:
    # Seed means .3 and .3 in two formats, but as floats .1 + .2 is above .3; the seeds differ.
    one, two = np.array([[0.1 + 0.2, 0.3, 0.0]]).T, np.array([[0.2, 0.2, 0.2]]).T
    low = np.zeros((3, 1))
    top, bottom = extremes(np.stack([one, two, low]))
    assert top.ravel().tolist() == pytest.approx(((one + two) / 2).ravel().tolist())
    assert bottom.tolist() == low.tolist()
    again, _ = extremes(np.stack([two, one, low])[:, ::-1])
    assert again[::-1].ravel().tolist() == pytest.approx(top.ravel().tolist())


def test_formats_seen_in_training_are_flagged_where_that_is_known() -> None:
    answers = rows(HAND)
    unknown = Formats().measure(answers, about("t"))["formats"]
    assert unknown["seen_in_training"].isna().all()
    known = Formats().measure(answers.assign(train_format="template"), about("t"))["formats"].set_index("format")
    assert known["seen_in_training"].to_dict() == {"definition": False, "template": True}
    both = Formats().measure(answers.assign(train_format="template,definition"), about("t"))["formats"]
    assert both["seen_in_training"].all()


def test_a_control_has_a_score_but_no_part_in_the_spread() -> None:
    frames = Formats().measure(rows({**HAND, ("t", "input_only"): [[0, 0, 0, 0]]}), about("t"))
    groups = frames["formats"].set_index("format")["group"].to_dict()
    assert groups == {"definition": "I", "input_only": "control", "template": "I"}
    assert frames["format_spread"]["n_formats"].tolist() == [2]
    assert frames["format_spread"]["worst"].tolist() == [0.25]


def test_a_format_that_is_not_installed_has_no_group_and_runs_no_code(tmp_path: Path) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text("raise SystemExit('imported')")
    frame = Formats().measure(rows({("t", f"{trap}:Trap"): [[1, 0]]}), about("t"))["formats"]
    assert frame["group"].tolist() == [""]


def test_formats_that_one_method_lacks_are_compared_for_none() -> None:
    theirs = rows({("t", "definition"): [[0, 0, 0, 0]]}, "theirs")
    frames = Formats().measure(pd.concat([rows(HAND), theirs]), about("t"))
    assert len(frames["formats"]) == 3
    assert frames["format_spread"]["n_formats"].tolist() == [1, 1]


def test_formats_that_order_the_methods_oppositely_do_not_agree() -> None:
    turned = rows({("t", "definition"): [[1, 0, 0, 0]], ("t", "template"): [[1, 1, 0, 1]]}, "theirs")
    frames = Formats().measure(pd.concat([rows(HAND), turned]), about("t"))
    ranks = frames["format_ranks"].set_index(["format", "method"])["rank"]
    assert ranks.to_dict() == {
        ("definition", "ours"): 1.0, ("definition", "theirs"): 2.0,
        ("template", "ours"): 2.0, ("template", "theirs"): 1.0,
    }  # fmt: skip
    (row,) = frames["format_agreement"].to_dict("records")
    assert (row["kendall_w"], row["tau_b"], row["top1"]) == pytest.approx((0.0, -1.0, 0.0))


def test_formats_that_order_the_methods_alike_agree_fully() -> None:
    worse = rows({key: [[0, 0, 0, 0]] for key in HAND}, "worse")
    (row,) = Formats().measure(pd.concat([rows(HAND), worse]), about("t"))["format_agreement"].to_dict("records")
    assert (row["kendall_w"], row["tau_b"], row["top1"]) == pytest.approx((1.0, 1.0, 1.0))


def test_with_one_method_agreement_is_not_defined() -> None:
    (row,) = Formats().measure(rows(HAND), about("t"))["format_agreement"].to_dict("records")
    assert np.isnan([row["kendall_w"], row["tau_b"], row["top1"]]).all()
    assert (row["n_formats"], row["n_methods"]) == (2, 1)


def test_kinds_of_formats_stand_apart() -> None:
    answers = rows({**HAND, ("t", "abstract"): [[0, 0, 0, 0]], ("t", "examples_only"): [[1, 1, 1, 1]]})
    frame = Formats().measure(answers.assign(train_format="template"), about("t"))["format_groups"]
    kinds = frame.set_index("formats")[["mean", "spread_mean", "worst", "n_formats"]].T.to_dict("list")
    assert kinds == {
        "group I": [0.5, 0.5, 0.25, 2.0],  # definition, template
        "group II": [0.5, 1.0, 0.0, 2.0],  # abstract, examples_only
        "observed": [0.25, 0.0, 0.25, 1.0],  # template
        "unobserved": [pytest.approx(1.75 / 3), 1.0, 0.0, 3.0],
    }


def test_without_the_training_format_nothing_is_called_observed() -> None:
    frame = Formats().measure(rows(HAND), about("t"))["format_groups"]
    assert frame["formats"].tolist() == ["group I"]


def test_the_tokens_that_a_format_adds_are_counted_against_definition() -> None:
    frame = Formats().measure(rows(HAND), about("t"))["formats"].set_index("format")
    assert frame["tokens_added"].to_dict() == {"definition": 0.0, "template": -2.0}


def test_the_spread_of_independent_coins_bounds_the_spread_by_noise() -> None:
    row = spread_of(rows(HAND))
    # d2(2) = 2 / sqrt(pi); accuracy 0.5 over 4 instances
    assert row["spread_independent"] == pytest.approx(2 / np.sqrt(np.pi) * np.sqrt(0.25 / 4))
    assert row["spread_null"] < row["spread_independent"]
