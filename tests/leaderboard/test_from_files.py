"""What a run took from files of its own: only what anybody can check stands on a board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from snibench.base.errors import UsageError
from snibench.leaderboard import export as export_module
from snibench.leaderboard.export import export
from snibench.leaderboard.from_files import without_files
from snibench.leaderboard.merge import merge
from snibench.leaderboard.validate import read_board
from snibench.leaderboard.verify import verify
from snibench.store import StoredRun

Make = Callable[..., StoredRun]
NAME = "./fmt.py:Shout"


@pytest.fixture
def of_files(make: Make) -> StoredRun:
    """A run whose protocol ``formats`` has a format of a file, and a method of a file with a rule of one."""
    made = make({"unified-prompt": 0.5, "ours": 0.8}, seeds=(0,))
    answers = made.answers.copy()
    answers.loc[(answers["protocol"] == "formats") & (answers["format"] == "template"), "format"] = NAME
    specs = tuple(
        replace(one, method="./mine.py:Mine", rule="./rule.py:Rule", sampler="./s.py:S", train_format=NAME)
        if one.label == "ours"
        else one
        for one in made.specs
    )
    settings = dict(made.manifest.protocol_settings)
    compared = tuple(answers.loc[answers["protocol"] == "formats", "format"].unique())
    settings["formats"] = {**settings["formats"], "formats": compared}
    return replace(made, answers=answers, specs=specs, manifest=replace(made.manifest, protocol_settings=settings))


def test_a_format_of_a_file_costs_its_protocol_and_the_rest_is_verified(of_files: StoredRun, tmp_path: Path) -> None:
    exported = export(of_files, tmp_path)
    (note,) = exported.notes
    assert note.startswith(f"Protocol formats is left out. The format '{NAME}' is a file")
    assert "snibench plugin new format NAME" in note
    board = read_board(exported.path)
    assert set(board["protocols"]) == {"gap", "combos"}
    assert {one["label"] for one in board["entries"]} == {"unified-prompt", "ours"}
    assert {row["label"] for row in board["comparisons"]["unseen"]} == {"unified-prompt", "ours"}
    assert verify(exported.path).faults == ()


def test_a_run_that_rests_on_files_makes_no_board(of_files: StoredRun, tmp_path: Path) -> None:
    alone = of_files.answers[of_files.answers["protocol"] == "formats"]
    with pytest.raises(UsageError, match=r"is a file, which nobody else has\. Install it .*snibench plugin new format"):
        export(replace(of_files, answers=alone), tmp_path / "boards")
    assert not (tmp_path / "boards").exists()
    metrics = of_files.tasks.assign(metric="./mine.py:Mine")
    with pytest.raises(UsageError, match="snibench plugin new metric"):
        without_files(replace(of_files, tasks=metrics))


def test_a_board_with_a_format_of_a_file_is_neither_joined_nor_verified(
    of_files: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "without_files", lambda results: (results, ()))
    board = export(of_files, tmp_path / "boards").path
    assert any("snibench plugin new format NAME" in fault.reason for fault in verify(board).faults)
    with pytest.raises(UsageError, match=r"protocol formats: .* is a file.*snibench plugin new format"):
        merge([board, board], tmp_path / "joint.json")
    assert not (tmp_path / "joint.json").exists()
