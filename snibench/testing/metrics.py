"""Whether a metric keeps its contract. Needs no torch."""

from __future__ import annotations

import random

from snibench.base.types import Instance
from snibench.contracts import Metric
from snibench.testing.expectations import expect

_REFERENCES = (("a red house",), ("7",), ("yes", "it is so"), ("New York", "Boston", "a city of the coast"))
_ANSWERS = ("a red house", "red", "", "7", "a house that is red\nand old", "no")


def check_metric(metric: Metric) -> None:
    """Check that ``metric`` keeps its contract.

    Checked: a reference scores 1 against itself; every score lies in [0, 1], is the same again, and does not depend on
    the order of the references or the global generator; another reference never lowers it; chance lies in [0, 1].

    Raises:
        AssertionError: Names the promise that is broken.
    """
    name = type(metric).__name__
    expect(isinstance(metric, Metric), f"{name} is not derived from snibench.api.Metric")
    before = random.getstate()
    for references in _REFERENCES:
        for reference in references:
            perfect = metric.score(reference, references)
            expect(abs(perfect - 1) < 1e-9, f"{name} scores a reference {perfect} against itself; it must be 1")
        for answer in _ANSWERS:
            _check_score(metric, name, answer, references)
    expect(random.getstate() == before, f"{name}.score draws from Python's global generator; it must be pure")
    instances = [Instance(str(i), "copied input", references) for i, references in enumerate(_REFERENCES)]
    for sample in ((), instances):
        chance = metric.chance(sample)
        expect(0 <= chance <= 1, f"{name}.chance is {chance}, but must lie in [0, 1]")


def _check_score(metric: Metric, name: str, answer: str, references: tuple[str, ...]) -> None:
    score = metric.score(answer, references)
    expect(0 <= score <= 1, f"{name} scores {answer!r} {score}, but scores lie in [0, 1]")
    expect(metric.score(answer, references) == score, f"{name} scores {answer!r} differently the second time")
    turned = metric.score(answer, references[::-1])
    expect(turned == score, f"{name} scores {answer!r} {score} or {turned}, as the order of its references has it")
    fewer = metric.score(answer, references[:1])
    expect(fewer <= score + 1e-9, f"{name} scores {answer!r} lower the more references there are")
