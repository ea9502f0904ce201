"""A rendered instance, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SegmentRole = Literal["history", "instruction", "example", "input", "cue"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt.

    ``instruction``: the description of the task. ``example``, ``history``: one demonstration each, which
    truncation may drop. ``input``: the instance's input, verbatim. ``cue``: fixed text around them.
    """

    role: SegmentRole
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered instance: its segments, whose texts joined are what the model reads."""

    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All that the model reads."""
        return "".join(segment.text for segment in self.segments)

    @property
    def instruction(self) -> str:
        """The instruction as rendered, maybe empty: all that a method may condition on."""
        return "".join(segment.text for segment in self.segments if segment.role == "instruction")
