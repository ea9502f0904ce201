"""Several commands on one folder, and commands that are killed at any moment."""

from __future__ import annotations

import os
import re
import signal
import sys
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
# A dozen for every change; SNIBENCH_TEST_KILLS=200 by night, and with -rP what each struck.
KILLS = int(os.environ.get("SNIBENCH_TEST_KILLS", "12"))
KILLS_IN_ONE_TEST = 3
# How a run is ended: after a time of the processor, of the clock, or while it writes.
MOMENTS = ("processor", "clock", "flushes")
STAGE = re.compile(r"^stage: (.+)$", re.M)


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
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, forked_runs.Took]:
    """A run that nothing disturbed, and what it took."""
    folder = tmp_path_factory.mktemp("whole")
    process = forked_runs.start(run(folder / "runs", "lora", "copy-input"), folder / "log")
    process.join()
    assert process.exitcode == 0, (folder / "log").read_text("utf-8")
    return folder / "runs", forked_runs.took(folder / "log")


def killed(command: list[object], log: Path, moment: str, most: forked_runs.Took, draw: Random) -> bool:
    """Whether the command was killed at a random moment; it may have come to its end before."""
    share = draw.uniform(0.01, 1.0)
    if moment == "clock":
        process = forked_runs.start(command, log)
        process.join(share * most.clock)
        process.kill()
    elif moment == "processor":
        process = forked_runs.start(command, log, die_after=share * most.processor)
    else:
        process = forked_runs.start(command, log, die_at=1 + int(share * most.flushes))
    process.join()
    assert process.exitcode in (-signal.SIGPROF, -signal.SIGKILL, 0), log.read_text("utf-8")
    return process.exitcode != 0


def struck(log: Path) -> str:
    """The stage that a killed run was in."""
    stages = STAGE.findall(log.read_text("utf-8")) if log.exists() else []
    return stages[-1] if stages else "planning"


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


@pytest.mark.parametrize("number", range(-(-KILLS // KILLS_IN_ONE_TEST)))
def test_a_run_killed_at_random_moments_ends_in_the_same_bytes(number, whole, tmp_path) -> None:
    expected, most = whole
    draw, left = Random(number), min(KILLS_IN_ONE_TEST, KILLS - number * KILLS_IN_ONE_TEST)
    place = 0
    while left:  # a folder after the other: a run that came to its end before its moment was not killed
        folder, ended = tmp_path / str(place), False
        command = run(folder / "runs", "lora", "copy-input")
        folder.mkdir()
        while left and not ended:
            log = folder / f"{left}.log"
            moment = MOMENTS[(number + left) % len(MOMENTS)]
            ended = not killed(command, log, moment, most, draw)
            if not ended:
                sys.stdout.write(f"killed: {moment}, {struck(log)}\n")
                left -= 1
        last = forked_runs.start(command, folder / "last.log")
        last.join()
        assert last.exitcode == 0, (folder / "last.log").read_text("utf-8")
        assert outcome(folder / "runs") == outcome(expected)
        assert leftovers.abandoned(folder / "runs") == []
        assert not list((folder / "runs").glob("*/*checkpoint*"))
        place += 1
