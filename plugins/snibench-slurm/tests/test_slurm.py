"""Fits as jobs of submitit's local cluster: the rows of one process, a job that dies, an interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from snibench_slurm import Settings, Slurm
from snibench_slurm.worker import messages

from snibench.api import Board, FitRecord, UsageError, Work
from snibench.base.settings import with_texts
from snibench.testing import check_executor

RUN = ["run", "-m", "lora", "--no-baseline", "--seeds", "0,1", "--tasks", "8", "--limit", "2", "--max-output", "6"]
RUN += ["--steps", "6", "--protocol", "gap", "--conflict", "off"]


def local(**settings: Any) -> Slurm:
    return Slurm(Settings(cluster="local", **settings))


def snibench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snibench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_it_keeps_the_contract() -> None:
    check_executor(local)


@pytest.mark.parametrize("settings", [{"cluster": "pbs"}, {"hours": "0"}, {"cpus": "-1"}, {"retries": "x"}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        with_texts(Settings(), "slurm", settings)


def test_its_rows_are_those_of_one_process(tmp_path: Path) -> None:
    from snibench.store import load_results

    rows = {}
    for name, executor in (("inline", ["inline"]), ("jobs", ["slurm(cluster=local)", "--jobs", 2])):
        done = snibench(*RUN, "--executor", *executor, "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
        answers = load_results(tmp_path / name).answers.sort_values(["fit", "task", "instance"])
        rows[name] = answers[["fit", "task", "instance", "prediction"]].to_json(orient="records")
    assert rows["jobs"] == rows["inline"]
    assert not (tmp_path / "jobs" / ".slurm").exists()


DEADLY = """
import os, signal
from pathlib import Path
from typing import Any
from snibench.api import FitRecord, Job, Work

class Deadly(Work):
    device, threads, requested_jobs, timeout = "cpu", 1, None, None

    def __init__(self, folder, times):
        self.folder, self.times, self.jobs = str(folder), times, [Job(0, "deadly", 0, 1)]

    def on(self, device):
        return self

    def run(self, number, say):
        tries = Path(self.folder) / "tries"
        with tries.open("a") as file:
            file.write("x")
        if len(tries.read_text()) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return FitRecord("0", "deadly", "deadly", "", 0, "done")
"""


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Work]:
    """Work of one job, which dies for the first ``times`` times."""
    (tmp_path / "deadly.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "deadly", raising=False)
    work_type = import_module("deadly").Deadly
    return lambda times: work_type(tmp_path, times)


class Kept(Board):
    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def started(self, number: int) -> None:
        self.events.append(("started",))

    def said(self, number: int, event: str, *values: object) -> None:
        self.events.append(("said", event))

    def ended(self, number: int, record: FitRecord) -> None:
        self.events.append(("ended", record.status))

    def lost(self, number: int, cause: str, *, failed: bool = False) -> None:
        self.events.append(("lost", cause))


def test_a_job_that_dies_is_submitted_again(deadly) -> None:
    board = Kept()
    local(retries=1).run(deadly(1), board)
    assert board.events == [("started",), ("started",), ("ended", "done")]


def test_a_job_that_dies_every_time_is_lost_and_said(deadly) -> None:
    board = Kept()
    local(retries=0).run(deadly(9), board)
    assert [event for event, *_ in board.events] == ["started", "lost"]
    assert "its job died 1 times" in str(board.events[-1][1])


def test_ctrl_c_saves_the_state_of_every_job(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snibench", *RUN, "--steps", "2000", "--executor", "slurm(cluster=local)"]
    process = subprocess.Popen(
        [*command, "-o", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    begun: set[str] = set()
    for line in process.stdout:
        begun |= {line.split(":")[0]} if ": step " in line else set()
        if len(begun) == 2:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "the state is saved" in said
    assert len(list(tmp_path.glob("*/checkpoint.safetensors"))) == 2


def test_half_a_message_is_read_when_it_is_whole(tmp_path: Path) -> None:
    line = json.dumps(["on_stage", ["tuning"]]).encode() + b"\n"
    file = tmp_path / "3.said"
    assert messages(tmp_path, 3, 0) == ([], 0)
    file.write_bytes(line + line[:9])
    assert messages(tmp_path, 3, 0) == ([("on_stage", ["tuning"])], len(line))
    file.write_bytes(line + line)
    assert messages(tmp_path, 3, len(line)) == ([("on_stage", ["tuning"])], 2 * len(line))
