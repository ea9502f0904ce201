"""Fits side by side: the rows of one process, one worker's death, and an interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from snibench.store import load_results

pytestmark = pytest.mark.slow

RUN = ["run", "-m", "lora", "--seeds", "0,1", "--conflict", "off", "--protocol", "gap", "--no-baseline"]
LETHAL = """
import os
from snibench.methods.lora import Lora


class Lethal(Lora):
    def losses(self, model, batch):
        os.kill(os.getpid(), 9)
"""


def rows(folder: Path) -> pd.DataFrame:
    answers = load_results(folder).answers.sort_values(["fit", "task", "instance"])
    return answers[["fit", "task", "instance", "prediction"]].reset_index(drop=True)


def test_rows_and_losses_do_not_depend_on_the_number_of_jobs(snibench, small, tmp_path) -> None:
    for jobs, name in ((1, "one"), (2, "two")):
        assert snibench(*RUN, *small, "--jobs", jobs, "-o", tmp_path / name).code == 0
    first = rows(tmp_path / "one")
    assert len(first["fit"].unique()) == 2
    pd.testing.assert_frame_equal(rows(tmp_path / "two"), first)
    for fit in first["fit"].unique():
        one, two = (pd.read_parquet(tmp_path / name / fit / "trace.parquet") for name in ("one", "two"))
        assert one["loss"].tolist() == two["loss"].tolist()
    records = load_results(tmp_path / "two").records
    assert {record.device.split(", ")[1] for record in records} == {"1 threads"}
    assert not [note for record in records for note in record.notes if "changed the process" in note]


def test_a_worker_that_dies_takes_its_fit_alone(snibench, small, tmp_path) -> None:
    file = tmp_path / "lethal.py"
    file.write_text(LETHAL, encoding="utf-8")
    seeds = ["--seeds", "0"]
    command = [*RUN[:1], "-m", f"{file}:Lethal", *RUN[1:], *small, *seeds, "--jobs", "1", "-o", tmp_path / "runs"]
    outcome = snibench(*command)
    assert outcome.code == 1
    assert "its process was killed by SIGKILL (out of memory?)" in outcome.out
    results = load_results(tmp_path / "runs")
    status = {
        (spec.label, spec.seed): record.status for spec, record in zip(results.specs, results.records, strict=True)
    }
    assert status == {("lora", 0): "done", (f"{file}:Lethal", 0): "interrupted"}
    again = snibench(*command)  # what died is tried again, what is done is not
    assert "Lethal seed 0: its process was killed by SIGKILL" in again.out
    assert "lora seed 0:" not in again.out


def test_an_interruption_saves_the_state_of_every_worker(tmp_path) -> None:
    command = [sys.executable, "-m", "snibench", *RUN, "--tasks", "8", "--limit", "1", "--steps", "1000", "--jobs", "2"]
    process = subprocess.Popen([*command, "-o", tmp_path], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lines = iter(process.stdout)  # type: ignore[arg-type]  # it is a pipe
    begun: set[str] = set()
    while len(begun) < 2:
        line = next(lines)
        begun |= {line.split(":")[0]} if ": step " in line else set()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the state is saved" in err
    assert "Traceback" not in out + err
    assert len(list(tmp_path.glob("*/checkpoint.safetensors"))) == 2


def test_workers_end_with_a_run_that_is_killed(tmp_path) -> None:
    command = [sys.executable, "-m", "snibench", *RUN, "--tasks", "8", "--limit", "1", "--steps", "1000", "--jobs", "1"]
    process = subprocess.Popen([*command, "-o", tmp_path], stdout=subprocess.PIPE, text=True)
    while ": step " not in next(iter(process.stdout)):  # type: ignore[arg-type]  # it is a pipe
        pass
    psutil = pytest.importorskip("psutil")
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 60
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in workers):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_jobs_and_the_inline_executor_exclude_each_other(snibench, small, tmp_path) -> None:
    outcome = snibench(*RUN, *small, "--executor", "inline", "--jobs", "2", "-o", tmp_path)
    assert outcome.code == 2
    assert "--jobs is for fits side by side" in outcome.err
