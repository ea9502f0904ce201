"""The official encodings against the official code's own output, and their quirks one by one."""

import json
from random import Random

import pytest
from official import OFFICIAL, needs_official

from snibench.base.registry import FORMATS
from snibench.base.types import Example, TaskCard

NAMES = {
    "input_only": "tk_input_only",
    "task_name": "tk_task_name",
    "def": "tk_definition",
    "pos2": "tk_examples2",
    "def+pos2": "tk_def_pos2",
    "def+pos4": "tk_def_pos4",
    "def+pos2+neg2": "tk_def_pos2_neg2",
    "def+pos2+neg2+expl": "tk_def_pos2_neg2_expl",
}


def read_task(name: str) -> tuple[TaskCard, dict[str, str]]:
    """Card and inputs by id, read here so that this test depends on no loader of ours."""
    fields = json.loads((OFFICIAL / "tasks" / f"{name}.json").read_text(encoding="utf-8"))
    shown = {
        kind: tuple(Example(e["input"], e["output"], e["explanation"]) for e in fields[f"{kind} Examples"])
        for kind in ("Positive", "Negative")
    }
    card = TaskCard(name, fields["Definition"][0], shown["Positive"], shown["Negative"], "", (), (), None, "rouge_l")
    return card, {instance["id"]: instance["input"] for instance in fields["Instances"]}


@needs_official
def test_all_golden_prompts_come_out_byte_for_byte() -> None:
    goldens = [
        json.loads(line) for line in (OFFICIAL / "golden_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(goldens) == 48
    assert {golden["encoding"] for golden in goldens} == set(NAMES)
    for golden in goldens:
        card, inputs = read_task(golden["task"])
        prompt = FORMATS.get(NAMES[golden["encoding"]])().render(card, inputs[golden["id"]], Random(0))
        assert prompt.text == golden["prompt"], (golden["task"], golden["encoding"])


CARD = TaskCard(
    name="task7_x",
    definition=" Say it ",
    positive=(Example(" a ", "0", "since"), Example("b?", "", "so!"), Example("c", "d", "e")),
    negative=(Example("n", "m.", ""),),
    category="C",
    domains=(),
    sources=(),
    labels=None,
    metric="rouge_l",
)


def test_explained_positive_examples_read_as_the_official_code_writes_them() -> None:
    prompt = FORMATS.get("tk_def_pos2_expl")().render(CARD, "x", Random(0))
    assert prompt.text == (
        "Definition: Say it.\n\n"
        " Positive Example 1 -\nInput: a.\n Output: 0.\n Explanation: since.\n\n"
        " Positive Example 2 -\nInput: b?\n Output: .\n Explanation: so!\n\n"
        "Now complete the following example -\nInput: x.\nOutput: "
    )


def test_fewer_examples_than_asked_are_all_shown() -> None:
    prompt = FORMATS.get("tk_def_pos2_neg2")().render(CARD, "x", Random(0))
    assert " Negative Example 1 -\nInput: n.\n Output: m.\n\nNow complete" in prompt.text
    assert sum(segment.role == "example" for segment in prompt.segments) == 3


@pytest.mark.parametrize(("input", "written"), [("", "."), ("  ", "."), (" x ", "x."), ("x?", "x?"), ("x”", "x”.")])
def test_an_input_is_stripped_and_stopped(input: str, written: str) -> None:
    text = FORMATS.get("tk_input_only")().render(CARD, input, Random(0)).text
    assert text == f"Now complete the following example -\nInput: {written}\nOutput: "


def test_the_official_code_shows_an_example_of_the_asked_input() -> None:
    assert "Input: a.\n Output: 0." in FORMATS.get("tk_examples2")().render(CARD, "a", Random(0)).text


def test_the_instruction_is_the_definition_or_the_name() -> None:
    assert FORMATS.get("tk_def_pos2")().render(CARD, "x", Random(0)).instruction == "Say it."
    assert FORMATS.get("tk_task_name")().render(CARD, "x", Random(0)).instruction == "task7_x. "
    assert FORMATS.get("tk_examples2")().render(CARD, "x", Random(0)).instruction == ""
