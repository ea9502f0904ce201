"""Contract of an executor: where the fits of a run are worked on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from snibench.base.settings import validated
from snibench.contracts.settings import NoSettings

if TYPE_CHECKING:
    from snibench.base.types import FitRecord

Say = Callable[..., None]  # an event's name, then its values, which JSON can hold


@dataclass(frozen=True, slots=True)
class Job:
    """One fit to work on. ``size``: instances that it trains on and questions that it answers, about its duration."""

    number: int
    label: str
    seed: int
    size: int


class Work(ABC):
    """The fits of a run that are not done. It can be pickled: an executor sends it to where fits run, once.

    ``device``: ``cpu``, ``cuda``, ...; ``threads``: of the processor, that every fit has, None = the library's choice.
    ``distributed``: processes that tune one fit together, started where it runs, each with ``threads`` and, off the
    CPU, an accelerator of its own. ``timeout``: seconds that a fit may take, after which its worker is ended.
    ``folder``: the store, which every worker must see under this path. ``requested_jobs``: ``--jobs``, None where not
    given.
    """

    jobs: Sequence[Job]
    device: str
    threads: int | None
    folder: str
    requested_jobs: int | None
    distributed: int = 1
    timeout: float | None

    @abstractmethod
    def on(self, device: str) -> Work:
        """The same work on another device, such as one of several accelerators."""

    @abstractmethod
    def run(self, number: int, say: Say) -> FitRecord:
        """Do the job ``number``, here and now, and return its record; it goes on from what is stored of it.

        ``say`` is called with events that belong on the ``Board``. A fit that fails has a record that says so.

        Raises:
            SnibenchError: For what every other fit would meet, too: the run is over.
            Interrupted: On KeyboardInterrupt, after the state is saved.
        """


class Board(ABC):
    """State of the jobs as it is shown at the terminal. Only the process of the run writes to it."""

    @abstractmethod
    def started(self, number: int) -> None:
        """A worker has taken the job."""

    @abstractmethod
    def said(self, number: int, event: str, *values: Any) -> None:
        """An event that ``Work.run`` reported for the job."""

    @abstractmethod
    def ended(self, number: int, record: FitRecord) -> None:
        """The job is done, or failed with a record of its own."""

    @abstractmethod
    def lost(self, number: int, cause: str, *, failed: bool = False) -> None:
        """The job has no record, and nobody tries again; ``cause``: why, as the end of a sentence.

        ``failed``: it is not tried again by the next run either.
        """


class Executor(ABC):
    """Distribution of a run's jobs over processes and machines."""

    Settings: ClassVar[type] = NoSettings

    def __init__(self, settings: Any = None) -> None:
        self.settings = validated(self.Settings() if settings is None else settings)

    def check(self) -> None:  # noqa: B027 (optional hook)
        """Called before anything is loaded.

        Raises:
            SnibenchError: If a package or a service that it needs is not there.
        """

    def beside(self, work: Work) -> int:
        """Number of jobs that run at a time."""
        return 1

    @abstractmethod
    def run(self, work: Work, board: Board) -> None:
        """Have every job done, and each step of it written on ``board``.

        Raises:
            SnibenchError: What a job raised, after the others have saved their state.
            KeyboardInterrupt: After every job under way has saved its state.
        """
