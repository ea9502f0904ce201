from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from random import Random

import pytest
from snibench_rewrites import SHIPPED, LlmRewrite
from snibench_rewrites.rewriting import Rewrite, as_json, definition_digest, fault, named_labels, read, request

from snibench.api import FORMATS, SUITES, DataError, Instance, SuiteRequest, TaskCard
from snibench.testing import check_format

CARD = TaskCard(
    name="task1_mood",
    definition=" Decide whether the line is glad or sad. ",
    positive=(),
    negative=(),
    category="Mood",
    domains=(),
    sources=(),
    labels=("glad", "sad", "unnamed"),
    metric="exact_match",
)
ASKED = [Instance("i1", "What a day!", ("glad",)), Instance("i2", "...", ("sad",))]


def shown(file: Path, card: TaskCard = CARD) -> str:
    return LlmRewrite(file).render(card, "x", Random(0)).instruction


def kept(output: str, why: str = "", card: TaskCard = CARD) -> Rewrite:
    return Rewrite(card.name, definition_digest(card), "a model", request(card), output, why)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rewrites.json"
    path.write_text(as_json([kept("Say if it is\n glad or sad.")]), encoding="utf-8")
    return path


def test_the_format_keeps_the_contract() -> None:
    check_format(FORMATS.get("llm-rewrite")())


def test_a_rewrite_stands_in_place_of_the_definition(file: Path) -> None:
    prompt = LlmRewrite(file).render(CARD, "x", Random(0))
    assert prompt.text == "Definition: Say if it is glad or sad.\n\nInput: x\nOutput:"
    assert LlmRewrite(file).notes([CARD]) == ()


def test_a_rejected_rewrite_and_a_changed_definition_are_not_shown_and_counted(file: Path) -> None:
    changed = dataclasses.replace(CARD, definition="Decide otherwise.")
    assert shown(file, changed) == "Decide otherwise."
    (note,) = LlmRewrite(file).notes([CARD, changed])
    assert note == ("Format llm-rewrite shows 1 of 2 tasks their own definition, because 'rewrites.json' has none.")
    rejected = file.with_name("rejected.json")
    rejected.write_text(as_json([kept("Say it.", "without the label 'sad'")]), encoding="utf-8")
    assert shown(rejected) == CARD.definition.strip()
    assert LlmRewrite(rejected).notes([CARD])[0].endswith("because the rewrite was rejected.")


def test_the_environment_names_another_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNIBENCH_REWRITES", str(file))
    assert "Say if" in FORMATS.get("llm-rewrite")().render(CARD, "x", Random(0)).text


@pytest.mark.parametrize(
    ("text", "words"), [("[{}]", "is not a file"), ("not json", "is not a file"), (None, "cannot")]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=words):
        shown(path)


# ------------------------------------------------------------------------- what the model is asked


def test_the_model_is_shown_the_definition_and_the_labels_that_it_names_alone() -> None:
    assert named_labels(CARD) == ("glad", "sad")
    asked = request(dataclasses.replace(CARD, category="Secret", domains=("Secret",)))
    assert CARD.definition.strip() in asked
    assert "Keep these words as they are: glad, sad." in asked
    assert "Secret" not in asked
    assert "unnamed" not in asked


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("Is it Glad, or 'sad'?", ""),
        ("Is it gladly or sad?", "without the label 'glad'"),
        ("Feel it.", "without the label 'glad', 'sad'"),
        (" ", "empty"),
    ],
)
def test_a_rewrite_keeps_every_label_that_the_definition_names(output: str, why: str) -> None:
    assert fault(CARD, ASKED, request(CARD), output, finished=True) == why


def test_what_did_not_come_to_an_end_is_rejected() -> None:
    assert fault(CARD, [], request(CARD), "glad or sad", finished=False) == "cut off"


def test_a_prompt_that_holds_an_instance_is_rejected() -> None:
    leaky = f"{request(CARD)} For example: what a day"
    assert "input of instance i1" in fault(CARD, ASKED, leaky, "glad or sad", finished=True)
    dots = f"{request(CARD)} ..."
    assert "input of instance i2" in fault(CARD, ASKED, dots, "glad or sad", finished=True)


def test_an_output_in_the_prompt_is_rejected_unless_it_is_a_label() -> None:
    assert fault(CARD, ASKED, request(CARD), "glad or sad", finished=True) == ""
    open_task = dataclasses.replace(CARD, labels=None)
    assert "output of instance i1" in fault(open_task, ASKED, request(open_task), "any", finished=True)


# ------------------------------------------------------------------------------- what is shipped


def test_the_shipped_file_is_of_the_tasks_of_mini_and_keeps_the_rules() -> None:
    suite = SUITES.get("mini")().load(SuiteRequest("mini"))
    rewrites = read(SHIPPED)
    known = {(task.name, definition_digest(task.card)) for task in suite.tasks.values()} & set(rewrites)
    assert len(known) > 0.9 * len(suite.tasks)  # a definition that has changed since has none, and that is said
    for key in known:
        one, card = rewrites[key], suite.tasks[key[0]].card
        assert one.prompt == request(card)
        finished = one.fault != "cut off"
        assert one.fault == fault(card, suite.evaluation[key[0]], one.prompt, one.output, finished=finished)
    assert len({one.model for one in rewrites.values()}) == 1
    assert any(not one.fault for one in rewrites.values())


def test_the_shipped_file_is_written_as_the_script_writes_it() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == as_json(read(SHIPPED).values())
    assert len(json.loads(SHIPPED.read_text(encoding="utf-8"))) == len(read(SHIPPED))
