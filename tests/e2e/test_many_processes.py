"""Several commands on one folder, and commands that are killed at any moment."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random

import forked_runs
import pytest

pytest.importorskip("torch")

from snibench.store import Store, leftovers, load_results

pytestmark = pytest.mark.slow

TINY = [
    *("--no-baseline", "--protocol", "gap", "--seeds", "0", "--tasks", "4", "--steps", "4", "--per-step", "2,2"),
    *("--limit", "1", "--max-output", "4", "--conflict", "ends", "--executor", "inline"),
]
# A dozen for every change; SNIBENCH_TEST_KILLS=200 by night.
KILLS = int(os.environ.get("SNIBENCH_TEST_KILLS", "12"))
KILLS_IN_ONE_FOLDER = 3


def run(folder: Path, *methods: str) -> list[object]:
    return ["run", *(word for method in methods for word in ("-m", method)), *TINY, "-o", folder]


def outcome(folder: Path) -> dict[str, object]:
    """All that decides the tables, but for time, memory and machine."""
    results = load_results(folder, earlier=True)
    order = ["fit", "protocol", "task", "instance"]
    return {
        "answers": results.answers.sort_values(order)[sorted(results.answers)].to_json(orient="records"),
        "conflict": sorted(str(record.conflict) for record in results.records),
        "weights": sorted(path.read_bytes() for path in folder.glob("*/adapter/*.safetensors")),
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run that nothing disturbed, and its processor time in seconds."""
    folder = tmp_path_factory.mktemp("whole")
    process = forked_runs.start(run(folder / "runs", "lora", "copy-input"), folder / "log")
    process.join()
    assert process.exitcode == 0, (folder / "log").read_text("utf-8")
    return folder / "runs", forked_runs.seconds(folder / "log")


def test_eight_commands_on_one_folder_end_with_the_rows_of_one_and_each_reports_its_own(whole, tmp_path) -> None:
    asked = [("lora", "copy-input"), ("lora",), ("copy-input",), ("copy-input", "lora")] * 2
    logs = [tmp_path / f"{number}.log" for number in range(len(asked))]
    processes = [
        forked_runs.start(run(tmp_path / "runs", *methods), log) for methods, log in zip(asked, logs, strict=True)
    ]
    for process in processes:
        process.join()
    for process, methods, log in zip(processes, asked, logs, strict=True):
        said = log.read_text("utf-8")
        assert process.exitcode == 0, said
        summary = said.split("Summary")[1].splitlines()[1:]
        shown = {line.split()[0] for line in summary if line.split()[:1] and line.split()[0] in asked[0]}
        assert shown == set(methods), said
    assert outcome(tmp_path / "runs") == outcome(whole[0])
    tuned = [log for log in logs if ": tuning" in log.read_text("utf-8")]
    assert len(tuned) == 1  # by one of them; the others waited or came later
    for fit in Store(tmp_path / "runs").manifest().fits:
        assert Store(tmp_path / "runs").faults(Store(tmp_path / "runs").record(fit), by_size=()) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("number", range(-(-KILLS // KILLS_IN_ONE_FOLDER)))
def test_a_run_killed_at_random_moments_ends_in_the_same_bytes(number, whole, tmp_path) -> None:
    expected, duration = whole
    draw = Random(number)
    command = run(tmp_path / "runs", "lora", "copy-input")
    for attempt in range(min(KILLS_IN_ONE_FOLDER, KILLS - number * KILLS_IN_ONE_FOLDER)):
        killed = forked_runs.start(command, tmp_path / f"{attempt}.log", die_after=draw.uniform(0.02, duration))
        killed.join()
        assert killed.exitcode in (-signal.SIGPROF, 0), (tmp_path / f"{attempt}.log").read_text("utf-8")
    last = forked_runs.start(command, tmp_path / "last.log")
    last.join()
    assert last.exitcode == 0, (tmp_path / "last.log").read_text("utf-8")
    assert outcome(tmp_path / "runs") == outcome(expected)
    assert leftovers.abandoned(tmp_path / "runs") == []
    assert not list((tmp_path / "runs").glob("*/*checkpoint*"))
