"""Settings of protocol ``combos``."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import Annotated

from snibench.base.bounds import Bounds, Count
from snibench.base.errors import UsageError
from snibench.protocols.choice import check_choices
from snibench.protocols.combos.pairs import parse_pairs

MODES = ("switch", "train", "train-lite")
SCHEDULES = ("alternate", "blocked", "random")
HISTORIES = ("none", "same", "other")


def ratio(text: str) -> tuple[float, float]:
    """The shares of A and B that a mixture such as ``3:1`` names.

    Raises:
        UsageError: If it does not read so, or a share is not positive.
    """
    parts = text.split(":")
    try:
        a, b = map(float, parts)
    except ValueError:
        a = b = nan
    if not (isfinite(a) and isfinite(b) and a > 0 and b > 0):
        raise UsageError(f"A mixture is two positive numbers such as 3:1, but got '{text}'.")
    return a, b


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of protocol ``combos``.

    Mode ``switch``: for each combo, schedule and history, ``streams`` streams of ``length`` questions. Mode ``train``:
    a fit for each combo and mixture and for each side alone, asked ``instances`` of each of its tasks;
    ``train-lite`` is the same with the mixture 1:1 only.
    """

    modes: tuple[str, ...] = ("switch",)
    pairs: tuple[str, ...] = ()  # "NAME=A,.../B,..." of categories and tasks, in place of the suite's own combos
    format: str = "definition"
    schedules: tuple[str, ...] = ("alternate",)
    histories: tuple[str, ...] = HISTORIES
    streams: Count = 20
    length: Annotated[int, Bounds(least=2)] = 40  # half of side A, half of side B
    turns: Count = 2  # solved instances before a question, where there is history
    mixtures: tuple[str, ...] = ("3:1", "1:1", "1:3")
    instances: Count | None = 50  # per task, in mode train; None = all that the suite evaluates
    seed: int = 0  # of the composition of the streams; not the seed of training

    def __post_init__(self) -> None:
        check_choices("mode of combos", self.modes, MODES)
        check_choices("schedule of combos", self.schedules, SCHEDULES)
        check_choices("history of combos", self.histories, HISTORIES)
        if not self.mixtures:
            raise UsageError("At least one mixture of combos has to be named, such as 1:1.")
        for text in self.mixtures:
            ratio(text)
        parse_pairs(self.pairs)

    @property
    def trained(self) -> tuple[str, ...]:
        """The mixtures that are tuned on, none unless a mode asks for it."""
        if "train" in self.modes:
            return self.mixtures
        return ("1:1",) if "train-lite" in self.modes else ()


PAPER = Settings()
QUICK = Settings(streams=2, length=12, instances=20)
