"""Digests of questions: what they cover, and what leaves them as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from snibench.base.types import Question, SuiteRequest
from snibench.data.mini import Mini
from snibench.models.find import find_model
from snibench.plan.questions import QuestionRenderer, QuestionSet

HEAD = """
from snibench.api import Format, FormatFlags, cue, definition, instruction, prompt_of, query

class Mine(Format):
    flags = FormatFlags("full", "I")
    def render(self, task, input, rng):
        head = cue("Definition: "), instruction(definition(task)), cue("\\n\\nInput: ")
        return prompt_of(*head, query(input), cue("\\nOutput:"))
"""
STOP = """
    def stop(self, task):
        return "END"
"""
READ = """
    def read(self, text):
        return text[-1:]
"""


@pytest.fixture(scope="module")
def suite():
    return Mini().load(SuiteRequest("mini", tasks=4))


def asked(suite, format: str) -> QuestionSet:
    task = suite.seen[0]
    question = Question("gap", task, suite.evaluation[task][0].id, format, "held_out", True)
    return QuestionRenderer(suite, find_model("tiny")).question_set("gap", 1, [question], 0, ranked=False)


def test_a_way_to_read_or_to_stop_is_part_of_the_digest_and_the_usual_one_is_not(suite, tmp_path: Path) -> None:
    texts = {"plain": HEAD, "stops": HEAD + STOP, "reads": HEAD + READ, "reads more": HEAD + READ + "    # a change"}
    sets = {"definition": asked(suite, "definition")}
    for number, (name, text) in enumerate(texts.items()):
        file = tmp_path / f"mine{number}.py"
        file.write_text(text, "utf-8")
        sets[name] = asked(suite, f"{file}:Mine")
    digests = {name: one.digest for name, one in sets.items()}
    assert digests["plain"] == digests["definition"]  # the same prompts
    others = [digests[name] for name in ("definition", "stops", "reads", "reads more")]
    assert len(set(others)) == 4
    shas = {name: one.rendered[0].prompt_sha for name, one in sets.items()}
    assert shas["definition"] == shas["plain"] == shas["reads"] == shas["reads more"]  # answered once for all
    assert shas["stops"] != shas["plain"]
    assert [one.rendered[0].stop for one in sets.values()] == [None, None, "END", None, None]


def test_the_digest_of_a_known_question_stays(suite) -> None:
    assert asked(suite, "definition").digest == "3f9a62137c5d4ae0"
