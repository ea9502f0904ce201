"""Each thing that a method may change in its process is put back, and those that change numbers are named."""

from __future__ import annotations

import os
import random
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from snibench.base.types import FitRecord
from snibench.fits.isolation import TRAITS, contained, isolated

HARMS: dict[str, Callable[[], object]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "gradient mode": lambda: torch.set_grad_enabled(False),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "anomaly detection": lambda: torch.set_anomaly_enabled(True),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "precision of matrix products": lambda: torch.set_float32_matmul_precision("medium"),
    "flags of cuDNN": lambda: setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark),
    "flushing of denormal numbers": lambda: torch.set_flush_denormal(True),
    "threads of torch": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "global module hooks": lambda: torch.nn.modules.module.register_module_forward_hook(lambda *_: None),
    "functions of torch": lambda: setattr(torch.nn.functional, "silu", torch.nn.functional.relu),
    "NumPy's handling of errors": lambda: np.seterr(all="raise"),
    "working directory": lambda: os.chdir("/"),
    "signal handlers": lambda: signal.signal(signal.SIGUSR1, lambda *_: None),
    "umask": lambda: os.umask(0o123),
    "sys.path": lambda: sys.path.insert(0, "/nowhere"),
    "recursion limit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 7),
    "standard streams": lambda: setattr(sys, "stdout", sys.stderr),
    "environment": lambda: os.environ.update(HARM="done"),
    "warning filters": lambda: warnings.simplefilter("error"),
}


@pytest.mark.parametrize("name", HARMS)
def test_a_change_is_put_back(name: str) -> None:
    before = {trait.name: trait.read() for trait in TRAITS}
    with isolated() as changed:
        HARMS[name]()
        assert [trait.name for trait in TRAITS if trait.read() != before[trait.name]]
    assert {trait.name: trait.read() for trait in TRAITS} == before
    named = {trait.name for trait in TRAITS if trait.named}
    assert (name in changed) == (name in named)


def test_a_fit_that_changes_nothing_is_told_nothing() -> None:
    with isolated() as changed:
        random.random()
        torch.rand(3)
    assert changed == []


def test_the_global_generators_go_on_as_if_nothing_was_drawn() -> None:
    draw = lambda: (random.random(), float(np.random.rand()), float(torch.rand(1)))  # noqa: E731 (three draws)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with isolated():
        draw()
        torch.manual_seed(5)
    assert draw() == expected


def test_what_leaves_by_an_error_is_put_back_too(tmp_path: Path) -> None:
    @contained
    def work() -> None:
        os.chdir(tmp_path)
        raise SystemExit

    before = Path.cwd()
    with pytest.raises(SystemExit):
        work()
    assert Path.cwd() == before


def test_a_record_names_what_was_put_back_and_keeps_its_notes() -> None:
    @contained
    def work(harm: bool) -> FitRecord:
        if harm:
            torch.set_default_dtype(torch.float64)
        return FitRecord("f", "ours", "ours", "", 0, "done", notes=("first",))

    assert work(False).notes == ("first",)
    assert work(True).notes == ("first", "the method changed the process beyond its fit; put back: default dtype")
