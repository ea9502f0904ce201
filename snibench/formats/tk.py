"""The official encodings of Tk-Instruct, byte for byte.

Their quirks are theirs: leading blanks, a full stop after every text that does not end in punctuation (so an
empty input reads ``Input: .``), and a trailing blank behind ``Output:``. Nothing is left out for length here;
cutting is the business of whoever feeds a model. Unlike the catalogue, an example whose input is the asked one
is shown as it is, because the official code shows it.

Source:
    yizhongw/Tk-Instruct, src/ni_collator.py, ``DataCollatorForNI``.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, ClassVar

from snibench.contracts import Format, FormatFlags
from snibench.formats.base import cue, definition, example, instruction, prompt_of, query

if TYPE_CHECKING:
    from random import Random

    from snibench.base.types import Example, Prompt, Segment, TaskCard


def stopped(text: str) -> str:
    """``text`` stripped, with a full stop unless it ends in one of ``string.punctuation``."""
    text = text.strip()
    return text if text.endswith(tuple(string.punctuation)) else f"{text}."


class TkEncoding(Format):
    """An official encoding: what ``flags`` names, in the official order."""

    names_task: ClassVar[bool] = False

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """Task name, definition, positive and negative examples as ``flags`` say, then the stopped input."""
        flags = self.flags
        return prompt_of(
            *((instruction(f"{task.name}. "),) if self.names_task else ()),
            *(
                (cue("Definition: "), instruction(stopped(definition(task))), cue("\n\n"))
                if flags.definition == "full"
                else ()
            ),
            *self._numbered("Positive", task.positive[: flags.positive]),
            *self._numbered("Negative", task.negative[: flags.negative]),
            cue("Now complete the following example -\nInput: "),
            query(stopped(input)),
            cue("\nOutput: "),
        )

    def _numbered(self, sign: str, examples: tuple[Example, ...]) -> list[Segment]:
        return [
            example(
                f" {sign} Example {number} -\n"
                f"Input: {stopped(shown.input)}\n"
                f" Output: {stopped(shown.output)}\n"
                + (f" Explanation: {stopped(shown.explanation)}\n" if self.flags.explanations else "")
                + "\n"
            )
            for number, shown in enumerate(examples, start=1)
        ]


class TkInputOnly(TkEncoding):
    """Official encoding without any instruction."""

    flags = FormatFlags("none", "control")


class TkTaskName(TkEncoding):
    """Official encoding with the task's name."""

    flags = FormatFlags("none", "II")
    names_task = True


class TkDefinition(TkEncoding):
    """Official encoding with the definition."""

    flags = FormatFlags("full", "I")


class TkExamples2(TkEncoding):
    """Official encoding with two positive examples."""

    flags = FormatFlags("none", "II", positive=2)


class TkDefPos2(TkEncoding):
    """Official default encoding: definition and two positive examples."""

    flags = FormatFlags("full", "II", positive=2)


class TkDefPos4(TkEncoding):
    """Official encoding with the definition and four positive examples."""

    flags = FormatFlags("full", "II", positive=4)


class TkDefPos2Neg2(TkEncoding):
    """Official encoding with the definition, two positive and two negative examples."""

    flags = FormatFlags("full", "II", positive=2, negative=2)


class TkDefPos2Expl(TkEncoding):
    """Official encoding with the definition and two explained positive examples."""

    flags = FormatFlags("full", "II", positive=2, explanations=True)


class TkDefPos2Neg2Expl(TkEncoding):
    """Official encoding with the definition, two positive and two negative examples, explained."""

    flags = FormatFlags("full", "II", positive=2, negative=2, explanations=True)
