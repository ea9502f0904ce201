"""Protocol ``gap``: held-out instances of seen tasks against unseen tasks, or against themselves when left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pandas as pd

from snibench.base.types import Ask, Frame, SuiteData
from snibench.contracts import Protocol
from snibench.protocols.choice import check_formats
from snibench.protocols.frames import Frames
from snibench.protocols.gap.columns import FRAMES
from snibench.protocols.gap.crossfit import crossfit_asks, crossfit_frames, of_split
from snibench.protocols.gap.settings import MODES, PAPER, QUICK, Settings
from snibench.protocols.gap.split import split_ask, split_frames

__all__ = ["MODES", "PAPER", "QUICK", "Gap", "Settings"]


class Gap(Protocol):
    """Accuracy on held-out instances of seen tasks, on unseen tasks, and the difference.

    Source:
        docs/protocols.md, section ``gap``.
    """

    Settings: ClassVar[type] = Settings
    quick: ClassVar[Any] = QUICK
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Seen and unseen tasks"
    frames: ClassVar[Mapping[str, Frame]] = FRAMES

    def check(self) -> None:
        """Raise UsageError if the format is not installed."""
        check_formats([self.settings.format])

    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        """One fit on all seen tasks, two on half of them for mode ``crossfit``; the head of every chosen task's pool.

        Raises:
            UsageError: If mode ``crossfit`` has no two groups of seen tasks without a common source.
        """
        settings: Settings = self.settings
        asks = []
        if "split" in settings.modes:
            asks.append(split_ask(suite, settings, limit))
        if "crossfit" in settings.modes:
            asks += crossfit_asks(suite, settings, limit)
        return asks

    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
        """The frames of the modes that were asked; docs/protocols.md describes every column.

        ``split``: ``gap``, ``gap_categories_unseen``, ``gap_categories_seen``. ``crossfit``: ``gap_crossfit``,
        ``gap_crossfit_categories``, ``gap_crossfit_differences``, ``gap_crossfit_tasks``.

        Means are over tasks, of the seed means. ``*_normalised`` is above chance, without the tasks whose answers
        are too uneven for that; ``*_pooled`` is over instances; ``unseen_clean`` is without the tasks that are
        flagged "alias-leak". A category with fewer than five sources on a side has no interval there.
        """
        split = of_split(answers)
        frames = Frames({})
        if split.any():
            frames = frames | split_frames(answers[split], tasks)
        if not split.all():
            frames = frames | crossfit_frames(answers[~split], tasks)
        return frames
