"""What a board names is never loaded from a file: its code would be run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from snibench.base.errors import SnibenchError, UsageError
from snibench.base.hashing import file_digest
from snibench.base.registry import METRICS, PROTOCOLS, installed_names
from snibench.leaderboard.export import write_board
from snibench.leaderboard.merge import merge
from snibench.leaderboard.rows import read_rows, write_rows
from snibench.leaderboard.verify import verify
from snibench.store import StoredRun

MINE = """
from snibench.api import Metric


class Mine(Metric):
    def score(self, prediction, references):
        return 1.0
"""


def of_protocol(results: StoredRun, name: str) -> None:
    results.answers["protocol"] = name


def in_format(results: StoredRun, name: str) -> None:
    results.answers["format"] = name


def by_metric(results: StoredRun, name: str) -> None:
    results.tasks["metric"] = name


@pytest.mark.parametrize("change", [of_protocol, in_format, by_metric])
def test_a_file_that_rows_name_is_not_run(
    change: Callable[[StoredRun, str], None], board: Any, board_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n\n\nclass Trap:\n    pass\n", "utf-8")
    forged = copy.deepcopy(board)
    forged["suite"]["request"]["name"] = "gone"  # else the questions of the suite already give it away
    entry = next(one for one in forged["entries"] if one["label"] == "ours")
    path = board_file.parent / entry["rows"]["path"]
    results = read_rows(path)
    change(results, f"{tmp_path / 'trap.py'}:Trap")
    write_rows(path, results)
    entry["rows"]["digest"] = file_digest(path)
    write_board(board_file, forged)
    assert verify(board_file).faults
    with suppress(SnibenchError):
        merge([board_file, board_file], tmp_path / "joint.json")
    assert not (tmp_path / "sprung").exists()


def test_a_file_is_loaded_where_a_user_names_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE, "utf-8")
    name = f"{tmp_path}/mine.py:Mine"
    assert METRICS.get(name)().score("", []) == 1.0
    with installed_names():
        for named in (name, f"{tmp_path}/mine.py"):
            with pytest.raises(UsageError, match="is a file; of a board only installed names are loaded"):
                METRICS.get(named)
        assert PROTOCOLS.get("gap")
    assert METRICS.get(name)
