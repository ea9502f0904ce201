"""Methods that harm their process, hang, or leave it: their record says so, and the next fit is as if it ran alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

import torch

from snibench.fits.isolation import TRAITS
from snibench.store import Store, load_results

METHODS = '''
import os, random, signal, sys, time, warnings
import numpy as np
import torch
from snibench.methods.lora import Lora


class Harmful(Lora):
    """Leaves everything that a process has as nobody wants it."""

    def for_prompts(self, model, cards, instructions):
        torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: None)
        torch.set_num_threads(2)
        torch.use_deterministic_algorithms(True)
        torch.set_flush_denormal(True)
        torch.backends.cudnn.benchmark = True
        torch.nn.functional.silu = torch.nn.functional.relu
        torch.set_float32_matmul_precision("medium")
        np.seterr(all="ignore")
        os.chdir("/")
        os.umask(0)
        os.environ["HARM"] = "done"
        sys.path.insert(0, "/nowhere")
        sys.setrecursionlimit(sys.getrecursionlimit() + 7)
        warnings.simplefilter("error")
        signal.signal(signal.SIGUSR1, lambda *_: None)
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        found = super().for_prompts(model, cards, instructions)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        raise RuntimeError("harm is done")


class Interrupting(Lora):
    """Raises what the user's Ctrl-C raises."""

    def losses(self, model, batch):
        if model.training:
            raise KeyboardInterrupt
        return super().losses(model, batch)


class Mute(BaseException):
    def __str__(self):
        raise SystemExit("not even this")


class Speechless(Lora):
    """Raises what cannot be printed, and is no Exception."""

    def losses(self, model, batch):
        if model.training:
            raise Mute
        return super().losses(model, batch)


class Hanging(Lora):
    """Never ends a step, and forgives every exception once."""

    def losses(self, model, batch):
        if model.training:
            try:
                time.sleep(600)
            except BaseException:
                time.sleep(600)
        return super().losses(model, batch)


class Stuck(Lora):
    """Hangs where Python hears of nothing."""

    def attach(self, *arguments, **named):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(600)
'''
OPTIONS = ["--no-baseline", "--protocol", "gap", "--seeds", "0", "--conflict", "off"]


@pytest.fixture
def methods(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(METHODS, encoding="utf-8")
    return tmp_path / "mine.py"


def rows(folder: Path) -> pd.DataFrame:
    answers = load_results(folder).answers
    chosen = answers[answers["method"] == "lora"].sort_values(["task", "instance", "prompt_sha"])
    return chosen[["task", "instance", "prediction"]].reset_index(drop=True)


def traced(folder: Path) -> list[float]:
    (fit,) = [spec.id for spec in load_results(folder).specs if spec.label == "lora"]
    losses: list[float] = pd.read_parquet(folder / fit / "trace.parquet")["loss"].tolist()
    return losses


def records(folder: Path) -> dict[str, object]:
    """By the method's label, without the file that it is in."""
    store, fits = Store(folder), [path.parent.name for path in folder.glob("*/spec.json")]
    return {store.spec(fit).label.rpartition(":")[2]: store.record(fit) for fit in fits}


@pytest.mark.slow
def test_the_fit_after_a_harmful_one_is_as_if_it_ran_alone(snibench, methods, small, tmp_path) -> None:
    common = [*OPTIONS, *small, "--executor", "inline"]
    assert snibench("run", "-m", "lora", *common, "-o", tmp_path / "alone").code == 0
    before = [(trait, trait.read()) for trait in TRAITS]
    filters = list(warnings.filters)
    generators = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    named = [word for name in ("Harmful", "Interrupting", "Speechless") for word in ("-m", f"{methods}:{name}")]
    assert snibench("run", *named, "-m", "lora", *common, "-o", tmp_path / "after").code == 1
    assert [trait.name for trait, value in before if trait.read() != value] == []
    assert generators == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert "HARM" not in os.environ
    assert list(warnings.filters) == filters
    assert traced(tmp_path / "after") == traced(tmp_path / "alone")
    pd.testing.assert_frame_equal(rows(tmp_path / "after"), rows(tmp_path / "alone"))
    found = records(tmp_path / "after")
    assert found["lora"].notes == records(tmp_path / "alone")["lora"].notes
    assert not any("put back" in note for note in found["lora"].notes)
    (said,) = [note for note in found["Harmful"].notes if "put back" in note]
    for name in ("default dtype", "default device", "hooks", "working directory", "functions of torch", "umask"):
        assert name in said
    assert (found["Interrupting"].status, found["Interrupting"].stage) == ("failed", "tune")
    assert found["Interrupting"].cause.startswith("KeyboardInterrupt")
    assert found["Speechless"].cause.startswith("Mute")


@pytest.mark.slow
def test_a_fit_that_hangs_fails_for_its_time_and_is_tried_again_when_asked(snibench, methods, small, tmp_path) -> None:
    command = ["run", "-m", f"{methods}:Hanging", *OPTIONS, *small, "--executor", "inline", "-o", tmp_path / "runs"]
    for further in ([], ["--overwrite", "failed"]):
        began = time.time_ns()
        ended = snibench(*command, "--fit-timeout", "1", *further)
        assert ended.code == 1
        assert "it took longer than the 1 s of --fit-timeout" in ended.err
        (path,) = (tmp_path / "runs").glob("*/record.json")
        assert path.stat().st_mtime_ns > began
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert [one.status for one in records(tmp_path / "runs").values()] == ["failed"]


@pytest.mark.slow
def test_a_worker_that_hears_of_nothing_is_killed_for_its_fits_time(
    snibench, methods, small, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("snibench.fits.processes._GRACE", 1.0)
    command = ["run", "-m", f"{methods}:Stuck", *OPTIONS, *small, "--jobs", "1", "--fit-timeout", "1", "-o"]
    assert snibench(*command, tmp_path / "runs").code == 1
    (record,) = records(tmp_path / "runs").values()
    assert record.status == "failed"
    assert "its process was killed" in record.cause


@pytest.mark.slow
def test_a_second_interruption_ends_a_step_that_hangs_and_says_so(methods, small, tmp_path) -> None:
    source = methods.read_text(encoding="utf-8").replace("except BaseException:", "except ZeroDivisionError:")
    methods.write_text(source.replace("time.sleep", 'print("hangs", flush=True) or time.sleep', 1), encoding="utf-8")
    options = [*OPTIONS, *small, "--executor", "inline", "-o", str(tmp_path / "runs")]
    process = subprocess.Popen(
        [sys.executable, "-m", "snibench", "run", "-m", f"{methods}:Hanging", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "hangs" not in next(iter(process.stdout)):  # type: ignore[arg-type]  # it is a pipe
        pass
    process.send_signal(signal.SIGINT)
    said = ""
    while "Ctrl-C again" not in said:
        said = process.stderr.readline()  # type: ignore[union-attr]
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error == (
        "Error: Stopped in the middle of a step that did not end. The same command goes on from the last checkpoint.\n"
    )
    assert not list((tmp_path / "runs").glob("*/record.json"))
