"""``--distributed 2``: one fit in two processes, from the command to the record."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file

from snibench.store import load_results

pytestmark = pytest.mark.slow

METHODS = """
import os

import torch.distributed as dist
from snibench.methods.lora import Lora


class Broken(Lora):
    def losses(self, model, batch):
        if dist.is_initialized() and dist.get_rank() == 1:
            raise KeyError("no such layer")
        return super().losses(model, batch)


class Lethal(Lora):
    def losses(self, model, batch):
        if dist.is_initialized() and dist.get_rank() == 1:
            os.kill(os.getpid(), 9)
        return super().losses(model, batch)
"""
RUN = ["--seeds", "0", "--protocol", "gap", "--no-baseline", "--executor", "inline"]


@pytest.fixture
def methods(tmp_path: Path) -> Path:
    file = tmp_path / "methods.py"
    file.write_text(METHODS, encoding="utf-8")
    return file


def test_two_processes_give_the_fit_of_one_and_an_error_in_either_is_the_fits(
    snibench, measured, methods, tmp_path
) -> None:
    options = [*RUN, *measured, "--optimizer", "sgd"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert snibench("run", "-m", "lora+pcgrad", *options, "-o", one).code == 0
    ended = snibench("run", "-m", "lora+pcgrad", "-m", f"{methods}:Broken", *options, "--distributed", "2", "-o", two)
    assert ended.code == 1

    (alone,), (together, broken) = load_results(one).records, load_results(two).records
    assert (alone.fit, alone.processes, together.processes) == (together.fit, 1, 2)
    assert "tuned by 2 processes" in together.notes
    assert together.conflict["1.0"]["score"] == pytest.approx(alone.conflict["1.0"]["score"], abs=1e-3)
    stored = [load_file(folder / alone.fit / "adapter" / "adapter_model.safetensors") for folder in (one, two)]
    for name, value in stored[0].items():
        assert (stored[1][name] - value).norm() <= 1e-4 * value.norm() + 1e-7, name
    assert len(load_results(two).answers) == len(load_results(one).answers) > 0

    assert (broken.status, broken.stage) == ("failed", "tune")
    assert broken.cause.startswith("KeyError: 'no such layer'")
    assert "In process 1 of 2:" in (two / broken.fit / "error.log").read_text(encoding="utf-8")


def test_a_process_that_is_killed_ends_the_run_with_a_sentence_and_the_command_goes_on(
    snibench, small, methods, tmp_path
) -> None:
    command = ["run", "-m", f"{methods}:Lethal", *RUN, *small, "-o", tmp_path / "runs"]
    ended = snibench(*command, "--distributed", "2")
    assert ended.code == 1
    assert "Process 1 of the 2 of this fit was killed by SIGKILL (out of memory?)" in ended.err
    assert snibench(*command).code == 0


def test_it_is_started_once_and_not_by_a_launcher(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    command = [sys.executable, "-m", "snibench", "run", "-m", "lora", "-o", str(tmp_path / "runs")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "one of 4 processes of a launcher such as torchrun" in ended.stderr
    assert not (tmp_path / "runs").exists()
