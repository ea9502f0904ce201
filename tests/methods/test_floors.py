"""Floors: the published values of the heuristics, and what the majority label is worth."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from official import OFFICIAL, needs_official

from snibench import metrics
from snibench.base.types import Example, Instance, Task, TaskCard
from snibench.contracts import Floor
from snibench.data.mini import tasks as mini_tasks
from snibench.data.natural_instructions import load_task
from snibench.methods.floors import CopyDemo, CopyInput, Majority


def answered(floor: Floor, task: Task, pool: Sequence[Instance]) -> list[metrics.Scored]:
    rows = []
    for one in pool:
        said = floor.answer(task.card, one.input, pool)
        em, rl = metrics.exact_match(said, one.outputs), metrics.rouge_l(said, one.outputs)
        rows.append(metrics.Scored(task.name, task.card.category, em, rl))
    return rows


@pytest.mark.slow
@needs_official
@pytest.mark.parametrize(("name", "floor"), [("copy_demo", CopyDemo()), ("copy_input", CopyInput())])
def test_the_heuristics_score_what_the_official_code_gives_them(name: str, floor: Floor) -> None:
    expected = json.loads((OFFICIAL / "reference_scores.json").read_text())[name]
    rows = []
    for task in (OFFICIAL / "splits" / "available" / "test_tasks.txt").read_text().split():
        loaded = load_task(OFFICIAL / "tasks" / f"{task}.json")
        rows += answered(floor, loaded, loaded.instances[:100])
    found = metrics.official_scores(rows)
    scores = {key: value for key, value in expected.items() if key.startswith(("exact_match", "rougeL"))}
    assert len(scores) == 2 * (1 + 12 + 79)  # overall, categories, tasks
    assert {key: found[key] for key in scores} == pytest.approx(scores, abs=1e-4)


MakeTask = Callable[..., Task]


def card(*positive: Example, labels: tuple[str, ...] | None = ("no", "yes")) -> TaskCard:
    return TaskCard("t", "Do it.", positive, (), "C", (), (), labels, "exact_match")


def pool(*answers: str) -> tuple[Instance, ...]:
    return tuple(Instance(str(index), f"question {index}", (answer,)) for index, answer in enumerate(answers))


def test_the_majority_label_is_the_most_frequent_as_exact_match_sees_it() -> None:
    assert Majority().answer(card(), "x", pool("no", "Yes.", "yes")) in {"Yes.", "yes"}
    assert Majority().answer(card(), "x", pool("yes", "no")) == "no"  # a tie: the first by code point
    assert Majority().answer(card(labels=None), "x", pool("yes", "yes")) == ""


def test_the_majority_of_every_closed_task_scores_its_majority_share() -> None:
    for task in mini_tasks().values():
        if task.card.labels is not None:
            some = task.instances[:40]
            scores = [row.exact_match for row in answered(Majority(), task, some)]
            assert sum(scores) / len(scores) == pytest.approx(metrics.majority(some))


def test_the_demonstration_is_the_first_positive_example_and_may_lack() -> None:
    shown = card(Example("a", "first"), Example("b", "second"))
    assert CopyDemo().answer(shown, "a", ()) == "first"
    assert CopyDemo().answer(card(), "a", ()) == ""
    assert CopyInput().answer(shown, " as it is ", ()) == " as it is "
