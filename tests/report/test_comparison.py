from __future__ import annotations

import pytest

from snibench.base.errors import UsageError
from snibench.report import build, compare
from snibench.store import StoredRun


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
