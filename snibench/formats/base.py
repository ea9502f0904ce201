"""Helpers of the built-in formats: segments, the demonstrations that may be shown, the list of labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from snibench.base.hashing import normalise_input
from snibench.base.types import Prompt, Segment
from snibench.contracts import Format

if TYPE_CHECKING:
    from snibench.base.types import Example, TaskCard


def instruction(text: str) -> Segment:
    """Description of the task: from the first character that depends on the task to the last.

    Frame before and after it is cue, so that formats which show the same definition in different frames give a
    method that embeds ``Prompt.instruction`` the same text.
    """
    return Segment("instruction", text)


def example(text: str) -> Segment:
    """One whole demonstration, which truncation may drop."""
    return Segment("example", text)


def query(text: str) -> Segment:
    """The input to answer."""
    return Segment("input", text)


def cue(text: str) -> Segment:
    """Fixed text around the other segments."""
    return Segment("cue", text)


def prompt_of(*segments: Segment) -> Prompt:
    """The prompt of ``segments``, without those that are empty; the input stays even so."""
    return Prompt(tuple(segment for segment in segments if segment.text or segment.role == "input"))


def definition(task: TaskCard) -> str:
    """The definition without outer white space."""
    return task.definition.strip()


def label_list(task: TaskCard) -> str:
    """The closed label set as ``"a", "b"``, in the card's order; empty for an open task."""
    return ", ".join(f'"{label}"' for label in task.labels or ())


def demonstrations(task: TaskCard, input: str, k: int) -> tuple[Example, ...]:
    """The first ``k`` positive examples that do not show ``input`` itself; fewer where there are fewer."""
    return _others(task.positive, input)[:k]


def counterexamples(task: TaskCard, input: str, k: int) -> tuple[Example, ...]:
    """The first ``k`` negative examples that do not show ``input`` itself; fewer where there are fewer."""
    return _others(task.negative, input)[:k]


def _others(examples: Iterable[Example], input: str) -> tuple[Example, ...]:
    # Some tasks have an evaluated instance that is also a positive example: showing it would show the answer.
    asked = normalise_input(input)
    return tuple(shown for shown in examples if normalise_input(shown.input) != asked)


def with_shots(prompt: Prompt, format: Format, task: TaskCard, input: str, k: int) -> Prompt:
    """``prompt``, which ``format`` made of ``input``, with the task's first ``k`` positive examples in it.

    They stand behind the instruction where that is in front of the input, else in front of everything; ahead of
    the examples that the format shows by itself. ``definition`` with two is ``instruction_example``.
    """
    roles = [segment.role for segment in prompt.segments]
    instructions = [place for place, role in enumerate(roles[: roles.index("input")]) if role == "instruction"]
    solved = [f"Input: {one.input}\nOutput: {one.output}" for one in demonstrations(task, input, k)]
    if instructions and format.takes_shots_inside:
        place, shots = instructions[-1] + 1, [example(f"\n\n{one}") for one in solved]
    else:
        place, shots = 0, [example(f"{one}\n\n") for one in solved]
    return Prompt((*prompt.segments[:place], *shots, *prompt.segments[place:]))


def with_history(prompt: Prompt, turns: Sequence[str]) -> Prompt:
    """``prompt`` after solved turns, one droppable segment each."""
    return Prompt((*(Segment("history", turn) for turn in turns), *prompt.segments))
