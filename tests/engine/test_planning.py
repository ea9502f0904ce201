"""From protocols to fits and question sets; nothing is fitted here."""

from __future__ import annotations

from pathlib import Path

import pytest

from snibench.planning import Plan, RunRequest, plan
from snibench.types import Recipe, SuiteRequest

HALVES = """
from snibench.api import Format, Protocol
from snibench.formats.catalogue import Definition
from snibench.protocols.choice import held_out_questions
from snibench.types import Ask, Mixture


class Halves(Protocol):
    version = 1

    def plan(self, suite, limit):
        half = len(suite.seen) // 2
        for side in (suite.seen[:half], suite.seen[half:]):
            questions = held_out_questions(suite, "halves", suite.seen[0], "definition", 2, limit)
            yield Ask(Mixture(side), tuple(questions + held_out_questions(suite, "halves", side[-1], FORMAT, 1, limit)))

    def measure(self, answers, tasks):
        return {}


class Plain(Definition):
    def notes(self, tasks):
        return [f"Plain is plain for {len(tasks)} tasks."]


FORMAT = f"{__file__}:Plain"
"""


@pytest.fixture
def made(tmp_path: Path) -> Plan:
    file = tmp_path / "halves.py"
    file.write_text(HALVES, encoding="utf-8")
    return plan(
        RunRequest(
            methods=("untuned", "lora"),
            suite=SuiteRequest("mini", tasks=8),
            model="tiny",
            baseline=None,
            protocols=(f"{file}:Halves",),
            seeds=(0, 1),
            recipe=Recipe(steps=1),
        )
    )


def test_every_fit_answers_its_own_ask_and_what_is_not_tuned_answers_all(made: Plan) -> None:
    sizes = [(fit.spec.label, fit.spec.seed, [len(part.rendered) for part in fit.questions]) for fit in made.fits]
    assert sizes == [
        ("untuned", 0, [4]),  # one question is in both asks
        ("lora", 0, [3]),
        ("lora", 1, [3]),
        ("lora", 0, [3]),
        ("lora", 1, [3]),
    ]
    by_mixture = {fit.spec.mixture: fit.questions[0].digest for fit in made.fits}
    assert len(set(by_mixture.values())) == len(by_mixture) == 3
    untuned = {one.prompt_sha for one in made.fits[0].questions[0].rendered}
    assert untuned == {one.prompt_sha for fit in made.fits[1:] for one in fit.questions[0].rendered}


def test_a_format_may_say_what_it_shows_otherwise(made: Plan) -> None:
    assert f"Plain is plain for {len(made.suite.tasks)} tasks." in made.notes
