"""Modes of the protocols that need fits of their own, end to end."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from snibench.store import load_results

SMALL = shlex.split("--tasks 8 --steps 2 --per-step 3,2 --limit 1 --max-output 3 --conflict off --seeds 0")
PAIR = "mine=Sentiment Analysis/Text Categorization,Text Matching"
MODES = ["--protocol", "gap", "--gap", "crossfit", "--protocol", "combos", "--combos", "train-lite", "--pair", PAIR]


@pytest.mark.slow
def test_folds_and_mixtures_are_fitted_once_and_reported(snibench: Any, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    command = ["run", "-m", "lora", "-m", "untuned", "--no-baseline", *MODES, *SMALL, "-o", runs]
    first = snibench(*command, "--json", tmp_path / "all.json")
    assert first.code == 0, first.err
    results = load_results(runs)
    mixtures = [set(spec.mixture.tasks) for spec in results.specs if spec.method == "lora"]
    assert len(mixtures) == 5  # two folds; both sides together, and each alone
    seen = set(results.tasks.loc[results.tasks["seen"], "task"])
    assert mixtures[0] | mixtures[1] == seen
    assert not mixtures[0] & mixtures[1]
    assert mixtures[2] == mixtures[3] | mixtures[4]
    for _, rows in results.answers.groupby("fit"):
        spec = next(spec for spec in results.specs if spec.id == rows["fit"].iloc[0])
        if spec.method == "lora":
            assert (rows["seen"] == rows["task"].isin(spec.mixture.tasks)).all()
    tables = json.loads((tmp_path / "all.json").read_text("utf-8"))["tables"]
    assert {"gap_crossfit", "combo_training", "combo_interference", "combo_training_tasks"} <= set(tables)
    untuned = {row["method"]: row for row in tables["gap_crossfit"]["rows"]}["untuned"]
    assert untuned["gap"] == 0.0

    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*.parquet")}
    assert snibench(*command).code == 0
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*.parquet")} == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--combos", "trian"], "Unknown mode of combos 'trian'. Did you mean 'train'?"),
        (["--gap", "cross"], "Unknown mode of gap 'cross'. Did you mean 'crossfit'?"),
        (["--pair", "mine=Sentiment Analysis"], "A pair of task families is NAME=A,.../B,..."),
        (["--pair", "mine=Sentiment Analysis/Text Categorisation"], "Did you mean 'Text Categorization'?"),
        (["--pair", "mine=Text Matching/mini601_market_same"], "'mini601_market_same' on both sides"),
        (["--formats", "surfaces-*"], "Unknown format 'surfaces-*'"),
    ],
)
def test_a_mode_or_pair_that_cannot_be_is_one_clear_sentence(
    snibench: Any, tmp_path: Path, options: list[str], words: str
) -> None:
    ended = snibench("run", "-m", "lora", *options, "--dry-run", "-o", tmp_path)
    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_modes_and_pairs_may_stand_in_a_file_and_formats_be_a_pattern(snibench: Any, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        f'pair = ["{PAIR}"]\ncombos = "train-lite"\nformats = "t?_def*"\nprotocol = ["formats", "combos"]\n'
    )
    shown = snibench("run", "-m", "lora", "--no-baseline", "--config", config, *SMALL, "--dry-run")
    assert shown.code == 0, shown.err
    assert "4 fits: lora" in shown.out  # one for formats, three for the pair
    assert "formats 60" in shown.out  # six official encodings x 10 tasks
