"""Remaining time of a run, estimated from what has been measured in it. No torch, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Work:
    """Work left for one fit before it begins: training steps, and prompts to answer."""

    steps: int
    prompts: int


@dataclass
class _Pace:
    """Seconds for each unit of work."""

    seconds: float = 0.0
    units: int = 0

    @property
    def each(self) -> float | None:
        return self.seconds / self.units if self.units else None


@dataclass
class Turn:
    """A fit under way: how fast it goes, and what is left of it."""

    forecast: Forecast
    remaining: dict[str, int]
    last: float
    paces: dict[str, _Pace] = field(default_factory=lambda: {"steps": _Pace(), "prompts": _Pace()})
    seen: dict[str, int] = field(default_factory=dict)

    def stage(self) -> None:
        """Another stage of the fit begins; what was not counted until now was neither steps nor answers."""
        now = self.forecast.clock()
        self.forecast.other += now - self.last
        self.last = now

    def count(self, unit: str, done: int, total: int) -> None:
        """``done`` of ``total`` units of ``unit`` ("steps" or "prompts") are done.

        Steps are reported one by one, so the first report of a fit that goes on after a stop stands for one step alone.
        """
        now = self.forecast.clock()
        units = done - self.seen.get(unit, done - 1 if unit == "steps" else 0)
        for pace in (self.paces[unit], self.forecast.mean[unit]):
            pace.seconds += now - self.last
            pace.units += units
        self.seen[unit], self.remaining[unit], self.last = done, total - done, now

    def end(self) -> None:
        """The fit is over, however it ended."""
        self.remaining = dict.fromkeys(self.remaining, 0)

    def seconds_left(self) -> float | None:
        """Seconds that the fit still needs."""
        return self.forecast.needed(self.remaining, self.paces)


@dataclass
class Forecast:
    """Seconds left for a fit and for the run; None while nothing is known to guess from.

    A fit's own pace counts once it has one; before that, and for the fits to come, the mean pace of this run. What is
    neither a step nor an answer (loading, measuring conflict) counts as the mean of that over the fits so far.
    """

    work: Sequence[Work]
    clock: Callable[[], float]
    jobs: int = 1  # fits that are under way at a time
    mean: dict[str, _Pace] = field(default_factory=lambda: {"steps": _Pace(), "prompts": _Pace()})
    other: float = 0.0  # seconds that were neither
    _turns: dict[int, Turn] = field(default_factory=dict)
    _begun: int = 0  # fits with anything to do

    def begin(self, index: int) -> Turn:
        """Fit number ``index`` has its turn."""
        left = _units(self.work[index])
        self._begun += any(left.values())
        self._turns[index] = Turn(self, left, self.clock())
        return self._turns[index]

    def seconds_left(self) -> float | None:
        """Seconds that all fits still need."""
        parts = [turn.seconds_left() for turn in self._turns.values()]
        for index, work in enumerate(self.work):
            if index not in self._turns:
                left = _units(work)
                needed = self.needed(left, {})
                parts.append(needed if needed is None or not any(left.values()) else needed + self.other / self._begun)
        known = [part for part in parts if part is not None]
        return max([sum(known) / self.jobs, *known]) if len(known) == len(parts) else None

    def needed(self, remaining: Mapping[str, int], paces: Mapping[str, _Pace]) -> float | None:
        """Seconds for what is left, at the fit's own pace where it has one."""
        total = 0.0
        for unit, units in remaining.items():
            pace = (paces[unit].each if unit in paces else None) or self.mean[unit].each
            if units and pace is None:
                return None
            total += units * (pace or 0.0)
        return total


def _units(work: Work) -> dict[str, int]:
    return {"steps": work.steps, "prompts": work.prompts}


def duration(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3 h 05 min``."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
