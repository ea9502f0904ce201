"""Contract of a format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from random import Random
from typing import Any, ClassVar, Literal

from snibench.base.types import Prompt, TaskCard


class Format(ABC):
    """A way to render one instance as text.

    ``render`` never sees an output of the instance, so that no format can leak it.
    """

    flags: ClassVar[FormatFlags]
    takes_shots_inside: ClassVar[bool] = True  # False: text behind the instruction would break the format

    @abstractmethod
    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """The prompt for ``input``, ending exactly where the answer starts.

        Pure and deterministic: the same arguments and state of ``rng`` give the same bytes. Exactly one
        segment has the role ``input``; for every format but the official encodings it is ``input`` verbatim.
        """

    def stop(self, task: TaskCard) -> str:
        """The text at which an answer is over, which is no part of it; empty: only the model's own end is.

        By default a newline, unless a positive example's output holds one. A pure function of the task.
        """
        return usual_stop(task)

    def read(self, text: str) -> str:
        """The answer in the model's text, which is stripped and without the stop: by default all of it.

        What is returned is scored; the model's text is kept beside it. A pure function, for any text, and the same for
        every task, so that no label and no gold answer can be read into it.
        """
        return text

    def messages(self, prompt: Prompt) -> Sequence[Mapping[str, str]]:
        """A ``prompt`` of this format as a chat's messages with ``role`` and ``content``; none where it is no chat.

        For servers that apply their own chat template.
        """
        return ()

    def bind(self, tokenizer: Any) -> Format:
        """The format for one tokenizer; only chat templates differ by it."""
        return self

    def notes(self, tasks: Sequence[TaskCard]) -> Sequence[str]:
        """One sentence for each thing that the format shows otherwise than it promises for some of ``tasks``."""
        return ()


def usual_stop(task: TaskCard) -> str:
    """A newline, or no text where one of the task's positive examples has an output of several lines."""
    return "" if any("\n" in example.output for example in task.positive) else "\n"


def until(stop: str, text: str) -> str:
    """The part of ``text`` before ``stop``, stripped; all of it where there is no stop.

    A blank before the first word belongs to the format; a stop there is an answer's end all the same.
    """
    return text.lstrip(" ").split(stop)[0].strip() if stop else text.strip()


@dataclass(frozen=True, slots=True)
class FormatFlags:
    """Information that a format gives the model, so that form and information are not confounded.

    ``definition``: "full", "part" or "none". ``labels``: the closed label set is listed apart from the
    definition. ``positive``, ``negative``: how many examples. ``group``: "I" keeps the information of the
    definition, "II" changes it, "control" is a floor.
    """

    definition: Literal["full", "part", "none"]
    group: Literal["I", "II", "control"]
    _: KW_ONLY
    labels: bool = False
    positive: int = 0
    negative: int = 0
    explanations: bool = False
    category: bool = False
