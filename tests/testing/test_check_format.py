from __future__ import annotations

import json
import random
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from snibench.base.hashing import normalise_input
from snibench.base.registry import FORMATS
from snibench.base.types import Prompt, Segment, TaskCard
from snibench.contracts import Format, FormatFlags
from snibench.testing import check_format


def json_body(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


# The official encodings are other people's bytes: tests/formats compares them with those.
@pytest.mark.parametrize("name", [name for name in FORMATS.names() if not name.startswith("tk_")])
def test_every_format_of_our_own_keeps_the_contract(name: str) -> None:
    check_format(FORMATS.get(name)(), as_written=json_body if name == "json" else str)


class Sound(Format):
    """A format that keeps every promise; each broken one below differs in one point."""

    flags = FormatFlags("full", "I")

    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        return [Segment("instruction", task.definition), Segment("input", input), Segment("cue", "\n=>")]

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        return Prompt(tuple(self.segments(task, input, rng)))


class ReadsGlobalGenerator(Sound):
    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        random.random()
        return super().segments(task, input, rng)


class Counts(Sound):
    calls = 0

    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        self.calls += 1
        return [Segment("cue", str(self.calls)), *super().segments(task, input, rng)]


class Strips(Sound):
    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        return super().segments(task, input.strip(), rng)


class TwoInputs(Sound):
    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        return [Segment("input", input), *super().segments(task, input, rng)]


class TellsTheInput(Sound):
    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        return [Segment("instruction", input), *super().segments(task, input, rng)]


class NoSlot(Sound):
    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        return super().segments(task, input, rng)[:-1]


class Blank(Sound):
    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        return [*super().segments(task, input, rng), Segment("cue", " ")]


class Demonstrates(Sound):
    flags = replace(Sound.flags, positive=1)
    role: Any = "example"

    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        others = [one for one in task.positive if normalise_input(one.input) != normalise_input(input)]
        shown = [Segment(self.role, f"{one.input}: {one.output}\n") for one in others[:1]]
        return [*shown, *super().segments(task, input, rng)]


class DemonstratesTheInput(Sound):
    flags = replace(Sound.flags, positive=1)

    def segments(self, task: TaskCard, input: str, rng: Random) -> list[Segment]:
        shown = [Segment("example", f"{one.input}: {one.output}\n") for one in task.positive[:1]]
        return [*shown, *super().segments(task, input, rng)]


class DemonstratesInTheCue(Demonstrates):
    role = "cue"


class DemonstratesUnflagged(Demonstrates):
    flags = Sound.flags


class Overclaims(Sound):
    flags = replace(Sound.flags, labels=True)


class WrongGroup(Sound):
    flags = replace(Sound.flags, group="III")


class NoFlags(Sound):
    flags = None  # type: ignore[assignment]


class Thinks(Sound):
    """Ends and reads answers in its own way."""

    def stop(self, task: TaskCard) -> str:
        return "END"

    def read(self, text: str) -> str:
        return text.rpartition("Answer:")[2].strip()


class CutsLines(Sound):
    def stop(self, task: TaskCard) -> str:
        return "\n"


class StopsNowhere(Sound):
    def stop(self, task: TaskCard) -> str:
        return None  # type: ignore[return-value]


class ReadsNothing(Sound):
    def read(self, text: str) -> str:
        return text.partition("Answer:")[2] or None  # type: ignore[return-value]


class Guesses(Sound):
    def read(self, text: str) -> str:
        return random.choice(["yes", "no", text, *map(str, range(99))])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (ReadsGlobalGenerator, "draws from Python's global generator"),
        (Counts, "differently under the same seed"),
        (Strips, "must show the input"),
        (TwoInputs, "exactly one segment with the role 'input', but has 2"),
        (TellsTheInput, "must show the same of the task for every input"),
        (NoSlot, "must end with a cue"),
        (Blank, "ends with a blank"),
        (DemonstratesTheInput, "shows an example whose input is the asked one"),
        (DemonstratesInTheCue, "must put each demonstration"),
        (DemonstratesUnflagged, r"flags\.positive is 0, but 1 of 9"),
        (Overclaims, r"flags\.labels is True, but the labels are not shown"),
        (WrongGroup, "must be I, II or control"),
        (CutsLines, "stands in a positive example's output"),
        (StopsNowhere, r"stop must return a text, empty for none, but returned None"),
        (ReadsNothing, r"read must return a text for '', but returned None"),
        (Guesses, r"reads .* and then as|draws from Python's global generator"),
        (NoFlags, r"flags must be a FormatFlags"),
    ],
)
def test_a_broken_promise_is_named(broken: type[Format], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_format(broken())


@pytest.mark.parametrize("sound", [Sound, Demonstrates, Thinks])
def test_a_sound_format_passes(sound: type[Format]) -> None:
    check_format(sound())
