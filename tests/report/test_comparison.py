from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from snibench.base.errors import UsageError
from snibench.report import build, compare
from snibench.report.fits import label_of, only
from snibench.report.values import QUESTIONS
from snibench.store import StoredRun

Make = Callable[..., StoredRun]


def test_swapping_the_methods_mirrors_difference_and_interval(results: StoredRun) -> None:
    one = compare(results, "ours", "unified-prompt").table("comparison").frame
    other = compare(results, "unified-prompt", "ours").table("comparison").frame
    assert list(one["delta"]) == pytest.approx(list(-other["delta"]))
    assert list(one["delta_low"]) == pytest.approx(list(-other["delta_high"]))
    assert one["wins"].dropna().tolist() == other["losses"].dropna().tolist()


def test_the_difference_is_that_of_the_means_shown_beside_it(results: StoredRun) -> None:
    for row in compare(results, "ours", "mtl-lora").table("comparison").frame.to_dict("records"):
        assert row["delta"] == pytest.approx(row["first"] - row["second"])
        assert row["delta_low"] <= row["delta"] <= row["delta_high"]


def test_two_methods_compare_as_they_do_in_the_report(results: StoredRun) -> None:
    alone = compare(results, "ours", "unified-prompt").table("comparison").frame.iloc[0]
    among = build(results, "unified-prompt").table("comparison_unseen").frame.set_index("method").loc["ours"]
    for field in ("delta", "delta_low", "delta_high", "p", "p_seed"):  # adjusted p depend on the others
        assert alone[field] == pytest.approx(among[field])


def test_with_a_pool_of_seeds_two_methods_compare_as_they_do_in_the_report(make_results: Make) -> None:
    five = make_results({"unified-prompt": 0.55, "mtl-lora": 0.58, "ours": 0.6, "lora": 0.5, "r-lora": 0.52})
    report = build(five, "unified-prompt")
    pair = compare(five, "ours", "unified-prompt")
    numbers = ["delta", "delta_low", "delta_high", "mde", "suite_delta", "suite_low", "suite_high", "se_seed"]
    alone = pair.table("comparison").frame.set_index("on")
    for name, question in (
        ("comparison_unseen", "unseen"),
        ("comparison_held_out", "seen"),
        ("comparison_gap", "gap"),
        ("comparison_formats", "formats"),
        ("comparison_combos", "combos"),
    ):
        among = report.table(name).frame.set_index("method").loc["ours"]
        assert alone.loc[QUESTIONS[question], numbers].tolist() == pytest.approx(among[numbers].tolist(), nan_ok=True)
        assert alone.loc[QUESTIONS[question], "pooling"] == among["pooling"] == "methods"
    for name, key in (("format_differences", "format"), ("combo_mean_differences", "combo")):
        there = report.table(name).frame.query("method == 'ours'").set_index([key])
        here = pair.table(name).frame.set_index([key])
        assert here["delta_low"].tolist() == pytest.approx(there["delta_low"].tolist())
    among = build(only(five, ["ours", "unified-prompt"]), "unified-prompt", everyone=five)
    assert among.table("comparison_unseen").frame.set_index("method").loc["ours", "delta_low"] == pytest.approx(
        report.table("comparison_unseen").frame.set_index("method").loc["ours", "delta_low"]
    )
    assert set(among.table("comparison_unseen").frame["method"]) == {"ours", "unified-prompt"}


def test_seeds_are_not_lent_by_methods_that_answered_other_questions(make_results: Make) -> None:
    five = make_results({"unified-prompt": 0.55, "mtl-lora": 0.58, "ours": 0.6, "lora": 0.5})
    rows = five.answers
    fewer = replace(five, answers=rows[~((rows["method"] == "lora") & (rows["task"] == "task13")).to_numpy()])
    row = compare(fewer, "ours", "unified-prompt").table("comparison").frame.set_index("on").loc["unseen tasks"]
    assert (row["pooling"], row["n_tasks"]) == ("pair", 12)  # all tasks that these two answered


def test_an_arrow_of_the_gap_points_to_the_smaller_one(results: StoredRun) -> None:
    columns = {column.field: column for column in build(results).table("comparison_gap").columns}
    assert {columns[name].better for name in ("delta", "suite_delta")} == {"lower"}
    columns = {column.field: column for column in build(results).table("comparison_unseen").columns}
    assert {columns[name].better for name in ("delta", "suite_delta")} == {"higher"}


def test_every_task_and_category_of_both_sides_is_listed_once(results: StoredRun) -> None:
    report = compare(results, "ours", "unified-prompt")
    for split in ("unseen", "held_out"):
        tasks = report.table(f"tasks_{split}").frame
        assert tasks["task"].is_unique
        assert len(tasks) == 12
        assert tasks["delta"].is_monotonic_decreasing
        assert report.table(f"categories_{split}").frame["category"].nunique() == 4


def test_by_category_the_difference_weighs_tasks_equally(results: StoredRun) -> None:
    report = compare(results, "ours", "unified-prompt")
    tasks = report.table("tasks_unseen").frame.groupby("category")["delta"].mean()
    categories = report.table("categories_unseen").frame.set_index("category")["delta"]
    assert categories.to_dict() == pytest.approx(tasks.to_dict())


def test_the_difference_of_the_gaps_has_an_interval(results: StoredRun) -> None:
    row = compare(results, "ours", "unified-prompt").table("comparison").frame.set_index("on").loc["generalization gap"]
    gaps = build(results).table("gap").frame.set_index("method")["gap"]
    assert row["delta"] == pytest.approx(gaps["ours"] - gaps["unified-prompt"])
    assert row["delta_low"] < row["delta"] < row["delta_high"]


def test_a_method_is_not_compared_with_itself(results: StoredRun) -> None:
    with pytest.raises(UsageError, match="with itself"):
        compare(results, "ours", "ours")


def test_a_method_that_is_not_there_gets_a_suggestion(results: StoredRun) -> None:
    with pytest.raises(UsageError, match="Did you mean 'ours'"):
        compare(results, "our", "unified-prompt")


@pytest.mark.parametrize("rest", ["(r=4)", "+pcgrad", "@temperature(temperature=3.0)", ""])
def test_a_method_is_found_by_its_other_name_whatever_stands_behind_it(make_results: Make, rest: str) -> None:
    run = make_results({"lora": 0.5, "ours": 0.6}, seeds=(0, 1))
    specs = [replace(spec, label=f"lora{rest}") if spec.label == "lora" else spec for spec in run.specs]
    assert label_of(replace(run, specs=tuple(specs)), f"unified-prompt{rest}") == f"lora{rest}"
