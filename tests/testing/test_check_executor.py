"""An executor that keeps the contract passes, and each broken promise is named."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from snibench.base.errors import SnibenchError
from snibench.base.registry import EXECUTORS
from snibench.contracts import Board, Executor, Work
from snibench.testing import check_executor


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inline", "processes"])
def test_the_executors_of_one_machine_keep_the_contract(name: str) -> None:
    pytest.importorskip("torch")
    check_executor(EXECUTORS.get(name))


class Sound(Executor):
    """Jobs one after the other; each broken one below differs in one point."""

    def run(self, work: Work, board: Board) -> None:
        for job in work.jobs:
            board.started(job.number)
            self.done(work, job.number, board)

    def done(self, work: Work, number: int, board: Board) -> None:
        board.ended(number, work.run(number, partial(board.said, number)))


def test_a_sound_executor_passes() -> None:
    check_executor(Sound)


class Nobody(Sound):
    def beside(self, work: Work) -> int:
        return 0


class Idle(Sound):
    def run(self, work: Work, board: Board) -> None:
        pass


class Mute(Sound):
    def done(self, work: Work, number: int, board: Board) -> None:
        board.ended(number, work.run(number, lambda *_: None))


class Late(Sound):
    def run(self, work: Work, board: Board) -> None:
        for job in work.jobs:
            self.done(work, job.number, board)
            board.started(job.number)


class Unsaid(Sound):
    def run(self, work: Work, board: Board) -> None:
        for job in work.jobs:
            self.done(work, job.number, board)


class Twice(Sound):
    def done(self, work: Work, number: int, board: Board) -> None:
        super().done(work, number, board)
        super().done(work, number, board)


class Silent(Sound):
    def done(self, work: Work, number: int, board: Board) -> None:
        work.run(number, partial(board.said, number))


class Mixed(Sound):
    def done(self, work: Work, number: int, board: Board) -> None:
        board.ended(number, work.run(0, partial(board.said, number)))
        work.run(number, lambda *_: None)


class LosesFailures(Sound):
    def done(self, work: Work, number: int, board: Board) -> None:
        record = work.run(number, partial(board.said, number))
        if record.status == "failed":
            board.lost(number, record.cause)
        else:
            board.ended(number, record)


class Swallows(Sound):
    def done(self, work: Work, number: int, board: Board) -> None:
        try:
            super().done(work, number, board)
        except SnibenchError:
            board.lost(number, "it was refused")


class Rewords(Sound):
    def done(self, work: Work, number: int, board: Board) -> None:
        try:
            super().done(work, number, board)
        except SnibenchError:
            raise SnibenchError("Something is wrong.") from None


class Invents(Sound):
    def run(self, work: Work, board: Board) -> None:
        board.started(0)
        super().run(work, board)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Nobody, "beside must be at least 1"),
        (Idle, "did not run job 0"),
        (Mute, "does not pass on what job 0 says"),
        (Late, "ends job 0 before it started"),
        (Unsaid, "does not write on the board that job 0 started"),
        (Twice, "not 2 times"),
        (Silent, "not 0 times"),
        (Mixed, "which is not what work.run returned"),
        (LosesFailures, "says that job 1 is lost"),
        (Swallows, "must raise the SnibenchError that a job raises"),
        (Rewords, "but raises another: Something is wrong"),
        (Invents, "without a job writes"),
        (int, r"is not derived from snibench\.api\.Executor"),
    ],
)
def test_a_broken_promise_is_named(broken: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_executor(broken)
