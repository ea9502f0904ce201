"""Whether a format keeps its contract. Needs no torch."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from snibench.base.types import Example, Prompt, TaskCard
from snibench.contracts import Format, FormatFlags
from snibench.testing.expectations import expect, recognisable_card

_INPUTS = (
    "Tom has 3 apples. How many?",
    "  outer blanks, a line\n\nbreak and a tab\t",
    "no final stop",
    'quotes "and" {braces} %s \\n <|end|> [b]',
    "Eingabe: groß — 例\u2028Output:",
    "",
)

# What models say: nothing, a word, lines, a cue without an answer, one cue too many.
_SAID = ("", "yes", "one line\nand another", "Let me see.\nAnswer:", "Answer: a\nAnswer: b", "{} \\n <|end|>")


def check_format(format: Format, *, as_written: Callable[[str], str] = str) -> None:
    """Check that ``format`` keeps its contract.

    Checked: the same seed gives the same segments, without Python's global generator; one ``input`` segment,
    verbatim; no demonstration with the asked input; the instruction does not depend on the input; the prompt ends
    at the answer slot; demonstrations are segments of their own; ``flags`` say what is shown; ``stop`` and ``read`` are
    pure, give texts, and no positive example's output would be cut by the stop.

    Args:
        format: The format, unbound.
        as_written: How an input must stand in its segment, for a format that quotes it (as JSON does).

    Raises:
        AssertionError: Names the promise that is broken.
    """
    name = type(format).__name__
    expect(isinstance(format, Format), f"{name} is not derived from snibench.api.Format")
    flags = getattr(format, "flags", None)
    expect(isinstance(flags, FormatFlags), f"{name}.flags must be a FormatFlags, but is {flags!r}")
    bare = replace(recognisable_card(), positive=(), negative=())
    for card in (recognisable_card(), recognisable_card(closed=False), bare):
        for text in _INPUTS:
            _check_prompt(format, name, card, text, as_written)
    _check_leak(format, name)
    _check_flags(format, name)
    _check_answers(format, name)


def _check_prompt(format: Format, name: str, card: TaskCard, text: str, as_written: Callable[[str], str]) -> None:
    before = random.getstate()
    prompt, again = (format.render(card, text, random.Random(7)) for _ in range(2))
    expect(isinstance(prompt, Prompt), f"{name}.render must return a Prompt, but returned {type(prompt).__name__}")
    expect(prompt == again, f"{name} renders {text!r} differently under the same seed")
    expect(random.getstate() == before, f"{name}.render draws from Python's global generator; use the rng it is given")
    inputs = [segment.text for segment in prompt.segments if segment.role == "input"]
    expect(len(inputs) == 1, f"{name} must have exactly one segment with the role 'input', but has {len(inputs)}")
    expect(
        inputs[0] == as_written(text),
        f"{name} must show the input {as_written(text)!r} as it is, but shows {inputs[0]!r}",
    )
    other = format.render(card, "quite another input", random.Random(7))
    expect(
        prompt.instruction == other.instruction,
        f"{name} must show the same of the task for every input, but shows {prompt.instruction!r} "
        f"and {other.instruction!r}",
    )
    expect(
        prompt.segments[-1].role == "cue" and prompt.segments[-1] == other.segments[-1],
        f"{name} must end with a cue, the same for every input, but ends with {prompt.segments[-1]!r}",
    )
    expect(not prompt.text.endswith(" "), f"{name} ends with a blank: the harness puts one before the answer")
    undemonstrated = format.render(replace(card, positive=(), negative=()), text, random.Random(7))
    rest = tuple(segment for segment in prompt.segments if segment.role != "example")
    expect(
        rest == undemonstrated.segments,
        f"{name} must put each demonstration, and nothing else, into a segment with the role 'example': "
        "truncation drops them one by one",
    )


def _check_leak(format: Format, name: str) -> None:
    asked = "How many apples?"
    twin = Example(f"  {asked.upper()} !", "answer that leaks")
    card = replace(
        recognisable_card(),
        positive=(twin, *recognisable_card().positive),
        negative=(twin, *recognisable_card().negative),
    )
    shown = format.render(card, asked, random.Random(0)).text
    expect(
        twin.output not in shown,
        f"{name} shows an example whose input is the asked one but for case and punctuation, so it shows the answer",
    )


def _check_flags(format: Format, name: str) -> None:
    flags, card = format.flags, recognisable_card()
    text = format.render(card, "an input", random.Random(0)).text.casefold()
    whole, directive = "kind of zibbet" in text, "classify the zibbet" in text
    shown_part = "full" if whole and directive else "part" if whole or directive else "none"
    expect(
        flags.definition == shown_part,
        f"{name}.flags.definition is {flags.definition!r}, but what is shown is {shown_part!r}",
    )
    labels = all(label in text for label in ("bleen", "grue"))
    expect(flags.labels == labels, f"{name}.flags.labels is {flags.labels}, but the labels are {_shown(labels)}")
    category = card.category.casefold() in text
    expect(flags.category == category, f"{name}.flags.category is {flags.category}, but it is {_shown(category)}")
    for side, count in (("positive", flags.positive), ("negative", flags.negative)):
        examples = getattr(card, side)
        shown = sum(example.input in text and example.output in text for example in examples)
        expect(shown == count, f"{name}.flags.{side} is {count}, but {shown} of {len(examples)} examples are shown")
        explained = sum(example.explanation in text for example in examples)
        expect(
            explained == (count if flags.explanations else 0),
            f"{name}.flags.explanations is {flags.explanations}, but {explained} of the {count} {side} examples "
            "are explained",
        )
    expect(flags.group in {"I", "II", "control"}, f"{name}.flags.group must be I, II or control, not {flags.group!r}")


def _check_answers(format: Format, name: str) -> None:
    """Check where an answer ends and how it is read."""
    before = random.getstate()
    lines = replace(recognisable_card(), positive=(Example("an input", "one line\nand another"),))
    for card in (recognisable_card(), recognisable_card(closed=False), lines):
        stop, again = (format.stop(card) for _ in range(2))
        expect(isinstance(stop, str), f"{name}.stop must return a text, empty for none, but returned {stop!r}")
        expect(stop == again, f"{name}.stop is {stop!r} and then {again!r} for the same task")
        for example in card.positive if stop else ():
            expect(
                stop not in example.output,
                f"{name}.stop {stop!r} stands in a positive example's output, {example.output!r}: it would cut answers",
            )
    for text in _SAID:
        answer, again = (format.read(text) for _ in range(2))
        expect(isinstance(answer, str), f"{name}.read must return a text for {text!r}, but returned {answer!r}")
        expect(answer == again, f"{name}.read reads {text!r} as {answer!r} and then as {again!r}")
    expect(random.getstate() == before, f"{name}.stop or {name}.read draws from Python's global generator")


def _shown(shown: bool) -> str:
    return "shown" if shown else "not shown"
