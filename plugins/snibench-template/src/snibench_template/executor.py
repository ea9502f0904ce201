"""An executor: one class with ``run``, which has every job done and writes on the board what becomes of it."""

from __future__ import annotations

from functools import partial

from snibench.api import Board, Executor, Work


class ShortestFirst(Executor):
    """Fits one after the other, in the process of the run, the shortest first."""

    def run(self, work: Work, board: Board) -> None:
        """Every job; ``job.size`` is about its duration."""
        for job in sorted(work.jobs, key=lambda job: (job.size, job.number)):
            board.started(job.number)
            board.ended(job.number, work.run(job.number, partial(board.said, job.number)))
