"""What a protocol is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from snibench.base.types import Ask, SuiteData
from snibench.contracts.settings import NoSettings

if TYPE_CHECKING:
    import pandas as pd


class Protocol(ABC):
    """Which fits to make, which questions each must answer, and how the answers are summarised.

    ``version`` changes whenever a question or a number does.
    """

    Settings: ClassVar[type] = NoSettings  # its defaults are the full budget
    quick: ClassVar[Any] = NoSettings()
    version: ClassVar[int]

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    @abstractmethod
    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        """The fits and questions, the same for every method and training seed.

        ``limit``: questions per task and format, None = the protocol's own number.
        """

    def notes(self, suite: SuiteData) -> Sequence[str]:
        """One sentence for each thing that ``plan`` leaves out of this suite."""
        return ()

    @abstractmethod
    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
        """Tidy frames by name, from this protocol's answer rows.

        ``answers``: the columns of ``types.Answer`` plus ``method`` (label), ``seed`` and, where it is known, ``floor``
        (bool: shown, but not ranked). ``tasks``: one row per
        task with ``task, category, domains, sources, labels, metric, chance, majority``.
        """
