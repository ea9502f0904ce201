"""A fit in two processes: the update of one process, whatever a method or rule asks for, and errors that both raise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from snibench.engine.distributed import Distributed
from snibench.engine.ranks import OneProcess
from snibench.engine.tuning import Trainer
from tests.engine.two_ranks import CASES, all_tuned, trainer_for, tuned

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Outcome:
    trainers: dict[str, Trainer]
    raised: dict[str, Exception]
    raised_there: str


@pytest.fixture(scope="module")
def outcome(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """All cases, in this process and another."""
    folder = tmp_path_factory.mktemp("ranks")
    root = Path(__file__).parents[2]
    other = subprocess.Popen([sys.executable, "-m", "tests.engine.two_ranks", llama_folder, folder], cwd=root)
    try:
        ranks = Distributed(0, 2, torch.device("cpu"), folder / "meeting")
        trainers, raised = all_tuned(llama_folder, folder, ranks)
        assert other.wait(600) == 0
        ranks.leave()
        yield Outcome(trainers, raised, (folder / "raised").read_text(encoding="utf-8"))
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("name", CASES)
def test_two_processes_tune_as_one_does(name: str, outcome: Outcome, llama_folder: Path, tmp_path: Path) -> None:
    two = outcome.trainers[name]
    start = trainer_for(CASES[name], llama_folder).named
    one = tuned(CASES[name], llama_folder, tmp_path / "c.safetensors", OneProcess())
    moved = sum(float((one.named[key] - value).detach().norm()) for key, value in start.items())
    assert moved > 1e-3
    for key, value in one.named.items():
        torch.testing.assert_close(two.named[key], value, rtol=1e-4, atol=1e-6)
    for expected, row in zip(one.progress.trace, two.progress.trace, strict=True):
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert row["gradient_norm"] == pytest.approx(expected["gradient_norm"], rel=1e-4)
        if CASES[name].tokens < 1000:
            assert row["tokens"] == expected["tokens"]


def test_both_go_on_with_smaller_micro_batches_where_one_runs_out_of_memory(outcome: Outcome) -> None:
    notes = outcome.trainers["out of memory in one of them"].progress.notes
    assert "out of memory at step 1: 1 tasks at once" in notes


def test_an_error_of_one_process_is_raised_in_both_with_its_traceback(outcome: Outcome) -> None:
    error = outcome.raised["Broken"]
    assert isinstance(error, KeyError)
    assert error.args == ("no such layer",)
    assert "In process 1 of 2:" in error.__notes__[0]
    assert 'raise KeyError("no such layer")' in error.__notes__[0]
    assert "KeyError('no such layer')" in outcome.raised_there


def test_processes_whose_parameters_come_apart_are_found_out(outcome: Outcome) -> None:
    assert "2 processes of this fit ended with different parameters" in str(outcome.raised["Drifting"])
