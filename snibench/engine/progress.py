"""Progress and cost of a tuning so far."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tuning:
    """The state that a person may watch. ``seconds`` and ``peak_memory`` (bytes) are of tuning alone."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    peak_memory: int = 0
    trace: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
