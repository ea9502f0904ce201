"""A format: one class with ``flags`` and ``render``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snibench.api import Format, FormatFlags, Prompt, Segment

if TYPE_CHECKING:
    from random import Random

    from snibench.api import TaskCard


class Arrow(Format):
    """The definition, the input, and an arrow where the answer starts."""

    flags = FormatFlags("full", "I")

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``D``, a blank line, ``x`` and ``=>``: the segments say which is which."""
        return Prompt(
            (
                Segment("instruction", task.definition.strip()),
                Segment("cue", "\n\n"),
                Segment("input", input),
                Segment("cue", "\n=>"),
            )
        )
