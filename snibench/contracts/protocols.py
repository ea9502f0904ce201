"""Contract of a protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from snibench.base.settings import validated
from snibench.base.types import Ask, Frame, SuiteData
from snibench.contracts.settings import NoSettings

if TYPE_CHECKING:
    import pandas as pd


class Protocol(ABC):
    """A plan of fits and of the questions that each must answer, and a summary of the answers.

    ``version`` changes whenever a question or a number does. ``title`` heads its tables. ``frames`` describes the
    frames of ``measure`` in the order in which they are shown; one that it does not describe gets a plain table.

    ``verdict_on`` has every method compared with the baseline on what ``compared`` gives, mean over tasks, with a
    verdict in a sentence. It says what that is, such as "negated instructions"; empty: no such comparison.
    """

    Settings: ClassVar[type] = NoSettings  # its defaults are the full budget
    quick: ClassVar[Any] = NoSettings()
    version: ClassVar[int]
    title: ClassVar[str] = ""
    frames: ClassVar[Mapping[str, Frame]] = {}
    verdict_on: ClassVar[str] = ""

    def __init__(self, settings: Any = None) -> None:
        self.settings = validated(self.Settings() if settings is None else settings)

    def check(self) -> None:  # noqa: B027 (optional hook)
        """Called before anything is loaded.

        Raises:
            UsageError: If the settings name what is not installed.
        """

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
        """Tidy frames of fractions by name, from this protocol's answer rows, under the settings that planned them.

        ``answers``: the columns of ``types.Answer`` plus ``method`` (label), ``seed`` and, where it is known, ``floor``
        (bool: shown, but not ranked). ``tasks``: one row per
        task with ``task, category, domains, sources, labels, metric, chance, majority``.
        """

    def compared(self, answers: pd.DataFrame) -> pd.Series[float]:
        """Values that methods are compared on: a fraction in [0, 1] for each answer, NaN for one that does not count.

        By default the score. A question is paired by task, instance, format, split, side, variant, stream and position.
        """
        return answers["score"]
