"""What ``snibench run`` says before any work, none of which needs torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from snibench.base.errors import UsageError
from snibench.base.settings import changed_settings, make_settings, parse_assignments
from snibench.base.types import Recipe
from snibench.cli import main
from snibench.plan.options import request_from


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out + captured.err


def test_without_the_extra_the_install_line_is_told(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, text = call(capsys, "run", "-m", "ours", "-o", str(tmp_path))
    assert code == 2
    assert text.strip() == "Error: snibench run needs the extra 'train'. Run: pip install 'snibench[train]'"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--method"),
        (["-m", "ours", "--seeds", "a"], "whole numbers"),
        (["-m", "ours", "--seeds", "1,1"], "each seed once"),
        (["-m", "ours", "--per-step", "8"], "8,4"),
        (["-m", "ours", "--per-step", "0,4"], "positive"),
        (["-m", "ours", "--steps", "0"], "--steps"),
        (["-m", "ours", "--conflict", "never"], "ends"),
        (["-m", "ours", "--schedule", "step"], "cosine"),
        (["-m", "ours", "--warmup", "2"], "at least 0 and at most 1"),
        (["-m", "ours", "--clip", "-1"], "at least 0"),
        (["-m", "ours", "--clip", "nan"], "no finite number"),
    ],
)
def test_a_value_that_cannot_be_is_refused(capsys, arguments, words) -> None:
    code, text = call(capsys, "run", *arguments)
    assert code == 2
    assert words in text
    assert "Traceback" not in text


def test_warm_up_and_clipping_are_the_recipes_or_refused() -> None:
    recipe = request_from(["ours"], {"warmup": 0.1, "clip": 0.0}).recipe
    assert (recipe.warmup, recipe.clip) == (0.1, 0.0)
    assert request_from(["ours"], {}).recipe == Recipe(steps=recipe.steps)
    with pytest.raises(UsageError, match="--warmup must be a finite number at least 0 and at most 1"):
        request_from(["ours"], {"warmup": 1.5})


@pytest.mark.parametrize(
    ("text", "words"), [("steps = ", "is not TOML"), ("stepps = 3", "'steps'"), (None, "cannot be read")]
)
def test_a_config_file_with_a_fault_is_named(capsys, tmp_path: Path, text: str | None, words: str) -> None:
    config = tmp_path / "run.toml"
    if text is not None:
        config.write_text(text, encoding="utf-8")
    code, told = call(capsys, "run", "-m", "ours", "--config", str(config))
    assert code == 2
    assert "run.toml" in told
    assert words in told


@dataclass(frozen=True)
class Some:
    rank: int = 8
    rate: float = 0.1
    on: bool = True
    kind: Literal["a", "b"] = "a"


def test_settings_are_read_as_their_fields_types() -> None:
    given = parse_assignments(["rank=4", "rate=1e-3", "on=no", "kind=b"])
    assert make_settings(Some, "some", given) == Some(4, 1e-3, False, "b")
    assert changed_settings(Some(rank=4)) == {"rank": 4}


@pytest.mark.parametrize(
    ("pair", "words"),
    [("rank=x", "rank must be a whole number"), ("kind=c", "one of a, b"), ("rnk=3", "'rank'"), ("rank", "KEY=VALUE")],
)
def test_a_setting_that_cannot_be_read_is_refused(pair: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_settings(Some, "some", parse_assignments([pair]))


def test_a_tracker_that_is_not_known_or_not_there_is_refused_before_any_work(capsys, monkeypatch) -> None:
    code, text = call(capsys, "run", "-m", "ours", "--report-to", "tensorbord")
    assert code == 2
    assert "Unknown tracker 'tensorbord'. Did you mean 'tensorboard'?" in text
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, text = call(capsys, "run", "-m", "ours", "--report-to", "wandb")
    assert (code, text.strip()) == (
        2,
        "Error: --report-to wandb needs the package wandb. Run: pip install wandb",
    )
