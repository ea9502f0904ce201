"""Listing is quick because it imports little: proved by what is imported, not by the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stored_specs import LORA

from snibench.base.types import FitRecord
from snibench.cli import COMMANDS
from snibench.store import Store

HEAVY = ["torch", "transformers", "peft", "datasets", "pandas", "scipy", "numpy", "pyarrow", "matplotlib"]
PROBE = f"""
import json, sys
from snibench.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(json.dumps([end.code or 0, sorted(name for name in {HEAVY} if name in sys.modules)]), file=sys.stderr)
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    store = Store(tmp_path)
    store.begin(LORA)
    store.seal(FitRecord.of(LORA, "done"))
    return tmp_path


def test_help_and_lists_import_nothing_heavy(runs: Path) -> None:
    commands = [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS), ["show", "lora"], ["show", "mean"]]
    commands += [["ls", "methods"], ["ls", "rules", "--json"], ["ls", "runs", "-o", str(runs)]]
    for command in commands:
        done = subprocess.run([sys.executable, "-c", PROBE, *command], capture_output=True, text=True, check=True)
        assert done.stdout, command
        code, heavy = json.loads(done.stderr.splitlines()[-1])
        assert code == 0, (command, done.stderr)
        assert heavy == [], command


def started(*arguments: str) -> tuple[int, str, list[str]]:
    """Exit code of a fresh process, what it printed, and the heavy packages that it imported."""
    command = [sys.executable, "-c", PROBE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *said, last = done.stderr.splitlines()
    code, heavy = json.loads(last)
    return code, done.stdout + "\n".join(said), heavy


DEEP = {"torch", "transformers", "peft", "datasets"}


@pytest.mark.parametrize(
    "arguments",
    [["-m", "ours"], ["-m", "soft-prompt", "-m", "mixlora", "--rule", "cagrad"], ["-m", "lora", "--device", "cuda"]],
)
def test_a_plan_needs_no_torch(arguments: list[str], tmp_path: Path) -> None:
    code, said, heavy = started("run", *arguments, "--dry-run", "-o", str(tmp_path))
    assert code == 0, said
    assert "Suite mini" in said
    assert not DEEP.intersection(heavy)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "ours", "--set", "joint=false"], "needs joint=true"),
        (["-m", "ours", "--set", "projecton=false"], "'projection'"),
        (["-m", "lora", "--rule", "gradvac", "--set", "beta=two"], "must be a number"),
        (["-m", "ours", "--set", "gap.modes=all"], "crossfit"),
        (["-m", "ours", "--formats", "definition,templat"], "'template'"),
        (["-m", "ours", "--categories", "sentiment"], "'Sentiment Analysis'"),
        (["-m", "ours", "--data", "nowhere"], "nowhere"),
        (["-m", "ours", "--model", "tny"], "'tiny'"),
    ],
)
def test_a_wrong_setting_is_told_without_torch(arguments: list[str], words: str, tmp_path: Path) -> None:
    code, said, heavy = started("run", *arguments, "-o", str(tmp_path))
    assert code == 2
    assert words in said
    assert not DEEP.intersection(heavy)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "typo"], "Unknown method"),
        (["-m", "ours", "--rule", "pcgard"], "Unknown rule"),
        (["-m", "ours", "--protocol", "gaps", "--dry-run"], "Unknown protocol"),
        (["-m", "ours", "--batch-size", "none"], "--batch-size"),
        (["-m", "ours", "--executor", "inline", "--jobs", "2"], "--jobs"),
    ],
)
def test_a_wrong_name_is_told_at_once(arguments: list[str], words: str) -> None:
    code, said, heavy = started("run", *arguments)
    assert code == 2
    assert words in said
    assert heavy == []
