"""``--dry-run --probe``: what fits will take, from a real step, and the comparison in their records."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from stored_specs import LORA

from snibench.base.types import FitRecord
from snibench.fits.context import FitProgress, Runtime
from snibench.fits.forecasts import FILE, Forecast, compared, keep
from snibench.fits.probe import probe
from snibench.plan.plan import FitPlan
from snibench.store import Store, load_results

OPTIONS = shlex.split("--tasks 4 --steps 3 --per-step 2,2 --limit 1 --max-output 4 --seeds 0 --no-baseline")
FAILING = """
from snibench.methods.lora import Lora


class Failing(Lora):
    def attach(self, *arguments, **named):
        raise ValueError("no such layer")
"""
SAID = """
from snibench.contracts import Floor, Recorded


class Said(Recorded):
    elsewhere = "answered elsewhere"

    def answers(self, asked):
        return {}


class Guessed(Floor):
    def answer(self, card, input, pool):
        return ""
"""


@pytest.mark.slow
def test_a_probe_foresees_what_the_record_then_compares(snibench, tmp_path) -> None:
    command = ["run", "-m", "lora", "--protocol", "gap", "--conflict", "off", *OPTIONS, "-o", tmp_path]
    ended = snibench(*command, "--dry-run", "--probe")
    assert ended.code == 0, ended.err
    assert "Foreseen" in ended.out
    (forecast,) = json.loads((tmp_path / FILE).read_text(encoding="utf-8")).values()
    assert all(forecast[name] > 0 for name in ("loading", "tuning", "answering", "memory", "disk", "checkpoint"))
    assert not list(tmp_path.glob("*/spec.json"))
    assert snibench(*command).code == 0
    (record,) = load_results(tmp_path).records
    (note,) = [note for note in record.notes if note.startswith("foreseen by --probe")]
    assert "it took" in note
    disk = sum(path.stat().st_size for path in (tmp_path / record.fit / "adapter").rglob("*"))
    assert disk <= forecast["disk"] < 20 * disk


def test_a_method_that_fails_in_the_probe_is_named_and_the_others_are_foreseen(snibench, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(FAILING, encoding="utf-8")
    named = ["-m", f"{tmp_path}/mine.py:Failing", "-m", "lora"]
    command = ["run", *named, "--protocol", "gap", *OPTIONS, "-o", tmp_path / "runs", "--dry-run", "--probe"]
    ended = snibench(*command)
    assert ended.code == 1
    assert "Failing cannot be probed: ValueError: no such layer" in ended.out
    assert len(json.loads((tmp_path / "runs" / FILE).read_text(encoding="utf-8"))) == 1


def test_a_probe_without_a_dry_run_is_refused(snibench, tmp_path) -> None:
    ended = snibench("run", "-m", "lora", "--probe", "-o", tmp_path)
    assert (ended.code, ended.err) == (2, "Error: --probe looks ahead: name it with --dry-run.\n")


def test_a_record_is_compared_once_and_never_by_a_damaged_file(tmp_path: Path) -> None:
    store, record = Store(tmp_path), FitRecord("f", "ours", "ours", "", 0, "done", seconds=3.0)
    assert compared(record, store) == record
    keep(store, {"f": Forecast(1.0, 2.0, 3.0, 2**20, 2**20, 2**20)})
    keep(store, {"g": Forecast(1.0, 2.0, 3.0, 2**20, 2**20, 2**20)})
    (note,) = compared(record, store).notes
    assert note.startswith("foreseen by --probe: 2.0 s of tuning, 1.0 MiB of memory, 1.0 MiB on disk; it took 3.0 s")
    assert compared(compared(record, store), store).notes == (note,)
    (tmp_path / FILE).write_text("[", encoding="utf-8")
    assert compared(record, store) == record


def test_answers_that_were_given_elsewhere_need_no_probe(tmp_path: Path) -> None:
    (tmp_path / "said.py").write_text(SAID, encoding="utf-8")
    fits = [FitPlan(replace(LORA, method=f"{tmp_path}/said.py:{name}"), ()) for name in ("Said", "Guessed")]

    def begun(fit: FitPlan) -> FitProgress:
        raise AssertionError(f"{fit.spec.method} was attached to a model")

    planned: Any = SimpleNamespace(fits=fits)
    assert probe(planned, Runtime(), begun) == ({}, {})
