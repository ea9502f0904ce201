"""Whether a suite keeps its contract. Needs no torch."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from snibench.base.registry import METRICS
from snibench.base.types import Instance, SuiteData, SuiteRequest
from snibench.contracts import Suite
from snibench.data.leakage import input_key, origins
from snibench.testing.expectations import expect

_POOLS = ("training", "probe", "evaluation", "context")


def check_suite(suite_type: type[Suite], request: SuiteRequest) -> None:
    """Check that ``suite_type`` keeps its contract under ``request``, which allows no leak.

    Checked: equal requests give equal data and an equal digest, without the global generator; seen and unseen tasks
    are known and disjoint, and both are there; every task has instances to evaluate, every seen task instances to tune
    on; instances of a task have ids and references of their own; no input that is evaluated is tuned on or probed; an
    unseen task that shares a source with a seen one is flagged; closed tasks have answers among their labels; every
    metric is registered; combos name tasks of the suite.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    name = suite_type.__name__
    expect(issubclass(suite_type, Suite), f"{name} is not derived from snibench.api.Suite")
    before = random.getstate()
    data, again = (suite_type().load(request) for _ in range(2))
    expect(isinstance(data, SuiteData), f"{name}.load must return SuiteData, but returned {type(data).__name__}")
    expect(random.getstate() == before, f"{name}.load draws from Python's global generator; derive a seed")
    expect(data.digest == again.digest, f"{name} has another digest for the same request")
    expect(data == again, f"{name} has other data for the same request")
    _check_sides(data, name)
    for task in (*data.seen, *data.unseen):
        _check_task(data, name, task)
    _check_leaks(data, name)
    for combo in data.combos:
        for task in (*combo.a, *combo.b):
            expect(task in data.tasks, f"{name} has a combo '{combo.name}' with the unknown task '{task}'")


def _check_sides(data: SuiteData, name: str) -> None:
    expect(data.seen and data.unseen, f"{name} must have seen and unseen tasks")
    both = set(data.seen) & set(data.unseen)
    expect(not both, f"{name} has the task '{min(both, default='')}' on both sides")
    sides = {*data.seen, *data.unseen}
    expect(sides == set(data.tasks), f"{name}.tasks are not those that are seen or unseen: {sides ^ set(data.tasks)}")
    trained = {task for task, instances in data.training.items() if instances}
    expect(trained == set(data.seen), f"{name}.training must hold every seen task and no other")
    expect(not set(data.probe) - set(data.seen), f"{name}.probe holds a task that is not seen")


def _check_task(data: SuiteData, name: str, task: str) -> None:
    card = data.tasks[task].card
    expect(card.name == task, f"{name} lists the task '{card.name}' as '{task}'")
    expect(card.metric in METRICS.names(), f"{name} scores '{task}' by the metric '{card.metric}', which is not there")
    expect(data.evaluation.get(task), f"{name} evaluates no instance of '{task}'")
    for instances in (pool(data, purpose).get(task, ()) for purpose in _POOLS):
        expect(len({one.id for one in instances}) == len(instances), f"{name} has an id twice in '{task}'")
        for one in instances:
            expect(one.outputs, f"{name} has no reference for {one.id} of '{task}'")
            fair = card.labels is None or set(one.outputs) <= set(card.labels)
            expect(fair, f"{name} has {one.outputs!r} in '{task}', which are not its labels {card.labels!r}")


def pool(data: SuiteData, purpose: str) -> Mapping[str, Sequence[Instance]]:
    """The instances of a suite that serve one purpose."""
    instances: Mapping[str, Sequence[Instance]] = getattr(data, purpose)
    return instances


def _check_leaks(data: SuiteData, name: str) -> None:
    for task in data.seen:
        asked = {input_key(one) for one in data.evaluation[task]}
        for purpose in ("training", "probe"):
            shared = asked & {input_key(one) for one in pool(data, purpose).get(task, ())}
            expect(
                not shared, f"{name}.{purpose} and .evaluation of '{task}' share the input {min(shared, default='')!r}"
            )
    tuned = frozenset[str]().union(*(origins(data.tasks[task].card.sources) for task in data.seen))
    for task in data.unseen:
        shared_sources = tuned & origins(data.tasks[task].card.sources)
        expect(
            not shared_sources or data.flags.get(task),
            f"{name} has the unseen task '{task}' with a source of a seen one, {min(shared_sources, default='')!r}, "
            "and no flag that says so",
        )
