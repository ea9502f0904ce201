from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from snibench.base.hashing import file_digest
from snibench.leaderboard.rows import read_rows, write_rows
from snibench.leaderboard.verify import disagreements


def rewrite(board_file: Path, board: Any, change: Any) -> list[str]:
    """Change the rows of the first entry, keep the board's digest true to them, and verify."""
    changed = copy.deepcopy(board)
    path = board_file.parent / changed["entries"][0]["rows"]["path"]
    results = read_rows(path)
    change(results.answers)
    write_rows(path, results)
    changed["entries"][0]["rows"]["digest"] = file_digest(path)
    board_file.write_text(json.dumps(changed), encoding="utf-8")
    return [str(fault) for fault in disagreements(board_file)]


@pytest.mark.parametrize("field", ["mean", "ci_low", "ci_high"])
def test_a_number_that_the_rows_do_not_give_is_found(board: Any, board_file: Path, field: str) -> None:
    changed = copy.deepcopy(board)
    changed["entries"][1]["metrics"]["gap"]["overall"]["unseen"][field] -= 1e-6
    board_file.write_text(json.dumps(changed), encoding="utf-8")
    (fault,) = disagreements(board_file)
    assert fault.pointer == f"/entries/1/metrics/gap/overall/unseen/{field}"
    assert "but the rows give" in fault.reason


def test_a_score_that_is_not_that_of_its_text_is_found(board: Any, board_file: Path) -> None:
    def flatter(answers: Any) -> None:
        answers.loc[answers["score"] == 0, ["exact_match", "rouge_l", "score"]] = 1.0

    found = rewrite(board_file, board, flatter)
    assert any("another exact_match than their text" in fault for fault in found)
    assert any("/entries/0/metrics/gap/overall/unseen/mean" in fault for fault in found)


def test_an_invented_measure_and_a_missing_one_are_found(board: Any, board_file: Path) -> None:
    changed = copy.deepcopy(board)
    overall = changed["entries"][1]["metrics"]["gap"]["overall"]
    overall["brilliance"] = overall.pop("seen")
    board_file.write_text(json.dumps(changed), encoding="utf-8")
    found = {fault.pointer: fault.reason for fault in disagreements(board_file)}
    assert "not in what the rows give" in found["/entries/1/metrics/gap/overall/brilliance"]
    assert "missing" in found["/entries/1/metrics/gap/overall/seen"]


def test_seeds_that_have_no_rows_are_found(board: Any, board_file: Path) -> None:
    changed = copy.deepcopy(board)
    changed["entries"][1]["seeds"] = [0, 1, 2]
    board_file.write_text(json.dumps(changed), encoding="utf-8")
    assert [fault.pointer for fault in disagreements(board_file)] == ["/entries/1/seeds"]


def test_another_version_of_a_protocol_cannot_be_verified(board: Any, board_file: Path) -> None:
    changed = copy.deepcopy(board)
    changed["protocols"]["gap"] = 99
    board_file.write_text(json.dumps(changed), encoding="utf-8")
    (fault,) = disagreements(board_file)
    assert fault.pointer == "/protocols/gap"


def test_rows_of_a_protocol_that_the_board_does_not_have_are_a_fault(board: Any, board_file: Path) -> None:
    def spoil(answers: Any) -> None:
        answers["protocol"] = "nothing-installed"

    assert rewrite(board_file, board, spoil)


def test_rows_with_text_for_numbers_are_a_fault_and_no_traceback(board: Any, board_file: Path) -> None:
    path = board_file.parent / board["entries"][1]["rows"]["path"]
    table = pq.read_table(path)
    scores = table.column_names.index("score")
    pq.write_table(table.set_column(scores, "score", [["x"] * len(table)]), path)
    changed = copy.deepcopy(board)
    changed["entries"][1]["rows"]["digest"] = file_digest(path)
    board_file.write_text(json.dumps(changed), encoding="utf-8")
    assert any("/entries/1/rows: the rows cannot be measured" in str(fault) for fault in disagreements(board_file))


def test_a_board_that_is_not_valid_is_not_measured(board_file: Path) -> None:
    board_file.write_text("{}", encoding="utf-8")
    assert "lacks the field" in disagreements(board_file)[0].reason
