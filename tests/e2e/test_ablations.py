"""Ablations in one command, and reports over several commands in one folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

TINY = shlex.split("--protocol gap --tasks 8 --steps 2 --per-step 3,2 --limit 1 --max-output 4 --conflict off")


@pytest.mark.slow
def test_each_part_is_left_out_once_and_other_runs_of_the_folder_join_the_report(snibench, tmp_path: Path) -> None:
    runs, file = tmp_path / "runs", tmp_path / "all.json"
    first = snibench("run", "-m", "lora", "--seeds", "0", *TINY, "-o", runs)
    assert first.code == 0
    done = snibench("run", "-m", "ours", "--ablate", "--no-baseline", "--seeds", "0", *TINY, "-o", runs, "--json", file)
    assert done.code == 0
    own = json.loads(file.read_text(encoding="utf-8"))["tables"]
    parts = {row["part"] for row in own["parts"]["rows"]}
    assert parts == {"joint, similarity", "similarity", "projection", "dynamic_weights"}
    assert "unified-prompt" not in {row["method"] for row in own["summary"]["rows"]}

    label = "ours(projection=false)"
    assert snibench("compare", label, "lora", runs).code == 0  # lora was shown as unified-prompt by the first run
    chosen = snibench("report", runs, "-m", "ours", "-m", label, "--baseline", "lora", "--json", file)
    assert chosen.code == 0
    rows = json.loads(file.read_text(encoding="utf-8"))["tables"]["summary"]["rows"]
    assert [row["method"] for row in rows][-3:] == ["unified-prompt", "ours", label]
    assert "From earlier runs in this folder" in chosen.out
    again = snibench("run", "-m", label, "--no-baseline", "--seeds", "0", *TINY, "-o", runs)
    assert "seed 0: tuning" in done.out
    assert "seed 0: tuning" not in again.out  # the label of a table is a name, and finds its fit
