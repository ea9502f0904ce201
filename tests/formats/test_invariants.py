"""What every registered format promises, plugins installed beside snibench included (I1 to I8 of docs/formats.md).

The ``check_*`` functions take a format and values, so that a plugin's own tests can use them as they are.
"""

import inspect
import json
import os
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snibench.base.hashing import normalise_input
from snibench.base.registry import FORMATS
from snibench.base.types import Example, TaskCard
from snibench.contracts import Format
from snibench.formats.catalogue import Json
from snibench.formats.tk import TkEncoding, stopped

# --------------------------------------------------------------------------------------------------- checks


def as_written(format: Format, input: str) -> str:
    """How ``input`` must stand in its segment: verbatim but for the two kinds of format that say otherwise."""
    if isinstance(format, TkEncoding):
        return stopped(input)
    if isinstance(format, Json):
        return json.dumps(input, ensure_ascii=False)[1:-1]
    return input


def check_it_is_deterministic(format: Format, task: TaskCard, input: str, seed: int) -> None:
    """I1: the same arguments and state of the generator give the same segments, on a fresh format as well."""
    first = format.render(task, input, Random(seed))
    assert format.render(task, input, Random(seed)) == first
    assert type(format)().render(task, input, Random(seed)) == first


def check_the_input_stands_verbatim(format: Format, task: TaskCard, input: str) -> None:
    """I2: one segment of kind ``input``, and it is the input."""
    prompt = format.render(task, input, Random(0))
    assert [segment.text for segment in prompt.segments if segment.role == "input"] == [as_written(format, input)]


def check_no_demonstration_shows_the_input(format: Format, task: TaskCard, input: str) -> None:
    """I3: an example with the asked input, however it is cased and punctuated, is not shown with its answer."""
    twin = Example(f"  {input.upper()} !", "the answer that must not leak")
    assert normalise_input(twin.input) == normalise_input(input)
    leaky = _with_examples(task, (twin, *task.positive), (twin, *task.negative))
    assert "the answer that must not leak" not in format.render(leaky, input, Random(0)).text


def check_what_is_told_does_not_depend_on_the_input(format: Format, task: TaskCard, a: str, b: str) -> None:
    """I3: definition and labels belong to the task; two inputs get the same ones in the same order."""
    assert format.render(task, a, Random(0)).instruction == format.render(task, b, Random(0)).instruction


def check_it_ends_at_the_slot(format: Format, task: TaskCard, input: str) -> None:
    """I4: fixed text stands last, the same for every input, and no blank follows it."""
    prompt, other = (format.render(task, text, Random(0)) for text in (input, "another input"))
    assert prompt.segments[-1].role == "cue"
    assert prompt.segments[-1] == other.segments[-1]
    if not isinstance(format, TkEncoding):
        assert not prompt.text.endswith(" ")


def check_the_flags_say_what_is_shown(format: Format) -> None:
    """I6: on a card whose every field is recognisable, the prompt holds what the flags name and nothing else."""
    card = TaskCard(
        name="task0_card",
        definition="A qualm is a kind of zibbet. Your task is to classify the zibbet.",
        positive=tuple(Example(f"posin{k}", f"posout{k}", f"poswhy{k}") for k in range(9)),
        negative=tuple(Example(f"negin{k}", f"negout{k}", f"negwhy{k}") for k in range(9)),
        category="Zibbet Grading",
        domains=("Farms",),
        sources=("farm",),
        labels=("bleen", "grue"),
        metric="exact_match",
    )
    text = format.render(card, "an input", Random(0)).text.casefold()
    flags = format.flags
    shown = {"whole": "kind of zibbet" in text, "directive": "classify the zibbet" in text}
    assert shown == {"whole": flags.definition == "full", "directive": flags.definition in ("full", "part")}
    assert all(label in text for label in ("bleen", "grue")) == flags.labels
    assert any(label in text for label in ("bleen", "grue")) == flags.labels
    assert ("zibbet grading" in text) == flags.category
    for kind, count in (("pos", flags.positive), ("neg", flags.negative)):
        assert [f"{kind}in{k}" in text for k in range(9)] == [k < count for k in range(9)]
        assert [f"{kind}out{k}" in text for k in range(9)] == [k < count for k in range(9)]
        assert [f"{kind}why{k}" in text for k in range(9)] == [flags.explanations and k < count for k in range(9)]
    assert flags.group in ("I", "II", "control")


def check_each_demonstration_is_one_segment(format: Format, task: TaskCard, input: str) -> None:
    """I5's footing: truncation drops whole demonstrations, so each is one segment of its own."""
    prompt = format.render(task, input, Random(0))
    shown = sum(segment.role == "example" for segment in prompt.segments)
    assert shown <= format.flags.positive + format.flags.negative
    bare = format.render(_with_examples(task, (), ()), input, Random(0))
    assert [segment for segment in prompt.segments if segment.role != "example"] == list(bare.segments)


def check_labels_stand_as_they_are(format: Format, task: TaskCard, input: str) -> None:
    """I7: no label is renamed, so a prediction needs no mapping back."""
    if format.flags.labels and task.labels:
        told = format.render(task, input, Random(0)).instruction
        written = [json.dumps(label, ensure_ascii=False)[1:-1] for label in task.labels]
        assert all(f'"{label}"' in told or f'"{raw}"' in told for label, raw in zip(written, task.labels, strict=True))


def check_it_cannot_tell_training_from_evaluation(format: Format) -> None:
    """I8: what it is given names neither the purpose nor an answer."""
    assert list(inspect.signature(format.render).parameters) == ["task", "input", "rng"]


def _with_examples(task: TaskCard, positive: tuple[Example, ...], negative: tuple[Example, ...]) -> TaskCard:
    return TaskCard(
        task.name,
        task.definition,
        positive,
        negative,
        task.category,
        task.domains,
        task.sources,
        task.labels,
        task.metric,
    )


# ---------------------------------------------------------------------------------------------------- tests

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=60) | st.sampled_from(
    [
        "",
        " ",
        "\n",
        ".",
        "x",
        'He said "Go!"\tand went.',
        "Eingabe: groß\u2028Output:",
        "{x} %s \\n \ue0000\ue001 <|im_end|>",
    ]
)
examples = st.builds(Example, texts, texts, texts)
cards = st.builds(
    TaskCard,
    name=st.just("task0_drawn"),
    definition=texts
    | st.sampled_from(
        [
            "In this task, you are given a text. Your task is to label it 'a' or 'b'. Don't explain!",
            "Given a list, output its length. Note that you may see empty lists.",
        ]
    ),
    positive=st.lists(examples, max_size=3).map(tuple),
    negative=st.lists(examples, max_size=3).map(tuple),
    category=texts,
    domains=st.lists(texts, max_size=2).map(tuple),
    sources=st.just(()),
    labels=st.none() | st.lists(texts, min_size=1, max_size=3, unique=True).map(lambda labels: tuple(sorted(labels))),
    metric=st.sampled_from(["exact_match", "rouge_l"]),
)
few = settings(max_examples=15, deadline=None)


@pytest.fixture(params=FORMATS.names(), scope="session")
def format(request: pytest.FixtureRequest) -> Format:
    made: Format = FORMATS.get(request.param)()
    return made


@few
@given(task=cards, input=texts, seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_prompt(format: Format, task: TaskCard, input: str, seed: int) -> None:
    check_it_is_deterministic(format, task, input, seed)


@few
@given(task=cards, input=texts)
def test_the_input_stands_verbatim_in_one_segment(format: Format, task: TaskCard, input: str) -> None:
    check_the_input_stands_verbatim(format, task, input)


@few
@given(task=cards, input=st.text("abc def.", min_size=1, max_size=20).filter(normalise_input))
def test_no_demonstration_shows_the_asked_input(format: Format, task: TaskCard, input: str) -> None:
    if isinstance(format, TkEncoding):
        pytest.skip("the official code shows such an example, and the encoding is its bytes")
    check_no_demonstration_shows_the_input(format, task, input)


@few
@given(task=cards, a=texts, b=texts)
def test_what_is_told_of_the_task_does_not_depend_on_the_input(format: Format, task: TaskCard, a: str, b: str) -> None:
    check_what_is_told_does_not_depend_on_the_input(format, task, a, b)


@few
@given(task=cards, input=texts)
def test_a_prompt_ends_at_the_answer_slot(format: Format, task: TaskCard, input: str) -> None:
    check_it_ends_at_the_slot(format, task, input)


@few
@given(task=cards, input=texts)
def test_truncation_can_drop_each_demonstration_alone(format: Format, task: TaskCard, input: str) -> None:
    check_each_demonstration_is_one_segment(format, task, input)


@few
@given(task=cards, input=texts)
def test_no_label_is_renamed(format: Format, task: TaskCard, input: str) -> None:
    check_labels_stand_as_they_are(format, task, input)


def test_flags_say_what_is_shown(format: Format) -> None:
    check_the_flags_say_what_is_shown(format)


def test_training_and_evaluation_cannot_be_told_apart(format: Format) -> None:
    check_it_cannot_tell_training_from_evaluation(format)


RENDER_ALL = """
import hashlib
from random import Random
from snibench.base.registry import FORMATS
from snibench.base.types import Example, TaskCard
card = TaskCard("task0_x", "Given a word, label it 'a' or 'b'. You must not explain!", (Example("p", "a", "why"),) * 2,
                (Example("n", "b", "why"),), "Sorting", ("Farms", "News"), ("s",), ("a", "b"), "exact_match")
for name in FORMATS.names():
    prompts = [FORMATS.get(name)().render(card, text, Random(7)) for text in ("x", "y z")]
    print(name, hashlib.sha256(repr(prompts).encode()).hexdigest())
"""


def test_processes_with_other_hash_seeds_render_the_same_bytes() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", RENDER_ALL],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) == len(FORMATS.names())


def test_a_leaking_format_would_be_caught() -> None:
    class Leaky(Format):
        flags = FORMATS.get("examples_only").flags

        def render(self, task, input, rng):  # type: ignore[no-untyped-def]
            from snibench.formats.base import cue, example, prompt_of, query

            return prompt_of(*(example(e.output) for e in task.positive), query(input), cue(":"))

    card = TaskCard("t", "", (), (), "", (), (), None, "rouge_l")
    with pytest.raises(AssertionError):
        check_no_demonstration_shows_the_input(Leaky(), card, "x")
