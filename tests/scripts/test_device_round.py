"""The round on a machine with an accelerator, with parts that cost nothing."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def device_round() -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not in an installed package")
    spec = spec_from_file_location("device_round", BENCHMARKS / "device_round.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["device_round"] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def test_a_part_that_fails_or_takes_too_long_leaves_what_it_said_and_the_others_go_on(device_round, tmp_path) -> None:
    def part(name: str, code: str, seconds: float = 60.0) -> object:
        return device_round.Part(name, [sys.executable, "-c", code], seconds)

    wait = "import time; print('begun', flush=True); time.sleep(600)"
    lines = [
        device_round.done(part("broken", "print('said'); raise SystemExit(3)"), tmp_path, 60.0),
        device_round.done(part("endless", wait, 5.0), tmp_path, 60.0),
        device_round.done(part("late", "print('never')"), tmp_path, 1.0),
        device_round.done(part("good", "print('done')"), tmp_path, 60.0),
    ]
    assert [line.split(", ")[0] for line in lines] == [
        "broken: exit code 3",
        "endless: ended after its 5 s",
        "late: left out",
        "good: ok",
    ]
    assert (tmp_path / "broken.txt").read_text().endswith("said\n")
    assert not (tmp_path / "late.txt").exists()


def test_the_round_begins_with_the_tests_and_asks_only_what_its_data_allow(device_round, tmp_path, monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(device_round, "done", lambda part, out, left: asked.append(part.name) or f"{part.name}: ok")
    monkeypatch.setattr(sys, "argv", ["device_round", str(tmp_path)])
    device_round.main()
    assert asked == ["gpu-tests", "run-tiny"]
    asked.clear()
    monkeypatch.setattr(sys, "argv", ["device_round", str(tmp_path), "--data", "D", "--model", "M"])
    device_round.main()
    assert asked[0] == "gpu-tests"
    assert {"tuning-as-is-flex-compiled", "tuning-1b-parts", "answering", "run-model"} <= set(asked)
    assert (tmp_path / "summary.txt").read_text().count("gpu-tests: ok") == 2


def test_a_smoke_test_ends_with_1_where_a_part_does_not_end_well(device_round, tmp_path, monkeypatch) -> None:
    ends = {"gpu-tests": "ok, 3 s", "run-tiny": "exit code 1, 2 s"}
    limits: list[float] = []
    monkeypatch.setattr(
        device_round, "done", lambda part, out, left: limits.append(left) or f"{part.name}: {ends[part.name]}"
    )
    monkeypatch.setattr(sys, "argv", ["device_round", str(tmp_path), "--smoke"])
    with pytest.raises(SystemExit) as ended:
        device_round.main()
    assert ended.value.code == 1
    assert min(limits) > 600  # a busy CPU has its time
    ends["run-tiny"] = "ok, 2 s"
    device_round.main()
