"""Whether an executor keeps its contract. Needs no torch, unless the executor does."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snibench.base.errors import SnibenchError
from snibench.base.types import FitRecord
from snibench.contracts import Board, Executor, Job, Work
from snibench.contracts.executors import Say
from snibench.testing.expectations import expect

_JOBS = 3
_FAILS = 1  # the job whose record says that its method failed
_REFUSAL = "no job of this work can be done."


def check_executor(make: Callable[[], Executor]) -> None:
    """Nothing, if the executor that ``make`` returns keeps its contract.

    It is given three small jobs, no job at all, and jobs of which one raises what all would. Checked: every job is run,
    wherever that may be; it is started, what it says is said, and it ends once, with its own record; a record that says
    "failed" is a record like others; a SnibenchError of a job ends the run; at least one job is beside another.

    Args:
        make: Returns a fresh executor; an executor's class will do.

    Raises:
        AssertionError: Names the promise that is broken.
        SnibenchError: If a package or a service that the executor needs is not there.
    """
    executor = make()
    name = type(executor).__name__
    expect(isinstance(executor, Executor), f"{name} is not derived from snibench.api.Executor")
    executor.check()
    with tempfile.TemporaryDirectory() as holder:
        work, board = _Small(holder, _JOBS), _Kept()
        beside = executor.beside(work)
        expect(isinstance(beside, int) and beside >= 1, f"{name}.beside must be at least 1, but is {beside!r}")
        executor.run(work, board)
        for job in work.jobs:
            _check_job(name, job.number, work, board)
    with tempfile.TemporaryDirectory() as holder:
        board = _Kept()
        make().run(_Small(holder, 0), board)
        expect(not board.events, f"{name} without a job writes {board.events} on the board")
    with tempfile.TemporaryDirectory() as holder:
        _check_refusal(name, make(), _Small(holder, _JOBS, refused=0))


def _check_job(name: str, number: int, work: _Small, board: _Kept) -> None:
    own = [(event, *values) for event, one, *values in board.events if one == number]
    count = Counter(event for event, *_ in own)
    expect((Path(work.folder) / str(number)).exists(), f"{name} did not run job {number}: call work.run(number, say)")
    expect(not count["lost"], f"{name} says that job {number} is lost ({own[-1]}), though it has a record")
    expect(
        count["ended"] == 1, f"{name} must write on the board once that job {number} ended, not {count['ended']} times"
    )
    (record,) = [values[0] for event, *values in own if event == "ended"]
    expect(
        record == work.record(number), f"{name} ends job {number} with {record!r}, which is not what work.run returned"
    )
    expect(count["started"] >= 1, f"{name} does not write on the board that job {number} started")
    events = [event for event, *_ in own]
    expect(events.index("started") < events.index("ended"), f"{name} ends job {number} before it started")
    expect(
        ("said", "on_stage", f"job {number}") in own,
        f"{name} does not pass on what job {number} says: give work.run a say that reaches board.said",
    )


def _check_refusal(name: str, executor: Executor, work: _Small) -> None:
    board = _Kept()
    try:
        executor.run(work, board)
    except SnibenchError as error:
        expect(_REFUSAL in str(error), f"{name} must raise the SnibenchError of a job, but raises another: {error}")
        ended = [number for event, number, *_ in board.events if event == "ended" and number == work.refused]
        expect(not ended, f"{name} ends the job that raised a SnibenchError as if it had a record")
        return
    raise AssertionError(f"{name} must raise the SnibenchError that a job raises: every other job would meet it, too")


class _Small(Work):
    """Jobs that take no time and leave a file each; job ``refused`` raises what all would."""

    device, threads, requested_jobs, timeout = "cpu", 1, None, None

    def __init__(self, folder: str, count: int, refused: int = -1) -> None:
        self.folder, self.count, self.refused = folder, count, refused
        self.jobs = [Job(number, f"job {number}", 0, 1) for number in range(count)]

    def on(self, device: str) -> _Small:
        return _Small(self.folder, self.count, self.refused)

    def record(self, number: int) -> FitRecord:
        """The record of a job."""
        failed = number == _FAILS
        return FitRecord(
            fit=f"{number}",
            label=f"job {number}",
            method="small",
            rule="",
            seed=0,
            status="failed" if failed else "done",
            cause="as it should" if failed else "",
        )

    def run(self, number: int, say: Say) -> FitRecord:
        say("on_stage", f"job {number}")
        if number == self.refused:
            raise SnibenchError(_REFUSAL)
        (Path(self.folder) / str(number)).touch()
        return self.record(number)


class _Kept(Board):
    """All that was written."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def started(self, number: int) -> None:
        self.events.append(("started", number))

    def said(self, number: int, event: str, *values: Any) -> None:
        self.events.append(("said", number, event, *values))

    def ended(self, number: int, record: FitRecord) -> None:
        self.events.append(("ended", number, record))

    def lost(self, number: int, cause: str, *, failed: bool = False) -> None:
        self.events.append(("lost", number, cause))
