from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from snibench.base.errors import UsageError
from snibench.base.types import Manifest
from snibench.report import Report, build, compare
from snibench.store import StoredRun

Make = Callable[..., StoredRun]


def methods(report: Any, table: str) -> list[str]:
    return list(dict.fromkeys(report.table(table).frame["method"]))


def test_row_0_of_every_table_of_methods_is_the_untuned_model(report: Report) -> None:
    others = {"failed", "conflict", "categories_unseen", "format_agreement"}
    others |= {"format_measures_difference", "format_differences", "combo_mean_differences"}  # of others alone
    others |= {table.name for table in report.tables if table.across == "method"}  # controls are the last columns there
    firsts = {table.name: table.frame["method"].iloc[0] for table in report.tables if table.name not in others}
    assert set(firsts.values()) == {"untuned"}
    assert {"summary", "comparison_unseen", "gap", "combos", "cost"} <= set(firsts)


def test_the_baseline_is_compared_with_and_has_no_difference_from_itself(report: Report) -> None:
    assert report.baseline == "unified-prompt"
    row = report.table("comparison_unseen").frame.set_index("method").loc["unified-prompt"]
    assert np.isnan(row["delta"])
    assert not row["significant"]


def test_the_summary_has_one_row_for_each_method_and_the_means_of_the_rows(results: StoredRun) -> None:
    summary = build(results).table("summary").frame.set_index("method")
    answers = results.answers.query("protocol == 'gap' and split == 'unseen' and method == 'ours'")
    assert list(summary.index) == ["untuned", "unified-prompt", "mtl-lora", "ours"]
    assert summary.loc["ours", "unseen"] == pytest.approx(answers["score"].mean())  # tasks are equally large here
    assert summary.loc["ours", "gap"] == pytest.approx(summary.loc["ours", "seen"] - summary.loc["ours", "unseen"])
    assert summary.loc["ours", "unseen_low"] < summary.loc["ours", "unseen"] < summary.loc["ours", "unseen_high"]


def test_conflict_is_a_mean_over_seeds_with_its_t_interval(report: Report) -> None:
    ours = report.table("summary").frame.set_index("method").loc["ours"]
    low, high = stats.t.interval(0.95, 2, 0.06, 0.01 / np.sqrt(3))
    assert ours["conflict"] == pytest.approx(0.06)
    assert (ours["conflict_low"], ours["conflict_high"]) == (pytest.approx(low), pytest.approx(high))
    assert ours["conflict_raw"] == pytest.approx(0.14)


def test_a_fit_that_diverged_is_a_row_with_its_cause_and_takes_part_in_no_number(report: Report) -> None:
    (failed,) = report.table("failed").frame.to_dict("records")
    assert (failed["method"], failed["seed"], failed["status"]) == ("mtl-lora", 2, "diverged")
    assert "nan" in failed["cause"]
    assert report.table("summary").frame.set_index("method").loc["mtl-lora", "fits"] == "2/3, diverged"
    assert report.table("comparison_unseen").frame.set_index("method").loc["mtl-lora", "n_seeds"] == 2


def test_a_method_without_any_finished_fit_keeps_its_row(make_results: Make) -> None:
    results = make_results({"untuned": 0.2, "unified-prompt": 0.5, "ours": 0.6}, seeds=(0,), failed=("ours",))
    summary = build(results).table("summary").frame.set_index("method")
    assert summary.loc["ours", "fits"] == "0/1, diverged"
    assert np.isnan(summary.loc["ours", "unseen"])
    assert "ours" not in methods(build(results), "comparison_unseen")


def test_one_seed_still_gives_a_report_that_says_so(make_results: Make) -> None:
    report = build(make_results(seeds=(0,)))
    assert any("one seed" in note for note in report.table("comparison_unseen").notes)


def test_a_single_method_needs_no_baseline(make_results: Make) -> None:
    report = build(make_results({"ours": 0.6}, seeds=(0, 1)))
    assert report.baseline == ""
    assert not [table for table in report.tables if table.name.startswith("comparison")]


def test_without_the_usual_baseline_the_untuned_model_is_it(make_results: Make) -> None:
    assert build(make_results({"untuned": 0.2, "ours": 0.6})).baseline == "untuned"


def test_a_baseline_that_was_planned_but_failed_is_replaced_and_the_report_says_so(make_results: Make) -> None:
    levels = {"untuned": 0.2, "unified-prompt": 0.5, "ours": 0.6}
    results = make_results(levels, seeds=(0,), failed=("unified-prompt",))
    report = build(replace(results, manifest=replace(results.manifest, baseline="unified-prompt")))
    assert report.baseline == "untuned"
    assert any("unified-prompt" in note and "untuned" in note for note in report.notes)


def test_a_misspelled_baseline_gets_a_suggestion(results: StoredRun) -> None:
    with pytest.raises(UsageError, match="Did you mean 'unified-prompt'"):
        build(results, "unified-promt")


def test_the_order_of_the_rows_on_disk_changes_nothing(results: StoredRun) -> None:
    shuffled = replace(results, answers=results.answers.sample(frac=1, random_state=0).reset_index(drop=True))
    one, other = build(results), build(shuffled)
    assert one.rows_digest == other.rows_digest
    assert {table.name for table in one.tables} == {table.name for table in other.tables}
    for name in ("summary", "comparison_unseen", "gap", "formats", "combos"):
        left, right = (
            r.table(name).frame.sort_values([k.field for k in r.table(name).keys], ignore_index=True)
            for r in (one, other)
        )
        pd.testing.assert_frame_equal(left, right)


def test_one_changed_score_changes_the_digest_of_the_rows(results: StoredRun) -> None:
    answers = results.answers.copy()
    answers.loc[5, "score"] = 1 - answers.loc[5, "score"]
    assert build(replace(results, answers=answers)).rows_digest != build(results).rows_digest


def test_answers_of_a_protocol_that_is_not_installed_are_named_and_the_rest_is_shown(results: StoredRun) -> None:
    strange = results.answers.head(3).assign(protocol="of-a-plugin")
    report = build(replace(results, answers=pd.concat([results.answers, strange], ignore_index=True)))
    assert any("of-a-plugin" in note for note in report.notes)
    assert report.table("gap")


def test_methods_are_compared_on_the_questions_that_all_of_them_answered(results: StoredRun) -> None:
    answers = results.answers
    lost = (answers["method"] == "ours") & (answers["protocol"] == "gap") & (answers["instance"] == "i0")
    report = build(replace(results, answers=answers[~lost].reset_index(drop=True)))
    shared = answers[(answers["protocol"] == "gap") & (answers["split"] == "unseen") & (answers["instance"] != "i0")]
    expected = shared[shared["method"] == "unified-prompt"]["score"].mean()
    found = report.table("comparison_unseen").frame.set_index("method").loc["unified-prompt", "mean"]
    assert found == pytest.approx(expected)
    assert any("Protocol gap" in note and "same questions" in note for note in report.notes)


def test_different_software_and_fall_backs_are_said(results: StoredRun) -> None:
    first, *others = results.records
    other = replace(first, versions={**first.versions, "torch": "2"}, notes=("Fell back to one row per instance.",))
    second = replace(others[0], versions={**others[0].versions, "torch": "3"})
    notes = build(replace(results, records=(other, second, *others[1:]))).notes
    assert "Fits were made with different software: torch 2 and 3." in notes
    assert "untuned: Fell back to one row per instance." in notes


def test_folders_of_this_machine_do_not_enter_a_report(results: StoredRun) -> None:
    spec = results.specs[0]
    specs = tuple(
        replace(s, model=replace(s.model, spec="/home/me/models/small"), suite=replace(s.suite, name="/data/sni"))
        for s in results.specs
    )
    assert spec.model.spec == "tiny"
    report = build(replace(results, specs=specs))
    assert "/home" not in report.title + str(report.facts)
    assert "model small" in report.title


def test_floors_are_rows_that_change_no_test_rank_or_group(make_results: Make) -> None:
    levels = {"untuned": 0.2, "unified-prompt": 0.5, "ours": 0.6}
    plain, beside = build(make_results(levels)), build(make_results({**levels, "copy-input": 0.55, "majority": 0.9}))
    assert plain.baseline == beside.baseline == "unified-prompt"
    for split in ("unseen", "held_out"):
        table = beside.table(f"comparison_{split}")
        frame = table.frame.set_index("method")
        expected = plain.table(f"comparison_{split}").frame.set_index("method")
        pd.testing.assert_frame_equal(frame.loc[expected.index], expected, check_dtype=False)
        floors = frame.loc[["copy-input", "majority"]]
        assert floors[["p", "p_holm", "p_seed_holm", "rank", "group", "delta"]].isna().all(axis=None)
        assert floors["mean"].notna().all()
        assert list(frame.index[:3]) == ["untuned", "copy-input", "majority"]
        assert "No part of tests, ranks and groups: copy-input, majority." in table.notes
    for name in ("format_ranks", "format_agreement"):
        pd.testing.assert_frame_equal(beside.table(name).frame, plain.table(name).frame)
    assert set(beside.table("summary").frame["method"]) == {*levels, "copy-input", "majority"}


def test_a_floor_is_no_baseline(make_results: Make) -> None:
    with pytest.raises(UsageError, match="baseline 'majority'"):
        build(make_results({"untuned": 0.2, "majority": 0.5, "ours": 0.6}), "majority")


def test_a_method_that_is_another_one_is_told_and_found_by_its_name(make_results: Make) -> None:
    results = replace(make_results(), manifest=Manifest(notes=("lora is unified-prompt.",)))
    assert "lora is unified-prompt." in build(results).notes
    assert build(results, "lora").baseline == "unified-prompt"
    assert compare(results, "ours", "lora").baseline == "unified-prompt"


def test_an_unresolved_conflict_has_its_star_in_every_table_and_others_have_none(results: StoredRun) -> None:
    noisy = [
        replace(
            record, conflict={point: {**values, "standard_error": 0.3} for point, values in record.conflict.items()}
        )
        if record.label == "ours"
        else record
        for record in results.records
    ]
    report = build(replace(results, records=tuple(noisy)))
    for name in ("summary", "conflict"):
        frame = report.table(name).frame.dropna(subset=["unresolved"])
        assert frame.groupby("method")["unresolved"].any().to_dict()["ours"]
        assert not frame.groupby("method")["unresolved"].any().to_dict()["mtl-lora"]


def test_one_slow_fit_does_not_make_a_method_slow(results: StoredRun) -> None:
    slow = [replace(r, seconds=900.0) if (r.label, r.seed) == ("ours", 2) else r for r in results.records]
    costs = build(replace(results, records=tuple(slow))).table("cost").frame.set_index("method")
    assert costs.loc["ours", "seconds"] == 13.5
    assert costs.loc["ours", "seconds_max"] == 900.0


def test_answers_that_are_all_the_baselines_are_said(make_results) -> None:
    results = make_results(seeds=(0, 1))
    assert not any("wired in" in note for note in build(results, "unified-prompt").notes)
    theirs = results.answers[results.answers["method"] == "unified-prompt"]
    others = results.answers[results.answers["method"] != "ours"]
    alike = theirs.assign(method="ours").sample(frac=1, random_state=0)
    (note,) = (
        note
        for note in build(replace(results, answers=pd.concat([others, alike])), "unified-prompt").notes
        if "wired in" in note
    )
    assert note == f"ours's answers are the baseline's on all {len(theirs):,} questions: is it wired in?"
    alike.iloc[0, alike.columns.get_loc("prediction")] = "no"
    changed = build(replace(results, answers=pd.concat([others, alike])), "unified-prompt")
    assert not any("wired in" in note for note in changed.notes)
