"""Protocol ``formats``: the same instances in several formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import filter as matching
from typing import Any, ClassVar

import pandas as pd

from snibench.base.errors import UsageError
from snibench.base.registry import FORMATS
from snibench.base.types import Ask, Frame, Mixture, SuiteData
from snibench.contracts import Protocol
from snibench.protocols.choice import check_formats, chosen_tasks, held_out_questions
from snibench.protocols.formats.columns import FRAMES
from snibench.protocols.formats.measures import format_frames
from snibench.protocols.formats.settings import PAPER, QUICK, Settings

__all__ = ["PAPER", "QUICK", "Formats", "Settings"]


class Formats(Protocol):
    """Accuracy per format, and how far the formats lie apart.

    Source:
        docs/protocols.md, section ``formats``.
    """

    Settings: ClassVar[type] = Settings
    quick: ClassVar[Any] = QUICK
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Instruction formats"
    frames: ClassVar[Mapping[str, Frame]] = FRAMES

    @property
    def chosen_formats(self) -> tuple[str, ...]:
        """The formats, with patterns replaced by the installed names that match them."""
        installed = FORMATS.names()
        asked = (name for text in self.settings.formats for name in (matching(installed, text) or [text]))
        return tuple(dict.fromkeys(asked))

    def check(self) -> None:
        """Raise UsageError if there is no format, or one of them is not installed."""
        if not self.chosen_formats:
            raise UsageError("At least one format has to be named: --formats definition,template.")
        check_formats((*self.chosen_formats, self.settings.reference))

    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        """One fit on all seen tasks; the head of every chosen task's pool in every format."""
        settings: Settings = self.settings
        questions = [
            question
            for task in chosen_tasks(suite, settings.tasks, settings.seed)
            for format in self.chosen_formats
            for question in held_out_questions(suite, "formats", task, format, settings.instances, limit)
        ]
        return [Ask(Mixture(suite.seen), tuple(questions))]

    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
        """The frames ``formats``, ``format_spread``, ``format_groups``, ``format_ranks`` and ``format_agreement``.

        docs/protocols.md describes every column.

        Spread, ranks and agreement are over the formats that every fit answered, controls left out, and ranks and
        agreement over the methods that are no floors. Without a column ``train_format`` it is not known which formats
        were seen in training, and that column is empty.
        """
        return format_frames(answers, tasks, self.settings.reference)
