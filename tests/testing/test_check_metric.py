from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from snibench.base.registry import METRICS
from snibench.base.types import Instance
from snibench.contracts import Metric
from snibench.testing import check_metric


@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_keeps_the_contract(name: str) -> None:
    check_metric(METRICS.get(name)())


class Sound(Metric):
    def score(self, prediction: str, references: Sequence[str]) -> float:
        return max(float(prediction == one) for one in references)


class Percent(Sound):
    def score(self, prediction: str, references: Sequence[str]) -> float:
        return 100 * super().score(prediction, references)


class Draws(Sound):
    def score(self, prediction: str, references: Sequence[str]) -> float:
        return max(super().score(prediction, references), random.random() / 2)


class FirstAlone(Sound):
    def score(self, prediction: str, references: Sequence[str]) -> float:
        return 1.0 if prediction in references[1:] else 0.9 * super().score(prediction, references[:1])


class Averages(Sound):
    def score(self, prediction: str, references: Sequence[str]) -> float:
        return 1.0 if prediction in references else 0.5 / len(references)


class Guesses(Sound):
    def chance(self, instances: Sequence[Instance]) -> float:
        return 50.0


def test_a_sound_metric_passes() -> None:
    check_metric(Sound())


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (Percent, "must be 1"),
        (Draws, "differently the second time"),
        (FirstAlone, "must be 1"),
        (Averages, "lower the more references"),
        (Guesses, "chance is 50"),
    ],
)
def test_a_broken_metric_is_named_with_its_promise(broken: type[Metric], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_metric(broken())
