"""The built-in formats, on few screens because formats are compared with one another.

Texts are those of the catalogue in docs/formats.md, byte for byte. ``D`` is the definition, ``C`` the category,
``L`` the closed label set where there is one, ``x`` the input, never stripped and never punctuated.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from snibench.base.errors import ModelError
from snibench.contracts import Format, FormatFlags
from snibench.formats.base import (
    counterexamples,
    cue,
    definition,
    demonstrations,
    example,
    instruction,
    label_list,
    prompt_of,
    query,
)
from snibench.formats.rewrites import declarative_form, imperative_sentences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from snibench.base.types import Example, Prompt, Segment, TaskCard


def _solved(shown: Example) -> Segment:
    return example(f"Input: {shown.input}\nOutput: {shown.output}\n\n")


def _explained(heading: str, shown: Example) -> Segment:
    reason = f"Reason: {shown.explanation}\n" if shown.explanation else ""
    return example(f"{heading}\nInput: {shown.input}\nOutput: {shown.output}\n{reason}\n")


# ------------------------------------------------------------- group I: the information of the definition


class Definition(Format):
    """The definition, then the input: the reference format."""

    flags = FormatFlags("full", "I")

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``Definition: D``, a blank line, ``Input: x`` and ``Output:``."""
        return prompt_of(
            cue("Definition: "), instruction(definition(task)), cue("\n\nInput: "), query(input), cue("\nOutput:")
        )


class Template(Format):
    """Category, definition and allowed outputs under ``###`` headings."""

    flags = FormatFlags("full", "I", labels=True, category=True)

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """One heading each for C, D, L (closed tasks only), x and the output."""
        labels = f"\n### Allowed outputs: {label_list(task)}" if task.labels else ""
        return prompt_of(
            cue("### Task type: "),
            instruction(f"{task.category}\n### Instruction: {definition(task)}{labels}"),
            cue("\n### Input:\n"),
            query(input),
            cue("\n### Output:"),
        )


class Declarative(Format):
    """The definition as statements: nobody is addressed and nothing is commanded."""

    flags = FormatFlags("full", "I")

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """D through ``declarative_form``, then ``The input is: x`` and ``The output is:``."""
        return prompt_of(
            instruction(declarative_form(definition(task))),
            cue("\n\nThe input is: "),
            query(input),
            cue("\nThe output is:"),
        )


class Question(Format):
    """The input first, then the definition as statements and a question for the output."""

    flags = FormatFlags("full", "I", labels=True)

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """x, D through ``declarative_form``, ``What is the correct output`` among L, and ``Answer:``."""
        asks = "\nWhat is the correct output"
        statements = declarative_form(definition(task))
        if task.labels:
            asking = (instruction(f"{statements}{asks} among {label_list(task)}"), cue("?\nAnswer:"))
        else:
            asking = (instruction(statements), cue(f"{asks}?\nAnswer:"))
        return prompt_of(query(input), cue("\n\n"), *asking)


class Role(Format):
    """The model is called an expert for the category, then given the definition."""

    flags = FormatFlags("full", "I", category=True)

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``You are an expert annotator for`` C in lower case, then D, x and ``Output:``."""
        return prompt_of(
            cue("You are an expert annotator for "),
            instruction(f"{task.category.lower()}.\n{definition(task)}"),
            cue("\n\nInput: "),
            query(input),
            cue("\nOutput:"),
        )


class Chat(Format):
    """The definition as system message and the input as the user's, in the tokenizer's own chat template."""

    flags = FormatFlags("full", "I")

    def __init__(self, frame: tuple[str, str, str] = ("System: ", "\nUser: ", "\nAssistant:")) -> None:
        self._frame = frame  # before the definition, between it and the input, after the input

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``System: D``, ``User: x``, ``Assistant:`` until bound to a tokenizer that has a chat template."""
        before, between, after = self._frame
        return prompt_of(cue(before), instruction(definition(task)), cue(between), query(input), cue(after))

    def messages(self, prompt: Prompt) -> Sequence[Mapping[str, str]]:
        """The definition as the system's message, and demonstrations, history and input as the user's."""
        said = "".join(segment.text for segment in prompt.segments if segment.role in ("history", "example", "input"))
        return [{"role": "system", "content": prompt.instruction}, {"role": "user", "content": said}]

    def bind(self, tokenizer: Any) -> Format:
        """The format in the chat template of ``tokenizer``, or this one if it has none.

        A template that takes no system message gets the definition, a blank line and the input as the user's.

        Raises:
            ModelError: If the template raises or does not write both once; names the cause.
        """
        if not getattr(tokenizer, "chat_template", None):
            return self
        return Chat(_chat_frame(tokenizer))


# Private-use characters: no template trims or escapes them.
_SYSTEM, _USER = "\ue000", "\ue001"
# Some templates print today's date; prompts must not depend on the day.
_CLOCK = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro +%}"  # +: a line feed behind it stays


def _chat_frame(tokenizer: Any) -> tuple[str, str, str]:
    """Text that the chat template writes before, between and behind the definition and the input.

    The template is rendered once, with stand-ins: it can neither trim an input nor act on what is written in it.
    """
    conversations = (
        [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}],
        [{"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}],
    )
    cause = "it drops or repeats what they say"
    for messages in conversations:
        try:
            template = _CLOCK + tokenizer.get_chat_template()
            text = tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a template refuses a role by raising whatever it likes
            cause = f"{type(error).__name__}: {error}"
            continue
        before, _, rest = text.partition(_SYSTEM)
        between, _, after = rest.partition(_USER)
        if text.count(_SYSTEM) == text.count(_USER) == 1 and after:
            return before, between, after
    raise ModelError(
        f"The tokenizer's chat template cannot render a definition and an input ({cause}). "
        "Leave the format 'chat' out, or use a tokenizer with another template."
    )


class Json(Format):
    """Instruction, labels and input as one JSON object."""

    flags = FormatFlags("full", "I", labels=True)
    takes_shots_inside = False

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """The object with an indent of one, then ``Output:``; the input segment is x as a JSON string's body."""
        dumps = partial(json.dumps, ensure_ascii=False, indent=1)
        opening = '{\n "instruction": "'
        head = dumps({"instruction": definition(task), "labels": list(task.labels) if task.labels else None})
        return prompt_of(
            cue(opening),
            instruction(head.removeprefix(opening).removesuffix("\n}")),
            cue(',\n "input": "'),
            query(dumps(input)[1:-1]),
            cue('"\n}\nOutput:'),
        )


# -------------------------------------------------------------------- group II: other information than it


class InstructionExample(Format):
    """The definition, two solved examples, then the input."""

    flags = FormatFlags("full", "II", positive=2)

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``definition`` with the first two positive examples in front of the input."""
        return prompt_of(
            cue("Definition: "),
            instruction(definition(task)),
            cue("\n\n"),
            *map(_solved, demonstrations(task, input, 2)),
            cue("Input: "),
            query(input),
            cue("\nOutput:"),
        )


class ExamplesOnly(Format):
    """Two solved examples, then the input; no word about the task."""

    flags = FormatFlags("none", "II", positive=2)

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``instruction_example`` without its definition."""
        solved = map(_solved, demonstrations(task, input, 2))
        return prompt_of(*solved, cue("Input: "), query(input), cue("\nOutput:"))


class FullExamples(Format):
    """The definition, two right and two wrong examples with their reasons, then the input."""

    flags = FormatFlags("full", "II", positive=2, negative=2, explanations=True)

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``instruction_example`` with headed and explained examples of both kinds; wrong ones stand last."""
        return prompt_of(
            cue("Definition: "),
            instruction(definition(task)),
            cue("\n\n"),
            *(_explained("Correct example", shown) for shown in demonstrations(task, input, 2)),
            *(_explained("Wrong example", shown) for shown in counterexamples(task, input, 2)),
            cue("Input: "),
            query(input),
            cue("\nOutput:"),
        )


class Imperative(Format):
    """Only the sentences of the definition that say what to do."""

    flags = FormatFlags("part", "II")

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """D through ``imperative_sentences`` (all of D if there is none), x, and ``Answer:``."""
        orders = " ".join(imperative_sentences(definition(task))) or definition(task)
        return prompt_of(instruction(orders), cue("\n\n"), query(input), cue("\n\nAnswer:"))


class Abstract(Format):
    """The category's name and nothing else about the task."""

    flags = FormatFlags("none", "II", category=True)

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``A problem of the type "C" is considered.``, x, and ``Result:``."""
        return prompt_of(
            cue('A problem of the type "'),
            instruction(task.category),
            cue('" is considered.\n\n'),
            query(input),
            cue("\n\nResult:"),
        )


class Keyword(Format):
    """Category, first domain and labels as bare key words."""

    flags = FormatFlags("none", "II", labels=True, category=True)

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """C, the first domain and L with slashes between, x, and ``=>``."""
        words = " / ".join(filter(None, (task.category, *task.domains[:1], label_list(task))))
        return prompt_of(instruction(words), cue("\n"), query(input), cue("\n=>"))


# ----------------------------------------------------------------------------------- control: the floor


class InputOnly(Format):
    """The input alone: what can be guessed without an instruction."""

    flags = FormatFlags("none", "control")

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """x and a line feed."""
        return prompt_of(query(input), cue("\n"))
