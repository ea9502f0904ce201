from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from snibench.base.errors import UsageError
from snibench.leaderboard.export import export
from snibench.leaderboard.rows import RowsError, questions_digest, read_rows
from snibench.leaderboard.show import board_report
from snibench.leaderboard.validate import faults
from snibench.leaderboard.verify import disagreements
from snibench.report import build
from snibench.report.cells import missing
from snibench.store import StoredRun


def test_what_is_exported_is_valid_and_verified(exported: Path) -> None:
    assert faults(exported) == []
    assert disagreements(exported) == []


def test_the_file_is_named_for_its_suite_and_model(exported: Path) -> None:
    assert exported.name == "mini-aaaaaaaa-tiny-bbbbbbbb.json"


def test_an_entry_says_who_made_it_with_what_and_at_what_cost(board: Any) -> None:
    (entry,) = [entry for entry in board["entries"] if entry["label"] == "ours"]
    assert entry["distribution"] == "snibench"
    assert entry["authors"] == ["A. Author"]
    assert entry["seeds"] == [0, 1]
    assert entry["budget"]["steps"] == 60
    assert entry["cost"]["trainable_parameters"] == 4096
    assert entry["conflict"]["1"]["score"] == pytest.approx(0.045)
    assert board["protocols"] == {"gap": 2}


def test_the_numbers_are_those_of_the_report(board: Any, results: StoredRun) -> None:
    gap = build(results).table("gap").frame.set_index("method").loc["ours"]
    (entry,) = [entry for entry in board["entries"] if entry["label"] == "ours"]
    unseen = entry["metrics"]["gap"]["overall"]["unseen"]
    assert unseen["mean"] == pytest.approx(gap["unseen"])
    assert unseen["ci_low"] == pytest.approx(gap["unseen_low"])
    assert unseen["n"] == 6
    category = entry["metrics"]["gap"]["by"]["category, metric"]["Sentiment Analysis, exact_match"]
    assert category["unseen"]["n"] == 3


def test_an_entry_does_not_depend_on_the_company_it_was_run_in(results: StoredRun, board: Any, tmp_path: Path) -> None:
    kept = [spec.label == "ours" for spec in results.specs]
    alone = replace(
        results,
        answers=results.answers[results.answers["method"] == "ours"],
        records=tuple(r for r, keep in zip(results.records, kept, strict=True) if keep),
        specs=tuple(s for s, keep in zip(results.specs, kept, strict=True) if keep),
    )
    (entry,) = json.loads(export(alone, tmp_path).read_text("utf-8"))["entries"]
    (other,) = [entry for entry in board["entries"] if entry["label"] == "ours"]
    assert entry["metrics"] == other["metrics"]
    assert entry["rows"]["digest"] == other["rows"]["digest"]


def test_exporting_twice_gives_the_same_bytes(results: StoredRun, exported: Path, tmp_path: Path) -> None:
    again = export(results, tmp_path, ["A. Author"])
    assert again.read_bytes() == exported.read_bytes()


def test_the_rows_come_back_as_they_were_written(results: StoredRun, board: Any, exported: Path) -> None:
    entry = next(entry for entry in board["entries"] if entry["label"] == "untuned")
    back = read_rows(exported.parent / entry["rows"]["path"])
    mine = results.answers[results.answers["method"] == "untuned"]
    assert len(back.answers) == len(mine) == entry["rows"]["count"]
    assert questions_digest(back.answers) == questions_digest(mine) == entry["rows"]["questions"]
    ours = results.tasks.set_index("task").loc[back.tasks["task"]]
    assert list(back.tasks["majority"]) == list(ours["majority"])  # to the last bit


def test_folders_of_this_machine_do_not_leave_it(results: StoredRun, tmp_path: Path) -> None:
    specs = tuple(replace(s, model=replace(s.model, spec="/home/me/small.gguf")) for s in results.specs)
    path = export(replace(results, specs=specs), tmp_path)
    assert "/home" not in path.read_text("utf-8")
    assert json.loads(path.read_text("utf-8"))["model"]["name"] == "small.gguf"


def test_methods_that_answered_other_questions_are_not_put_on_one_board(results: StoredRun, tmp_path: Path) -> None:
    fewer = results.answers[(results.answers["method"] != "ours") | (results.answers["instance"] != "i3")]
    with pytest.raises(UsageError, match="ours answered other questions than untuned"):
        export(replace(results, answers=fewer), tmp_path)


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
    path = export(marked, tmp_path)
    assert faults(path) == []
    shown = board_report(json.loads(path.read_text("utf-8")), path).table("measured").frame.set_index("label")
    assert shown.loc["ours", "learning_rate"] == rate
    assert missing(shown.loc["untuned", "learning_rate"])


@pytest.mark.parametrize("author", ["x" * 20_000, "\x1b[31mred", "\udc80"])
def test_what_validate_would_refuse_is_not_written(author: str, results: StoredRun, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no valid board"):
        export(results, tmp_path / "new" / "board.json", [author])
    assert list(tmp_path.rglob("*")) == []
