"""Settings of what has none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NoSettings:
    """Settings of something that has none."""
