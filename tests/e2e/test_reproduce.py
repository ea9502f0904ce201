"""``snibench reproduce``: a stored fit, and an entry of a board, run again and compared item by item."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from snibench.cli import main

OPTIONS = shlex.split("--tasks 8 --steps 4 --per-step 3,2 --limit 2 --max-output 4 --seeds 0 --no-baseline")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduce") / "runs"
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", "ours", "--protocol", "gap", "--executor", "inline", *OPTIONS, "-o", str(folder)])
    assert not ended.value.code
    return folder


@pytest.mark.slow
def test_a_stored_fit_is_reproduced_bit_by_bit_and_a_changed_one_is_not(snibench, stored, tmp_path) -> None:
    ended = snibench("reproduce", "ours", stored, "-o", tmp_path / "again", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["verdict"] == "reproduced"
    assert {item["name"]: item["verdict"] for item in found["items"]} == dict.fromkeys(
        ["weights", "losses", "forgetting", "answers of gap", "scores of gap", "conflict at 0.0", "conflict at 1.0"],
        "reproduced",
    )
    assert found["differences"] == []
    (again,) = (tmp_path / "again").glob("*/*/adapter")
    (adapter,) = stored.glob("*/adapter")
    from snibench.report.reproduction import weights_item

    file = next(again.glob("*.safetensors"))
    tensors = load_file(file)
    for scale, verdict in ((1 + 1e-5, "within noise"), (2.0, "not reproduced")):
        save_file({name: tensor * scale for name, tensor in tensors.items()}, file)
        assert weights_item(adapter, again).verdict == verdict


@pytest.mark.slow
def test_an_entry_of_a_board_is_reproduced_where_its_data_and_model_are(snibench, stored, tmp_path) -> None:
    assert snibench("leaderboard", "export", stored, "-o", tmp_path / "board.json").code == 0
    command = ["reproduce", "ours", "--board", tmp_path / "board.json", "-o", tmp_path / "again"]
    refused = snibench(*command, "--tasks", 9)
    assert refused.code == 2
    assert "The suite here has the digest" in refused.err
    ended = snibench(*command)  # the board says which tasks
    assert ended.code == 0, ended.err
    assert ended.out.startswith("Reproduced.\n")
    assert "answers of gap: reproduced" in ended.out
    assert "forgetting: reproduced" in ended.out


def test_what_cannot_be_reproduced_is_refused_in_a_sentence(snibench, tmp_path) -> None:
    for arguments, words in (
        (["x", tmp_path], "There is no run in"),
        (["x", "--board", tmp_path / "board.json"], "cannot be read"),
    ):
        ended = snibench("reproduce", *arguments)
        assert ended.code == 2
        assert words in ended.err
        assert ended.err.count("\n") == 1
