"""One small run on the embedded suite and model, shared by the tests that look at what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("torch")

from snibench.cli import main

# Small enough for a few seconds a fit, and every stage is real.
SMALL = ["--tasks", "8", "--steps", "6", "--per-step", "4,2", "--limit", "2", "--max-output", "6", "--conflict", "off"]
MEASURED = [*SMALL[:-1], "ends"]


@pytest.fixture(scope="session")
def small() -> list[str]:
    return SMALL


@pytest.fixture(scope="session")
def measured() -> list[str]:
    """``small`` with the gradient conflict at both ends of tuning, which takes longer than the tuning."""
    return MEASURED


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def snibench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """``snibench("ls", "methods")`` runs the command line in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of ``ours`` and ``mtl-lora``, two seeds, with baseline and untuned model."""
    folder = tmp_path_factory.mktemp("e2e") / "runs"
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", "ours", "-m", "mtl-lora", "--seeds", "0,1", *MEASURED, "-o", str(folder)])
    assert not ended.value.code
    return folder
