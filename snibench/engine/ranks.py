"""The processes that tune one fit together.

Each has the whole model and takes every step, but of a step's micro-batches it reads only its own. What they have in
common then (losses, gradients, inner products) is summed over all of them, so that each makes the same update.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from torch import Tensor, nn

from snibench.base.errors import SnibenchError
from snibench.engine.gradients import Collected

Pieces = Sequence[list[int]]  # micro-batches, each the numbers of its groups


class RankLost(SnibenchError):
    """A process of a fit cannot be started, or is gone. The same command goes on from the last checkpoint."""

    exit_code = 1


class Ranks(ABC):
    """A process's place among ``count`` of them; ``rank`` 0 is the first, which alone saves, shows and answers.

    Each method is called by all of them in the same order, and waits for all.
    """

    rank: int
    count: int

    @property
    def purpose(self) -> tuple[int, ...]:
        """Part of the seed of a step's forward passes: the first process draws as one alone does, each other anew."""
        return (self.rank,) if self.rank else ()

    @abstractmethod
    def own(self, pieces: Pieces, sizes: Sequence[int]) -> Pieces:
        """Micro-batches that this process reads; ``sizes``: padded tokens of each."""

    @abstractmethod
    def together(self) -> AbstractContextManager[None]:
        """Inside, each process does its own part: what one of them raises, all of them raise in the end."""

    @abstractmethod
    def agreed(self, error: BaseException) -> bool:
        """Whether every process has raised ``error`` in ``together``, so that all can try again."""

    @abstractmethod
    def summed(self, values: Tensor) -> Tensor:
        """Sum of ``values``, in place; of the same shape and device everywhere."""

    @abstractmethod
    def across(self, collected: Collected) -> Collected:
        """Gradients of all tasks of the step, where ``collected`` has those of this process's micro-batches."""

    @abstractmethod
    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Set every parameter's ``grad`` to its sum; it stays None where it is None everywhere."""

    @abstractmethod
    def draw_alike(self, seed: int) -> None:
        """Seed torch's default generator, from which processes that read different micro-batches drew differently."""

    @abstractmethod
    def begin(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give all processes the first one's parameters."""

    @abstractmethod
    def end(self, parameters: Iterable[nn.Parameter]) -> None:
        """Raises RuntimeError if the processes' parameters are no longer the same."""


class OneProcess(Ranks):
    """A fit in this process alone."""

    rank, count = 0, 1

    def own(self, pieces: Pieces, sizes: Sequence[int]) -> Pieces:
        """All of them."""
        return pieces

    @contextmanager
    def together(self) -> Iterator[None]:
        """Errors go up."""
        yield

    def agreed(self, error: BaseException) -> bool:
        """There is nobody else."""
        return True

    def summed(self, values: Tensor) -> Tensor:
        """The values themselves."""
        return values

    def across(self, collected: Collected) -> Collected:
        """It has all tasks."""
        return collected

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Nothing to add."""

    def draw_alike(self, seed: int) -> None:
        """It goes on as it is."""

    def begin(self, parameters: Iterable[nn.Parameter]) -> None:
        """Nothing to give."""

    def end(self, parameters: Iterable[nn.Parameter]) -> None:
        """Nothing to compare."""
