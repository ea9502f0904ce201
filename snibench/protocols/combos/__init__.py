"""Protocol ``combos``: two families of tasks together, in one stream of questions or in one tuning."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pandas as pd

from snibench.base.types import Ask, Frame, Mixture, SuiteData
from snibench.contracts import Protocol
from snibench.protocols.choice import check_formats
from snibench.protocols.combos import boxes, mixtures, streams
from snibench.protocols.combos.columns import FRAMES
from snibench.protocols.combos.pairs import combos_of
from snibench.protocols.combos.settings import HISTORIES, MODES, PAPER, QUICK, SCHEDULES, Settings
from snibench.protocols.frames import Frames

__all__ = ["HISTORIES", "MODES", "PAPER", "QUICK", "SCHEDULES", "Combos", "Settings", "missing_combos"]


class Combos(Protocol):
    """Accuracy in streams that mix two families of tasks and the cost of a switch, or tuning on mixtures of the two.

    Source:
        docs/protocols.md, section ``combos``.
    """

    Settings: ClassVar[type] = Settings
    quick: ClassVar[Any] = QUICK
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Task combinations"
    frames: ClassVar[Mapping[str, Frame]] = FRAMES

    def check(self) -> None:
        """Raise UsageError if the format is not installed."""
        check_formats([self.settings.format])

    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        """Mode ``switch``: one fit on all seen tasks. Mode ``train``: one for each mixture and each side alone.

        A combo that cannot be asked in a mode is left out of it. ``limit`` bounds how often one task is asked in one
        combo, schedule and history, or by one fit of mode ``train``.
        """
        settings: Settings = self.settings
        combos = combos_of(suite, settings.pairs)
        asks = []
        if "switch" in settings.modes and (questions := streams.stream_questions(suite, combos, settings, limit)):
            asks.append(Ask(Mixture(suite.seen), tuple(questions)))
        return [*asks, *mixtures.training_asks(suite, combos, settings, limit)]

    def notes(self, suite: SuiteData) -> Sequence[str]:
        """The combos that are skipped, or that there are none."""
        return missing_combos(suite, self.settings)

    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
        """The frames of the modes that were asked; docs/protocols.md has every column.

        ``switch``: ``combos``, ``combo_means``, ``combo_streams``, ``combo_differences``, ``switch_cost``. ``train``:
        ``combo_training``, ``combo_interference``, ``combo_training_tasks``. A combo whose tasks are all scored by one
        metric is shown in that metric. Exact match and ROUGE-L never go into one mean as they are: a mixed combo is
        shown above chance (metric "above_chance").
        """
        variants = answers["variant"].drop_duplicates()
        parts = pd.DataFrame([json.loads(text) for text in variants], index=pd.Index(variants))
        rows = answers.join(parts, on="variant")
        trained = rows["mixture"].notna() if "mixture" in rows else pd.Series(False, index=rows.index)
        frames = Frames({})
        if not trained.all():
            frames = frames | boxes.stream_frames(rows[~trained], tasks)
        if trained.any():
            frames = frames | mixtures.training_frames(rows[trained], tasks)
        return frames


def missing_combos(suite: SuiteData, settings: Settings = PAPER) -> tuple[str, ...]:
    """One sentence for each combo that ``plan`` leaves out of a mode because a side has no task for it.

    One alone where there is no combo at all.
    """
    combos = combos_of(suite, settings.pairs)
    if not combos:
        return ("The suite names no pair of families, so that combos asks nothing. Name one: --pair 'NAME=A/B'.",)
    return (
        *(streams.skipped(suite, combos, settings) if "switch" in settings.modes else ()),
        *(mixtures.skipped(suite, combos) if settings.trained else ()),
    )
