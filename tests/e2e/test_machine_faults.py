"""Faults of the machine: a sentence, nothing sealed as a method's failure, and the same command goes on."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("torch")

from snibench.fits.context import Runtime
from snibench.store import load_results, writing

TINY = [
    *("--no-baseline", "--protocol", "gap", "--seeds", "0", "--tasks", "4", "--steps", "2", "--per-step", "2,2"),
    *("--limit", "1", "--max-output", "4", "--conflict", "ends", "--executor", "inline"),
]
# One file of each stage: planning, tuning, measuring, answering, scoring, sealing.
WRITTEN = (
    "manifest.json",
    "checkpoint.safetensors",
    "adapter",
    "0.0.parquet",
    "00000.parquet",
    "answers",
    "record.json",
)


@pytest.fixture(autouse=True)
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step."""
    monkeypatch.setattr("snibench.fits.run.Runtime", partial(Runtime, checkpoint_seconds=0.0))


def rows(runs: Path) -> str:
    return str(load_results(runs).answers.sort_values(["task", "instance"]).to_json(orient="records"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    from snibench.cli import main

    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", "lora", *TINY, "-o", str(folder)])
    assert not ended.value.code
    return rows(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number"), [*((name, errno.ENOSPC) for name in WRITTEN), ("tuned.json", errno.EROFS)])
def test_the_same_command_goes_on_once_a_disk_takes_files_again(
    name, number, snibench, undisturbed, monkeypatch, tmp_path
) -> None:
    real = writing.flush

    def refuse(path: Path) -> None:
        if name in path.parts or path.parent.name == name or (name == "answers" and path.name.startswith("gap-")):
            raise OSError(number, os.strerror(number))
        real(path)

    with monkeypatch.context() as broken:
        broken.setattr(writing, "flush", refuse)
        ended = snibench("run", "-m", "lora", *TINY, "-o", tmp_path)
    assert ended.code == 2, ended
    assert ended.err.startswith("Error: '")
    assert ended.err.count("\n") == 1
    assert f"cannot be written ({os.strerror(number)})" in ended.err
    assert not list(tmp_path.glob("*/record.json"))
    assert not list(tmp_path.rglob(".tmp.*"))
    again = snibench("run", "-m", "lora", *TINY, "-o", tmp_path)
    assert again.code == 0, again.err
    assert rows(tmp_path) == undisturbed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems are for root to mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full_is_a_sentence_whichever_library_writes(small_disk) -> None:
    import numpy as np
    import pandas as pd
    import torch
    from safetensors.torch import save_file

    from snibench.base.errors import StoreError

    writers = {
        "weights": lambda new: save_file({"a": torch.zeros(10**6)}, new),
        "frame": lambda new: pd.DataFrame({"a": np.random.default_rng(0).random(10**6)}).to_parquet(new),
        "text": lambda new: new.write_text("x" * 10**7),
    }
    for name, write in writers.items():
        with pytest.raises(StoreError) as refused:
            writing.write_whole(small_disk / name, write)
        assert "No space left on device" in str(refused.value), name
    assert list(small_disk.iterdir()) == []


@pytest.mark.slow
def test_a_run_on_a_disk_that_fills_up_goes_on_when_there_is_room(snibench, undisturbed, small_disk) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 600_000)
    ended = snibench("run", "-m", "lora", *TINY, "-o", small_disk / "runs")
    assert ended.code == 2
    assert "No space left on device" in ended.err
    assert ended.err.count("\n") == 1
    assert not list(small_disk.glob("runs/*/record.json"))
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert snibench("run", "-m", "lora", *TINY, "-o", small_disk / "runs").code == 0
    assert rows(small_disk / "runs") == undisturbed


def test_a_folder_that_takes_no_files_is_refused_before_any_work(snibench, small_disk) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    ended = snibench("run", "-m", "lora", *TINY, "-o", small_disk / "runs")
    assert ended.code == 2
    assert "cannot be written (Read-only file system). Name another with -o DIR." in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_costs_a_sentence_and_no_run(
    snibench, undisturbed, monkeypatch, tmp_path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SNIBENCH_HOME", str(tmp_path / "file" / "cache"))
    ended = snibench("run", "-m", "lora", *TINY, "-o", tmp_path / "runs")
    assert ended.code == 0, ended.err
    assert "This model is checked again in every run: " in ended.out
    assert "SNIBENCH_HOME" in ended.out
    assert rows(tmp_path / "runs") == undisturbed


@pytest.mark.slow
def test_an_output_that_is_closed_is_no_failure_of_a_method(undisturbed, tmp_path) -> None:
    import sys

    command = [sys.executable, "-m", "snibench", "run", "-m", "lora", *TINY, "-o", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        if "tuning" in line:
            break
    process.stdout.close()
    with process.stderr as said:
        said.read()
    process.wait()
    assert process.returncode != 0
    assert not list(tmp_path.glob("*/record.json"))
    assert not list(tmp_path.glob("*/error.log"))


@pytest.mark.slow
def test_a_clock_that_goes_backwards_changes_no_number(snibench, undisturbed, tmp_path, monkeypatch) -> None:
    before, calls = time.time(), itertools.count()
    monkeypatch.setattr(time, "time", lambda: before - 3600.0 * next(calls))
    ended = snibench("run", "-m", "lora", *TINY, "-o", tmp_path)
    assert ended.code == 0, ended.err
    assert rows(tmp_path) == undisturbed
    assert all(record.seconds >= 0 for record in load_results(tmp_path).records)
    assert snibench("verify", tmp_path).code == 0
