"""Nine surface perturbations of the format ``definition``, for snibench's protocol ``formats``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from snibench.api import Format, FormatFlags, cue, definition, instruction, prompt_of, query
from snibench_formatspread.grammar import sampled

if TYPE_CHECKING:
    from random import Random

    from snibench.api import Prompt, TaskCard

COUNT = 9  # and the original, `definition`, is the tenth


class Surface(Format):
    """The format ``definition`` with another surface: FormatSpread's field names, casing, separators and spacing.

    Which surface that is depends on the task alone, as in FormatSpread, where every task draws its own formats. Blanks
    at the end of the prompt are left out: the harness puts one before the answer.
    """

    flags = FormatFlags("full", "I")
    number: ClassVar[int]  # from 1

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``Definition: D``, a blank line, and the two fields as the task's surface of this number shows them."""
        surface = sampled(task.name, COUNT)[self.number - 1]
        return prompt_of(
            cue("Definition: "),
            instruction(definition(task)),
            cue(f"\n\n{surface.before}"),
            query(input),
            cue(surface.after.rstrip(" ")),
        )


class Surface1(Surface):
    """The first of nine surface perturbations of ``definition``."""

    number = 1


class Surface2(Surface):
    """The second of nine surface perturbations of ``definition``."""

    number = 2


class Surface3(Surface):
    """The third of nine surface perturbations of ``definition``."""

    number = 3


class Surface4(Surface):
    """The fourth of nine surface perturbations of ``definition``."""

    number = 4


class Surface5(Surface):
    """The fifth of nine surface perturbations of ``definition``."""

    number = 5


class Surface6(Surface):
    """The sixth of nine surface perturbations of ``definition``."""

    number = 6


class Surface7(Surface):
    """The seventh of nine surface perturbations of ``definition``."""

    number = 7


class Surface8(Surface):
    """The eighth of nine surface perturbations of ``definition``."""

    number = 8


class Surface9(Surface):
    """The ninth of nine surface perturbations of ``definition``."""

    number = 9
