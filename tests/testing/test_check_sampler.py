"""A sampler that keeps the contract passes, and each broken promise is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from torch import Tensor

from snibench.base.registry import SAMPLERS
from snibench.contracts import Draw, Sampler
from snibench.testing import check_sampler


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_every_registered_sampler_keeps_the_contract(name: str) -> None:
    check_sampler(SAMPLERS.get(name))


class Sound(Sampler):
    """The tasks with the highest losses so far; each broken one below differs in one point."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.losses: dict[str, float] = {}

    def draw(self, step: Draw) -> Sequence[str]:
        names = step.rng.permutation(list(step.sizes)).tolist()
        return sorted(names, key=lambda name: -self.losses.get(name, 1e9))[: step.count]

    def observe(self, tasks: Sequence[str], losses: Tensor, gram: Tensor | None) -> None:
        self.losses |= dict(zip(tasks, losses.tolist(), strict=True))

    def state(self) -> Mapping[str, Any]:
        return {"losses": self.losses}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.losses = dict(state["losses"])


def test_a_sound_sampler_passes() -> None:
    check_sampler(Sound)


class Twice(Sound):
    def draw(self, step: Draw) -> Sequence[str]:
        return [*super().draw(step)[:1]] * 2


class Nothing(Sound):
    def draw(self, step: Draw) -> Sequence[str]:
        return []


class Strange(Sound):
    def draw(self, step: Draw) -> Sequence[str]:
        return ["none of them"]


class TooMany(Sound):
    def draw(self, step: Draw) -> Sequence[str]:
        return list(step.sizes)


class DrawsGlobally(Sound):
    def draw(self, step: Draw) -> Sequence[str]:
        return np.random.permutation(list(step.sizes)).tolist()[: step.count]


class DrawsForItself(Sound):
    rng = np.random.default_rng(0)

    def draw(self, step: Draw) -> Sequence[str]:
        return self.rng.permutation(list(step.sizes)).tolist()[: step.count]


class Forgets(Sound):
    def state(self) -> Mapping[str, Any]:
        return {"losses": {}}


class KeepsSets(Sound):
    def state(self) -> Mapping[str, Any]:
        return {"losses": {1, 2}}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Twice, "must give 1 to 1 different tasks"),
        (Nothing, "must give 1 to 1 different tasks"),
        (Strange, r"which are no tasks of step\.sizes"),
        (TooMany, "must give 1 to 1 different tasks"),
        (DrawsGlobally, "from a global generator"),
        (DrawsForItself, r"draw from step\.rng only"),
        (Forgets, "restored from its state goes on with"),
        (KeepsSets, r"state\(\) must be JSON"),
        (int, r"is not derived from snibench\.api\.Sampler"),
    ],
)
def test_a_broken_promise_is_named(broken: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_sampler(broken)
