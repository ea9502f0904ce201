"""How long a run will still take, guessed from what has been measured in it. No torch, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Work:
    """What is left to do for one fit before it begins: training steps, and prompts to answer."""

    steps: int
    prompts: int


@dataclass
class _Pace:
    """Seconds for each unit of one kind of work."""

    seconds: float = 0.0
    units: int = 0

    @property
    def each(self) -> float | None:
        return self.seconds / self.units if self.units else None


@dataclass
class Forecast:
    """Seconds left for a fit and for the run; None while nothing is known to guess from.

    A fit's own pace counts once it has one; before that, and for the fits to come, the mean pace of this run. What is
    neither a step nor an answer (loading, measuring conflict) counts as the mean of that over the fits so far.
    """

    work: Sequence[Work]
    clock: Callable[[], float]
    _mean: dict[str, _Pace] = field(default_factory=lambda: {"steps": _Pace(), "prompts": _Pace()})
    _own: dict[str, _Pace] = field(default_factory=dict)
    _left: dict[str, int] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)
    _other: float = 0.0  # seconds that were neither
    _begun: int = 0  # fits with anything to do
    _index: int = -1
    _last: float = 0.0

    def begin(self, index: int) -> None:
        """Fit number ``index`` has its turn; those before it are over."""
        self._index, self._last = index, self.clock()
        self._own, self._seen = {"steps": _Pace(), "prompts": _Pace()}, {}
        self._left = {"steps": self.work[index].steps, "prompts": self.work[index].prompts}
        self._begun += any(self._left.values())

    def stage(self) -> None:
        """Another stage of the fit begins; what was not counted until now was neither steps nor answers."""
        now = self.clock()
        self._other += now - self._last
        self._last = now

    def count(self, kind: str, done: int, total: int) -> None:
        """``done`` of ``total`` units of ``kind`` ("steps" or "prompts") are done.

        Steps are told one by one, so the first report of a fit that goes on after a stop stands for one step alone.
        """
        now = self.clock()
        units = done - self._seen.get(kind, done - 1 if kind == "steps" else 0)
        for pace in (self._own[kind], self._mean[kind]):
            pace.seconds += now - self._last
            pace.units += units
        self._seen[kind], self._left[kind], self._last = done, total - done, now

    def fit_left(self) -> float | None:
        """Seconds that the fit under way still needs."""
        return self._needed(self._left, self._own)

    def run_left(self) -> float | None:
        """Seconds that all fits still need."""
        parts = [self.fit_left()]
        for work in self.work[self._index + 1 :]:
            left = {"steps": work.steps, "prompts": work.prompts}
            needed = self._needed(left, {})
            parts.append(needed if needed is None or not any(left.values()) else needed + self._other / self._begun)
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    def _needed(self, left: dict[str, int], own: dict[str, _Pace]) -> float | None:
        total = 0.0
        for kind, units in left.items():
            each = (own[kind].each if kind in own else None) or self._mean[kind].each
            if units and each is None:
                return None
            total += units * (each or 0.0)
        return total


def duration(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3 h 05 min``."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
