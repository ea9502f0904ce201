from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from snibench.base.hashing import file_digest
from snibench.leaderboard.entries import metrics
from snibench.leaderboard.export import rows_entry, write_board
from snibench.leaderboard.rows import read_rows, write_rows
from snibench.leaderboard.verify import Verification, verify
from snibench.store import StoredRun

Change = Callable[[StoredRun], None]


def said(found: Verification) -> list[str]:
    return [f"{fault.pointer} {fault.reason}" for fault in found.faults]


def forge(board_file: Path, board: Any, change: Change, *, cover: bool = True) -> list[str]:
    """Change the rows of ``ours``. ``cover``: make digest and numbers of the board true to them."""
    changed = copy.deepcopy(board)
    entry = next(one for one in changed["entries"] if one["label"] == "ours")
    path = board_file.parent / entry["rows"]["path"]
    results = read_rows(path)
    change(results)
    write_rows(path, results)
    entry["rows"]["digest"] = file_digest(path)
    if cover:
        entry["rows"] = rows_entry("ours", read_rows(path), board_file, "text", sha256=file_digest(path))
        entry["metrics"] = metrics(read_rows(path))
        for name, sha in entry["rows"]["questions"].items():
            changed["protocols"][name]["questions"] = sha
            for one in changed["entries"]:
                one["rows"]["questions"][name] = sha
    write_board(board_file, changed)
    return said(verify(board_file))


def spoil(board_file: Path, board: Any, change: Callable[[Any], None]) -> list[str]:
    changed = copy.deepcopy(board)
    change(changed)
    board_file.write_text(json.dumps(changed), encoding="utf-8")
    return said(verify(board_file))


def test_what_is_exported_is_verified_against_its_suite(exported: Path) -> None:
    found = verify(exported)
    assert found.faults == ()
    assert found.against_suite
    (never,) = found.unchecked
    assert never.startswith("cost, conflict")
    assert "snibench reproduce" in never


# ------------------------------------------------------------------------------------- forgeries


def test_references_that_were_rewritten_to_equal_the_predictions_are_refused(board: Any, board_file: Path) -> None:
    def flatter(results: StoredRun) -> None:
        results.answers["targets"] = [[text] for text in results.answers["prediction"]]
        for name in ("exact_match", "rouge_l", "score"):
            results.answers[name] = 1.0

    (fault,) = forge(board_file, board, flatter)
    assert "have other references than the suite, the first is" in fault


def test_a_prediction_that_does_not_have_its_score_is_refused(board: Any, board_file: Path) -> None:
    def correct(results: StoredRun) -> None:
        wrong = results.answers["score"] < 1
        results.answers.loc[wrong, "prediction"] = [one[0] for one in results.answers.loc[wrong, "targets"]]

    found = forge(board_file, board, correct)
    assert any("another score than their text, the first is" in fault for fault in found)


def test_a_score_that_is_not_that_of_its_text_is_refused(board: Any, board_file: Path) -> None:
    def flatter(results: StoredRun) -> None:
        results.answers[["exact_match", "rouge_l", "score"]] = 1.0

    found = forge(board_file, board, flatter)
    assert any("answers have another exact_match than their text" in fault for fault in found)


def test_questions_that_the_suite_does_not_ask_are_refused(board: Any, board_file: Path) -> None:
    def easier(results: StoredRun) -> None:
        results.answers.loc[results.answers["protocol"] == "gap", "instance"] += "-easy"

    found = forge(board_file, board, easier)
    assert any("answers ask what the suite does not, the first is" in fault for fault in found)


def test_questions_left_out_for_all_entries_are_refused(board: Any, board_file: Path) -> None:
    changed = copy.deepcopy(board)
    for entry in changed["entries"]:  # the hard half, of every entry alike
        path = board_file.parent / entry["rows"]["path"]
        results = read_rows(path)
        hard = (results.answers["protocol"] == "gap") & (results.answers["split"] == "unseen")
        write_rows(path, StoredRun(**{**vars(results), "answers": results.answers[~hard]}))
        entry["rows"] = rows_entry(entry["label"], read_rows(path), board_file, "text", sha256=file_digest(path))
        entry["metrics"] = metrics(read_rows(path))
        changed["protocols"]["gap"]["questions"] = entry["rows"]["questions"]["gap"]
    write_board(board_file, changed)
    found = said(verify(board_file))
    assert found
    assert all("the rows lack" in fault and "questions of the suite (protocol gap, seed" in fault for fault in found)


def test_a_label_set_that_is_not_the_suites_is_refused(board: Any, board_file: Path) -> None:
    def relabel(results: StoredRun) -> None:
        closed = results.tasks["labels"].map(lambda labels: labels is not None)
        first = results.tasks.index[closed][0]
        results.tasks.at[first, "labels"] = ["one", "two"]

    (fault,) = forge(board_file, board, relabel)
    assert "the rows describe" in fault
    assert "by other labels than the suite." in fault


@pytest.mark.parametrize("field", ["chance", "metric", "category", "sources"])
def test_facts_of_a_task_are_the_suites(board: Any, board_file: Path, field: str) -> None:
    values = {"chance": 0.0, "metric": "rouge_l", "category": "Easy", "sources": ["mine"]}

    def change(results: StoredRun) -> None:
        first = results.tasks.index[results.tasks["metric"] == "exact_match"][0]
        results.tasks.at[first, field] = values[field]

    found = forge(board_file, board, change, cover=False)
    assert any(f"by other {field} than the suite" in fault for fault in found)


def test_a_prompt_that_the_suite_does_not_give_is_refused(board: Any, board_file: Path) -> None:
    def hint(results: StoredRun) -> None:
        results.answers["prompt_sha"] = "f" * 64

    (fault,) = forge(board_file, board, hint)
    assert "were asked with another prompt than the suite gives" in fault


def test_a_digest_that_is_not_that_of_the_file_is_refused(board: Any, board_file: Path) -> None:
    (fault,) = spoil(board_file, board, lambda changed: changed["entries"][0]["rows"].update(digest="0" * 64))
    assert fault.startswith("/entries/0/rows/digest differs from the digest of the rows file")


def test_another_suite_under_the_same_name_is_refused(board: Any, board_file: Path) -> None:
    (fault,) = spoil(board_file, board, lambda changed: changed["suite"].update(digest="0" * 64))
    assert fault.startswith("/suite/digest is 000000000000…, but mini under /suite/request has")


def test_a_rank_and_a_test_that_the_rows_do_not_give_are_refused(board: Any, board_file: Path) -> None:
    def promote(changed: Any) -> None:
        rows = changed["comparisons"]["unseen"]
        next(row for row in rows if row["label"] == "mtl-lora").update(rank=1.0, outcome="better")

    found = spoil(board_file, board, promote)
    assert sorted(fault.split(" is ")[0] for fault in found) == [
        "/comparisons/unseen/mtl-lora/outcome",
        "/comparisons/unseen/mtl-lora/rank",
    ]


# --------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("field", ["mean", "ci_low", "ci_high"])
def test_a_number_that_the_rows_do_not_give_is_found(board: Any, board_file: Path, field: str) -> None:
    def change(changed: Any) -> None:
        changed["entries"][1]["metrics"]["gap"]["overall"]["unseen"][field] -= 1e-6

    (fault,) = spoil(board_file, board, change)
    assert fault.startswith(f"/entries/1/metrics/gap/overall/unseen/{field} is ")
    assert "but the rows give" in fault


def test_an_invented_measure_and_a_missing_one_are_found(board: Any, board_file: Path) -> None:
    def change(changed: Any) -> None:
        overall = changed["entries"][1]["metrics"]["gap"]["overall"]
        overall["brilliance"] = overall.pop("seen")

    found = spoil(board_file, board, change)
    assert any(fault.endswith("brilliance is not in what the rows give.") for fault in found)
    assert any(fault.endswith("seen is missing, though the rows give it.") for fault in found)


def test_seeds_that_have_no_rows_are_found(board: Any, board_file: Path) -> None:
    found = spoil(board_file, board, lambda changed: changed["entries"][1].update(seeds=[0, 1, 2]))
    assert any(fault.startswith("/entries/1/seeds is [0, 1, 2], but the rows have [0, 1]") for fault in found)


def test_another_version_of_a_protocol_cannot_be_verified(board: Any, board_file: Path) -> None:
    (fault,) = spoil(board_file, board, lambda changed: changed["protocols"]["gap"].update(version=99))
    assert fault.startswith("/protocols/gap/version is 99, but version")


def test_a_board_cannot_have_code_of_a_file_run(board: Any, board_file: Path, tmp_path: Path) -> None:
    mine = tmp_path / "evil.py"
    mine.write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\nclass Evil: version = 1\n", encoding="utf-8")

    def as_suite(changed: Any) -> None:
        changed["suite"]["request"]["name"] = f"{mine}:Evil"

    def as_protocol(changed: Any) -> None:
        changed["protocols"][f"{mine}:Evil"] = changed["protocols"]["gap"]

    spoil(board_file, board, as_suite)
    assert spoil(board_file, board, as_protocol)
    assert not (tmp_path / "was-run").exists()


def test_rows_of_a_protocol_that_the_board_does_not_have_are_a_fault(board: Any, board_file: Path) -> None:
    def change(results: StoredRun) -> None:
        results.answers["protocol"] = "nothing-installed"

    assert forge(board_file, board, change, cover=False)


def test_rows_with_text_for_numbers_are_a_fault_and_no_traceback(board: Any, board_file: Path) -> None:
    path = board_file.parent / board["entries"][1]["rows"]["path"]
    table = pq.read_table(path)
    scores = table.column_names.index("score")
    pq.write_table(table.set_column(scores, "score", [["x"] * len(table)]), path)
    found = spoil(board_file, board, lambda changed: changed["entries"][1]["rows"].update(digest=file_digest(path)))
    assert any("/entries/1/rows the rows cannot be measured" in fault for fault in found)


def test_a_board_that_is_not_valid_is_not_measured(board_file: Path) -> None:
    board_file.write_text("{}", encoding="utf-8")
    assert "lacks the field" in verify(board_file).faults[0].reason
