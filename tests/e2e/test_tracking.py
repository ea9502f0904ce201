"""Fits as runs of experiment trackers: what is logged, that nothing depends on it, and that a logger stops no run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from snibench.store import load_results

RUN = ["run", "-m", "lora", "--protocol", "gap", "--no-baseline", "--tasks", "4", "--steps", "3", "--limit", "1"]
RUN += ["--max-output", "4", "--per-step", "2,2"]
# What accelerate calls of the package, written to a file; and it draws from everybody's generators.
WANDB = """
import json, os, random
import numpy, torch


class Run:
    def __init__(self, **about):
        self.say("init", about)

    def say(self, event, values, step=None):
        random.random(), numpy.random.random(), torch.rand(1)
        with open(os.environ["FAKE_WANDB"], "a") as file:
            file.write(json.dumps([event, values, step]) + "\\n")

    def log(self, values, step=None):
        if os.environ.get("FAKE_WANDB_FAILS"):
            raise ConnectionError("the server is gone")
        self.say("log", values, step)

    def finish(self):
        self.say("finish", {})


def init(**about):
    global config
    run = Run(**about)
    config = Config(run)
    return run


class Config:
    def __init__(self, run):
        self.run = run

    def update(self, values, **options):
        self.run.say("config", values)
"""


@pytest.fixture
def wandb(install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of that name; the file that it writes to."""
    install("wandb", {}, {"wandb.py": WANDB})
    monkeypatch.setenv("FAKE_WANDB", str(tmp_path / "log.jsonl"))
    return tmp_path / "log.jsonl"


def said(file: Path) -> list[tuple[str, dict[str, object], int | None]]:
    return [tuple(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_steps_and_scores_are_logged_and_no_number_depends_on_it(snibench, wandb: Path, tmp_path: Path) -> None:
    for folder, options in (("with", ["--report-to", "wandb"]), ("without", [])):
        ended = snibench(*RUN, "--seeds", "0", "--executor", "inline", *options, "-o", tmp_path / folder)
        assert ended.code == 0, ended
    events = said(wandb)
    assert Counter(event for event, _, _ in events) == {"init": 1, "config": 1, "log": 4, "finish": 1}
    about = dict(events[0][1])
    assert (about["project"], about["name"], about["group"]) == ("snibench", "lora seed 0", "with")
    config = events[1][1]
    assert (config["steps"], config["method"], config["suite"]) == (3, "lora", "mini")
    steps = [(values, step) for event, values, step in events if event == "log"]
    results, other = load_results(tmp_path / "with"), load_results(tmp_path / "without")
    (trace,) = results.frames(results.specs[0].id, "trace.parquet").values()
    assert [(values["train/loss"], step) for values, step in steps[:3]] == list(
        zip(trace["loss"], (1, 2, 3), strict=True)
    )
    unseen = results.answers[~results.answers["seen"]].groupby("task")["score"].mean().mean()
    assert steps[3][0]["score/gap/unseen"] == pytest.approx(unseen)
    pd.testing.assert_frame_equal(results.answers, other.answers)
    (plain,) = other.frames(other.specs[0].id, "trace.parquet").values()
    assert plain["loss"].tolist() == trace["loss"].tolist()
    assert results.records[0].notes == other.records[0].notes


@pytest.mark.slow
def test_a_logger_that_fails_in_every_worker_is_said_once_and_stops_nothing(
    snibench, wandb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_WANDB_FAILS", "1")
    options = ["--seeds", "0-2", "--jobs", "2", "--report-to", "wandb"]
    ended = snibench(*RUN, *options, "-o", tmp_path / "runs")
    assert ended.code == 0, ended
    assert ended.out.count("--report-to wandb failed (the server is gone); the run goes on without it.") == 1
    assert Counter(event for event, _, _ in said(wandb)) == {"init": 2, "config": 2}  # each worker tried once
    assert [record.status for record in load_results(tmp_path / "runs").records] == ["done"] * 3


def test_a_tensorboard_reader_finds_losses_and_scores(snibench, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    ended = snibench(
        *RUN, "--seeds", "0", "--executor", "inline", "--conflict", "off", "--report-to", "tensorboard", "-o", tmp_path
    )
    assert ended.code == 0, ended
    (folder,) = (tmp_path / "logs").iterdir()
    assert folder.name.startswith("lora-seed0-")
    reader = EventAccumulator(str(folder))
    reader.Reload()
    assert [event.step for event in reader.Scalars("train/loss")] == [1, 2, 3]
    assert len(reader.Scalars("score/gap/unseen")) == 1
