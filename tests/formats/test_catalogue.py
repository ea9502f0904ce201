"""Each catalogue format against a prompt written by hand."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from snibench.base.errors import ModelError
from snibench.base.registry import FORMATS
from snibench.base.types import Example, TaskCard
from snibench.formats.catalogue import Chat

CLOSED = TaskCard(
    name="task9_mood",
    definition=" In this task, you are given a line. Your task is to label it 'glad' or 'sad'. Lines are short.\n",
    positive=(
        Example("What a day!", "glad", "An exclamation of joy."),
        Example("I weep", "sad", "Weeping is sad."),
        Example("unused", "glad", ""),
    ),
    negative=(Example("Hooray", "sad", "It is glad."),),
    category="Sentiment Analysis",
    domains=("Dialogue", "News"),
    sources=("lines",),
    labels=("glad", "sad"),
    metric="exact_match",
)
OPEN = TaskCard("task8_open", "Write a title.", (), (), "Title Generation", (), (), None, "rouge_l")

D = "In this task, you are given a line. Your task is to label it 'glad' or 'sad'. Lines are short."
DECLARED = "The input is a line. The task is to label it 'glad' or 'sad'. Lines are short."
DEMOS = "Input: What a day!\nOutput: glad\n\nInput: I weep\nOutput: sad\n\n"

CLOSED_PROMPTS = {
    "definition": f"Definition: {D}\n\nInput:  so it goes\nOutput:",
    "instruction_example": f"Definition: {D}\n\n{DEMOS}Input:  so it goes\nOutput:",
    "template": (
        f"### Task type: Sentiment Analysis\n### Instruction: {D}\n"
        '### Allowed outputs: "glad", "sad"\n### Input:\n so it goes\n### Output:'
    ),
    "abstract": 'A problem of the type "Sentiment Analysis" is considered.\n\n so it goes\n\nResult:',
    "declarative": f"{DECLARED}\n\nThe input is:  so it goes\nThe output is:",
    "imperative": "Your task is to label it 'glad' or 'sad'.\n\n so it goes\n\nAnswer:",
    "question": f' so it goes\n\n{DECLARED}\nWhat is the correct output among "glad", "sad"?\nAnswer:',
    "keyword": 'Sentiment Analysis / Dialogue / "glad", "sad"\n so it goes\n=>',
    "examples_only": f"{DEMOS}Input:  so it goes\nOutput:",
    "full_examples": (
        f"Definition: {D}\n\n"
        "Correct example\nInput: What a day!\nOutput: glad\nReason: An exclamation of joy.\n\n"
        "Correct example\nInput: I weep\nOutput: sad\nReason: Weeping is sad.\n\n"
        "Wrong example\nInput: Hooray\nOutput: sad\nReason: It is glad.\n\n"
        "Input:  so it goes\nOutput:"
    ),
    "role": f"You are an expert annotator for sentiment analysis.\n{D}\n\nInput:  so it goes\nOutput:",
    "chat": f"System: {D}\nUser:  so it goes\nAssistant:",
    "json": (
        '{\n "instruction": "' + D + '",\n "labels": [\n  "glad",\n  "sad"\n ],\n "input": " so it goes"\n}\nOutput:'
    ),
    "input_only": " so it goes\n",
}

OPEN_PROMPTS = {
    "definition": "Definition: Write a title.\n\nInput: x\nOutput:",
    "instruction_example": "Definition: Write a title.\n\nInput: x\nOutput:",
    "template": "### Task type: Title Generation\n### Instruction: Write a title.\n### Input:\nx\n### Output:",
    "question": "x\n\nThe task is to write a title.\nWhat is the correct output?\nAnswer:",
    "keyword": "Title Generation\nx\n=>",
    "json": '{\n "instruction": "Write a title.",\n "labels": null,\n "input": "x"\n}\nOutput:',
}


def prompt(name: str, task: TaskCard, input: str) -> Any:
    return FORMATS.get(name)().render(task, input, Random(0))


@pytest.mark.parametrize("name", CLOSED_PROMPTS)
def test_a_closed_task_reads_as_written_by_hand(name: str) -> None:
    assert prompt(name, CLOSED, " so it goes").text == CLOSED_PROMPTS[name]


@pytest.mark.parametrize("name", OPEN_PROMPTS)
def test_an_open_task_without_domains_and_examples_reads_as_written_by_hand(name: str) -> None:
    assert prompt(name, OPEN, "x").text == OPEN_PROMPTS[name]


@pytest.mark.parametrize("name", ["definition", "instruction_example", "full_examples", "chat"])
def test_the_same_definition_is_the_same_instruction_in_every_frame(name: str) -> None:
    assert prompt(name, CLOSED, "x").instruction == D


@pytest.mark.parametrize(
    ("name", "instruction"),
    [
        ("abstract", "Sentiment Analysis"),
        ("declarative", DECLARED),
        ("role", f"sentiment analysis.\n{D}"),
        ("keyword", 'Sentiment Analysis / Dialogue / "glad", "sad"'),
        ("examples_only", ""),
        ("input_only", ""),
    ],
)
def test_the_instruction_is_what_the_format_tells_of_the_task(name: str, instruction: str) -> None:
    assert prompt(name, CLOSED, "x").instruction == instruction


def test_a_demonstration_of_the_asked_input_gives_way_to_the_next() -> None:
    text = prompt("examples_only", CLOSED, "what a DAY").text
    assert text == "Input: I weep\nOutput: sad\n\nInput: unused\nOutput: glad\n\nInput: what a DAY\nOutput:"


def test_an_empty_explanation_leaves_no_reason() -> None:
    assert "Input: unused\nOutput: glad\n\n" in prompt("full_examples", CLOSED, "I weep").text


def test_a_definition_without_directive_is_commanded_whole() -> None:
    card = TaskCard("t", "Titles are short. They rhyme.", (), (), "C", (), (), None, "rouge_l")
    assert prompt("imperative", card, "x").text == "Titles are short. They rhyme.\n\nx\n\nAnswer:"


@pytest.mark.parametrize("input", ['say "hi"\n', "back\\slash", "Größe \u2028 ü", ""])
@pytest.mark.parametrize("card", [CLOSED, OPEN])
def test_the_json_object_reads_back(card: TaskCard, input: str) -> None:
    text = prompt("json", card, input).text
    fields = {
        "instruction": card.definition.strip(),
        "labels": list(card.labels) if card.labels else None,
        "input": input,
    }
    assert text == json.dumps(fields, ensure_ascii=False, indent=1) + "\nOutput:"
    assert json.loads(text.removesuffix("\nOutput:")) == fields


def test_default_groups_are_those_of_the_protocol() -> None:
    groups = {name: FORMATS.get(name).flags.group for name in CLOSED_PROMPTS}
    assert {name for name, group in groups.items() if group == "I"} == {
        "definition",
        "template",
        "declarative",
        "question",
        "role",
        "chat",
        "json",
    }
    assert groups["input_only"] == "control"


# ------------------------------------------------------------------------------------------------- chat


class FakeTokenizer:
    """Chat markup without transformers: ``write`` turns messages into text."""

    def __init__(self, write: Callable[[Any], str] | None) -> None:
        self.chat_template = write and "{{ markup }}"
        self.write = write

    def get_chat_template(self) -> Any:
        return self.chat_template

    def apply_chat_template(
        self, messages: Any, *, chat_template: str, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert chat_template.endswith("{{ markup }}")
        assert not tokenize
        assert add_generation_prompt
        assert self.write
        return self.write(messages)


def trimming(messages: Any) -> str:
    turns = "".join(f"<{message['role']}>{message['content'].strip()}</s>" for message in messages)
    return f"{turns}<assistant>"


def refusing_system(messages: Any) -> str:
    if messages[0]["role"] == "system":
        raise ValueError("System role not supported")
    return trimming(messages)


def refusing_all(messages: Any) -> str:
    raise ValueError("No messages today")


def test_chat_follows_the_tokenizers_template_and_keeps_the_input_verbatim() -> None:
    bound = Chat().bind(FakeTokenizer(trimming))
    text = bound.render(CLOSED, " so it goes\n", Random(0)).text
    assert text == f"<system>{D}</s><user> so it goes\n</s><assistant>"


def test_a_template_without_system_role_gets_the_definition_in_the_users_turn() -> None:
    bound = Chat().bind(FakeTokenizer(refusing_system))
    assert bound.render(CLOSED, "x", Random(0)).text == f"<user>{D}\n\nx</s><assistant>"


def test_a_tokenizer_without_template_leaves_chat_as_it_is() -> None:
    chat = Chat()
    assert chat.bind(FakeTokenizer(None)) is chat


@pytest.mark.parametrize(
    ("write", "cause"),
    [(lambda messages: "hello", "drops or repeats"), (refusing_all, "ValueError: No messages today")],
)
def test_a_template_that_cannot_say_both_is_refused_with_the_cause(write: Callable[[Any], str], cause: str) -> None:
    with pytest.raises(ModelError, match=cause):
        Chat().bind(FakeTokenizer(write))


@pytest.mark.slow
def test_a_real_template_reads_the_same_date_on_every_day() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    )
    tokenizer.chat_template = (
        "\n{{ strftime_now('%Y') }}{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    text = Chat().bind(tokenizer).render(OPEN, " x ", Random(0)).text
    assert text == "\n26 Jul 2024[system] Write a title.\n[user]  x \n[assistant]"
