from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from snibench.base.errors import DataError, UsageError
from snibench.base.registry import SUITES
from snibench.base.types import Recipe, Reply, SuiteData
from snibench.leaderboard.export import export
from snibench.leaderboard.rows import RowsError, questions_by_protocol, questions_digest, read_rows
from snibench.leaderboard.show import board_report
from snibench.leaderboard.validate import faults, read_board
from snibench.leaderboard.verify import verify
from snibench.metrics import exact_match, metric, rouge_l
from snibench.report import build
from snibench.report.cells import missing
from snibench.store import Store, StoredRun

Make = Callable[..., StoredRun]


def test_what_is_exported_is_valid(exported: Path) -> None:
    assert faults(exported) == []


def test_the_file_is_named_for_its_suite_and_model(exported: Path, suite: SuiteData) -> None:
    assert exported.name == f"mini-{suite.digest[:8]}-tiny-bbbbbbbb.json"


def test_an_entry_says_who_made_it_with_what_and_at_what_cost(board: Any) -> None:
    (entry,) = [entry for entry in board["entries"] if entry["label"] == "ours"]
    assert entry["distribution"] == "snibench"
    assert entry["authors"] == ["A. Author"]
    assert entry["seeds"] == [0, 1]
    assert entry["fits"] == {"done": 2, "planned": 2}
    assert entry["budget"]["steps"] == 60
    assert entry["cost"]["trainable_parameters"] == 4096
    assert entry["conflict"]["1"]["score"] == pytest.approx(0.045)
    assert {name: one["version"] for name, one in board["protocols"].items()} == {"gap": 2, "formats": 2, "combos": 2}
    assert board["limit"] == 3
    assert board["suite"]["request"] == {
        **{"name": "mini", "split": None, "tasks": 8, "instances": 4, "categories": []},
        **{"partial": False, "allow_leak": False, "seed": 0},
    }


def test_ranks_and_tests_are_those_of_the_report(board: Any, results: StoredRun) -> None:
    told = build(results).table("comparison_unseen").frame.set_index("method")
    compared = {row["label"]: row for row in board["comparisons"]["unseen"]}
    assert board["baseline"] == "unified-prompt"
    assert set(compared) == set(told.index)
    for name in ("rank", "delta", "delta_low", "p_holm", "p_seed_holm", "suite_delta"):
        assert compared["ours"][name] == pytest.approx(told.loc["ours", name])
    assert compared["ours"]["group"] == told.loc["ours", "group"]
    assert compared["ours"]["outcome"] == told.loc["ours", "outcome"]
    assert compared["unified-prompt"]["delta"] is None


def test_one_seed_of_what_was_tuned_elsewhere_has_no_star_on_a_board_either(make: Make, tmp_path: Path) -> None:
    made = make({"untuned": 0.3, "unified-prompt": 0.3, "ours": 0.9}, seeds=(0,))
    untuned = Recipe(steps=0)
    foreign = [
        replace(one, recipe=untuned, train_format="", elsewhere="tuned elsewhere") if one.label == "ours" else one
        for one in made.specs
    ]
    results = replace(made, specs=tuple(foreign))
    board = read_board(export(results, tmp_path).path)
    for question, table in (("unseen", "comparison_unseen"), ("seen", "comparison_held_out")):
        (row,) = [one for one in board["comparisons"][question] if one["label"] == "ours"]
        reported = build(results).table(table).frame.set_index("method").loc["ours"]
        assert (row["significant"], bool(reported["significant"])) == (False, False)
        assert row["delta"] == pytest.approx(reported["delta"])
        assert row["delta_low"] is None
        assert missing(reported["delta_low"])


def test_a_method_with_a_fit_that_is_not_done_is_shown_without_a_rank(make: Make, tmp_path: Path) -> None:
    path = export(make(failed=("ours",)), tmp_path).path
    made = json.loads(path.read_text("utf-8"))
    (entry,) = [entry for entry in made["entries"] if entry["label"] == "ours"]
    assert entry["fits"] == {"done": 1, "planned": 2}
    assert "ours" not in {row["label"] for row in made["comparisons"]["unseen"]}
    report = board_report(made, path)
    assert list(report.table("incomplete").frame["label"]) == ["ours"]
    assert list(report.table("incomplete").frame["lacks"]) == ["1 of 2 fits are done"]
    assert "ours" not in set(report.table("ranked").frame["label"])
    assert verify(path).faults == ()


def test_a_method_that_was_not_asked_by_every_protocol_is_shown_without_a_rank(
    results: StoredRun, tmp_path: Path
) -> None:
    lost = (results.answers["method"] == "ours") & (results.answers["protocol"] == "combos")
    path = export(replace(results, answers=results.answers[~lost]), tmp_path).path
    made = json.loads(path.read_text("utf-8"))
    assert list(board_report(made, path).table("incomplete").frame["lacks"]) == ["protocol combos was not asked"]
    assert verify(path).faults == ()


# ------------------------------------------------------------------------------------------ trust


def test_a_score_that_was_changed_after_sealing_is_noticed(results: StoredRun, tmp_path: Path) -> None:
    answers = results.answers.copy()
    answers.loc[answers["method"] == "ours", "score"] = 1.0
    with pytest.raises(DataError, match=r"\(ours, seed 0\): .* have another score than their text, the first is"):
        export(replace(results, answers=answers), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_is_not_what_the_model_replied_is_noticed(results: StoredRun, tmp_path: Path) -> None:
    answers = results.answers.copy()
    fit = answers.loc[answers["method"] == "ours", "fit"].iloc[0]
    asked = answers[answers["fit"] == fit]
    store = Store(tmp_path / "runs")
    replies = {
        (one.task, one.prompt_sha): Reply(one.prediction, 30, False, False) for one in asked.itertuples(index=False)
    }
    stored = asked.apply(lambda one: replies[one["task"], one["prompt_sha"]].prediction, axis=1)
    answers.loc[stored.index, "prediction"] = stored
    results = rescored(replace(results, answers=answers, folder=tmp_path / "runs"))
    store.add_replies(fit, replies)
    export(results, tmp_path / "good")
    first = stored.index[0]
    changed = results.answers.copy()
    changed.loc[first, "prediction"] = changed.loc[first, "targets"][0] + " changed"
    with pytest.raises(DataError, match=r"1 of .* answers are not what the model replied"):
        export(rescored(replace(results, answers=changed)), tmp_path / "bad")


def rescored(results: StoredRun) -> StoredRun:
    """``results`` with the scores of its texts."""
    answers = results.answers.copy()
    texts = list(zip(answers["prediction"], map(tuple, answers["targets"]), strict=True))
    metrics = answers["task"].map(results.tasks.set_index("task")["metric"])
    answers["exact_match"] = [exact_match(*text) for text in texts]
    answers["rouge_l"] = [rouge_l(*text) for text in texts]
    answers["score"] = [metric(name).score(*text) for name, text in zip(metrics, texts, strict=True)]
    return replace(results, answers=answers)


def test_rows_of_other_suites_have_digests_in_place_of_text(results: StoredRun, tmp_path: Path) -> None:
    path = export(results, tmp_path, references="digests").path
    made = json.loads(path.read_text("utf-8"))
    rows = path.parent / made["entries"][3]["rows"]["path"]
    assert made["entries"][3]["rows"]["references"] == "digests"
    back = read_rows(rows)
    assert "targets" not in back.answers
    assert set(back.answers["targets_digest"].str.len()) == {64}
    assert set(back.tasks["labels"].dropna().map(len)) == {64}
    said = set(results.answers["prediction"])
    hidden = {text for targets in results.answers["targets"] for text in targets if len(text) > 12} - said
    raw = rows.read_bytes()
    assert not any(text.encode() in raw for text in hidden)
    assert verify(path).faults == ()  # the suite is there, and restores them


@pytest.mark.parametrize(("openly", "expected"), [(True, "text"), (False, "digests")])
def test_a_suite_says_whether_its_references_are_published(
    openly: bool, expected: str, results: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SUITES.get("mini"), "open_references", openly)
    path = export(results, tmp_path).path
    made = json.loads(path.read_text("utf-8"))
    assert {entry["rows"]["references"] for entry in made["entries"]} == {expected}
    monkeypatch.setattr(SUITES.get("mini"), "reads_data", True)
    found = verify(path)  # without --data there is nothing to hold the rows against
    assert found.faults == ()
    assert "not checked against the suite (its tasks are read from a folder or a file: --data PATH)" in found.unchecked


# ------------------------------------------------------------------------------------------- rows


def test_the_numbers_are_those_of_the_report(board: Any, results: StoredRun) -> None:
    gap = build(results).table("gap").frame.set_index("method").loc["ours"]
    (entry,) = [entry for entry in board["entries"] if entry["label"] == "ours"]
    unseen = entry["metrics"]["gap"]["overall"]["unseen"]
    assert unseen["mean"] == pytest.approx(gap["unseen"])
    assert unseen["ci_low"] == pytest.approx(gap["unseen_low"])
    assert unseen["n"] == gap["n_unseen"]
    groups = entry["metrics"]["gap"]["by"]["category, metric"]
    assert sum(group["unseen"]["n"] for group in groups.values() if "unseen" in group) == unseen["n"]


def test_an_entry_does_not_depend_on_the_company_it_was_run_in(results: StoredRun, board: Any, tmp_path: Path) -> None:
    kept = [spec.label == "ours" for spec in results.specs]
    alone = replace(
        results,
        answers=results.answers[results.answers["method"] == "ours"],
        records=tuple(r for r, keep in zip(results.records, kept, strict=True) if keep),
        specs=tuple(s for s, keep in zip(results.specs, kept, strict=True) if keep),
    )
    (entry,) = json.loads(export(alone, tmp_path).path.read_text("utf-8"))["entries"]
    (other,) = [entry for entry in board["entries"] if entry["label"] == "ours"]
    assert entry["metrics"] == other["metrics"]
    assert entry["rows"]["digest"] == other["rows"]["digest"]


def test_exporting_twice_gives_the_same_bytes(results: StoredRun, exported: Path, tmp_path: Path) -> None:
    again = export(results, tmp_path, ["A. Author"])
    assert again.path.read_bytes() == exported.read_bytes()


def test_the_rows_come_back_as_they_were_written(results: StoredRun, board: Any, exported: Path) -> None:
    entry = next(entry for entry in board["entries"] if entry["label"] == "untuned")
    back = read_rows(exported.parent / entry["rows"]["path"])
    mine = results.answers[results.answers["method"] == "untuned"]
    assert len(back.answers) == len(mine) == entry["rows"]["count"]
    assert questions_by_protocol(back.answers) == questions_by_protocol(mine) == entry["rows"]["questions"]
    ours = results.tasks.set_index("task").loc[back.tasks["task"]]
    assert list(back.tasks["majority"]) == list(ours["majority"])  # to the last bit


def test_folders_of_this_machine_do_not_leave_it(results: StoredRun, tmp_path: Path) -> None:
    specs = tuple(replace(s, model=replace(s.model, spec="/home/me/small.gguf")) for s in results.specs)
    path = export(replace(results, specs=specs), tmp_path).path
    assert "/home" not in path.read_text("utf-8")
    assert json.loads(path.read_text("utf-8"))["model"]["name"] == "small.gguf"


def test_methods_that_answered_other_questions_are_left_out_and_named(results: StoredRun, tmp_path: Path) -> None:
    fewer = results.answers[(results.answers["method"] != "ours") | (results.answers["protocol"] != "gap")]
    one = results.answers[(results.answers["method"] == "ours") & (results.answers["protocol"] == "gap")].iloc[1:]
    made = export(replace(results, answers=pd.concat([fewer, one], ignore_index=True)), tmp_path)
    (note,) = made.notes
    assert note.startswith("ours: left out on gap (")
    assert "questions a seed, most were asked" in note
    assert faults(made.path) == []
    assert list(board_report(read_board(made.path), made.path).table("incomplete").frame["label"]) == ["ours"]


def test_what_differs_in_the_questions_is_named(make: Make, tmp_path: Path) -> None:
    made = make({"untuned": 0.3, "unified-prompt": 0.5, "ours": 0.8}, seeds=(0,))
    answers = made.answers
    fewer = (answers["method"] == "ours") & (answers["protocol"] == "formats") & (answers["format"] == "template")
    assert fewer.any()
    (note,) = export(replace(made, answers=answers[~fewer]), tmp_path).notes
    assert note.startswith("ours: left out on formats (it lacks the formats template).")


def test_two_suites_make_no_board(results: StoredRun, tmp_path: Path) -> None:
    first, *others = results.specs
    with pytest.raises(UsageError, match="2 suites"):
        export(replace(results, specs=(replace(first, suite_digest="f" * 64), *others)), tmp_path)


def test_entries_of_other_methods_are_not_overwritten(results: StoredRun, board_file: Path) -> None:
    only_untuned = replace(
        results,
        answers=results.answers[results.answers["method"] == "untuned"],
        records=results.records[:1],
        specs=results.specs[:1],
    )
    before = board_file.read_bytes()
    with pytest.raises(UsageError, match="ours"):
        export(only_untuned, board_file)
    assert board_file.read_bytes() == before


def test_a_file_that_is_no_parquet_is_refused_as_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(RowsError, match="Parquet"):
        read_rows(path)


def test_rows_without_a_column_or_without_tasks_are_refused(results: StoredRun, tmp_path: Path) -> None:
    results.answers.drop(columns="score").to_parquet(tmp_path / "a.parquet")
    results.answers.to_parquet(tmp_path / "b.parquet")
    with pytest.raises(RowsError, match="'score'"):
        read_rows(tmp_path / "a.parquet")
    with pytest.raises(RowsError, match="tasks"):
        read_rows(tmp_path / "b.parquet")


def test_the_digest_of_the_questions_ignores_who_answered(results: StoredRun) -> None:
    by_method = {m: questions_digest(rows) for m, rows in results.answers.groupby("method")}
    assert len(set(by_method.values())) == 1
    assert questions_digest(results.answers.iloc[1:11]) != questions_digest(results.answers.iloc[:10])
    assert isinstance(results.answers, pd.DataFrame)


@pytest.mark.parametrize(("searched", "rate"), [(True, "0.001"), (False, "0.001 (not searched)")])
def test_a_board_marks_rates_that_were_not_searched_for(
    results: StoredRun, tmp_path: Path, searched: bool, rate: str
) -> None:
    tuned = [replace(spec.recipe, learning_rate=1e-3 if spec.recipe.steps else 0.0) for spec in results.specs]
    specs = zip(results.specs, tuned, strict=True)
    marked = replace(results, specs=tuple(replace(spec, recipe=one, searched=searched) for spec, one in specs))
    path = export(marked, tmp_path).path
    assert faults(path) == []
    shown = board_report(json.loads(path.read_text("utf-8")), path).table("ranked").frame.set_index("label")
    assert shown.loc["ours", "learning_rate"] == rate
    assert missing(shown.loc["untuned", "learning_rate"])


@pytest.mark.parametrize("author", ["x" * 20_000, "\x1b[31mred", "\udc80"])
def test_what_validate_would_refuse_is_not_written(author: str, results: StoredRun, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no valid board"):
        export(results, tmp_path / "new" / "board.json", [author])
    assert list(tmp_path.rglob("*")) == []
