from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from snibench.base.registry import SUITES
from snibench.base.types import Combo, Instance, SuiteData, SuiteRequest, Task
from snibench.contracts import Suite
from snibench.testing import check_suite

REQUEST = SuiteRequest("mini", tasks=6, instances=4)
Spoil = Callable[[SuiteData], SuiteData]


def test_the_embedded_suite_keeps_the_contract() -> None:
    check_suite(SUITES.get("mini"), SuiteRequest("mini"))


def first_card(data: SuiteData, **changes: object) -> SuiteData:
    name = data.seen[0]
    task = data.tasks[name]
    return replace(data, tasks={**data.tasks, name: Task(replace(task.card, **changes), task.instances)})  # type: ignore[arg-type]


def evaluated(data: SuiteData, **changes: object) -> SuiteData:
    name = data.seen[0]
    first, *others = data.evaluation[name]
    spoiled = (replace(first, **changes), *others)  # type: ignore[arg-type]
    return replace(data, evaluation={**data.evaluation, name: spoiled})


def shared_source(data: SuiteData) -> SuiteData:
    task = data.tasks[data.unseen[0]]
    card = replace(task.card, sources=data.tasks[data.seen[0]].card.sources)
    return replace(data, tasks={**data.tasks, card.name: Task(card, task.instances)}, flags={})


def tuned_on_what_is_asked(data: SuiteData) -> SuiteData:
    name = data.seen[0]
    copied = Instance("another id", data.evaluation[name][0].input.upper(), ("x",))
    return replace(data, probe={**data.probe, name: (copied,)})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: replace(data, digest=str(random.random())), "global generator"),
        (lambda data: replace(data, digest=f"{id(object())} {next(COUNT)}"), "another digest"),
        (lambda data: replace(data, notes=(str(next(COUNT)),)), "other data"),
        (lambda data: replace(data, unseen=()), "seen and unseen tasks"),
        (lambda data: replace(data, unseen=(*data.unseen, data.seen[0])), "on both sides"),
        (lambda data: replace(data, seen=(*data.seen, "gone")), "not those that are seen"),
        (lambda data: replace(data, training={}), "every seen task"),
        (lambda data: replace(data, probe={data.unseen[0]: ()}), "not seen"),
        (lambda data: first_card(data, name="other"), "lists the task 'other'"),
        (lambda data: first_card(data, metric="blue"), "metric 'blue'"),
        (lambda data: replace(data, evaluation={}), "evaluates no instance"),
        (lambda data: evaluated(data, id=data.evaluation[data.seen[0]][1].id), "an id twice"),
        (lambda data: evaluated(data, outputs=()), "no reference"),
        (lambda data: evaluated(first_card(data, labels=("a", "b")), outputs=("c",)), "not its labels"),
        (tuned_on_what_is_asked, "share the input"),
        (shared_source, "no flag"),
        (lambda data: replace(data, combos=(Combo("x", ("gone",), ()),)), "unknown task 'gone'"),
    ],
)
def test_a_broken_suite_is_named_with_its_promise(spoil: Spoil, words: str) -> None:
    class Broken(Suite):
        def load(self, request: SuiteRequest) -> SuiteData:
            return spoil(open_tasks(SUITES.get("mini")().load(request)))

    with pytest.raises(AssertionError, match=words):
        check_suite(Broken, REQUEST)


COUNT = iter(range(1000))


def open_tasks(data: SuiteData) -> SuiteData:
    """``data`` without the label sets, so that one fault at a time is seen."""
    tasks = {name: Task(replace(task.card, labels=None), task.instances) for name, task in data.tasks.items()}
    return replace(data, tasks=tasks)


def test_the_suite_that_is_spoiled_is_sound() -> None:
    class Sound(Suite):
        def load(self, request: SuiteRequest) -> SuiteData:
            return open_tasks(SUITES.get("mini")().load(request))

    check_suite(Sound, REQUEST)
