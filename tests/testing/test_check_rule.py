from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from snibench.base.registry import RULES
from snibench.contracts import Needs, Rule
from snibench.engine.gradients import TaskGradients
from snibench.testing import check_rule


@pytest.mark.parametrize("name", RULES.names())
def test_every_registered_rule_keeps_the_contract(name: str) -> None:
    check_rule(RULES.get(name))


class Sound(Rule):
    """The mean, remembering what it has met; each broken rule below differs in one point."""

    needs = Needs.GRAM | Needs.ANCHORS

    def __init__(self) -> None:
        super().__init__()
        self.met: dict[str, int] = {}

    def weights(self, gradients: TaskGradients) -> Tensor:
        for task in gradients.tasks:
            self.met[task] = self.met.get(task, 0) + 1
        raw = torch.tensor([1.0 / self.met[task] for task in gradients.tasks], dtype=torch.float64)
        return torch.cat([raw / raw.sum(), raw.new_zeros(gradients.anchors)])

    def state(self) -> Mapping[str, Any]:
        return {"met": self.met}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.met = dict(state["met"])


def test_a_sound_rule_passes() -> None:
    check_rule(Sound)


class ForgetsAnchors(Sound):
    def weights(self, gradients: TaskGradients) -> Tensor:
        return super().weights(gradients)[: len(gradients.tasks)]


class SinglePrecision(Sound):
    def weights(self, gradients: TaskGradients) -> Tensor:
        return super().weights(gradients).float()


class DividesByNorms(Sound):
    def weights(self, gradients: TaskGradients) -> Tensor:
        return 1 / gradients.gram.diagonal()


class Draws(Sound):
    def weights(self, gradients: TaskGradients) -> Tensor:
        return super().weights(gradients) * torch.rand(1, dtype=torch.float64)


class Scribbles(Sound):
    def weights(self, gradients: TaskGradients) -> Tensor:
        gradients.gram.fill_diagonal_(0)
        return super().weights(gradients)


class LikesTheFirst(Sound):
    def weights(self, gradients: TaskGradients) -> Tensor:
        weights = super().weights(gradients)
        weights[0] += 1
        return weights


class Climbs(Sound):
    def weights(self, gradients: TaskGradients) -> Tensor:
        return -super().weights(gradients)


class Forgets(Sound):
    def state(self) -> Mapping[str, Any]:
        return {"met": {}}


class KeepsTensors(Sound):
    def state(self) -> Mapping[str, Any]:
        return {"met": torch.zeros(1)}


class WantsMore(Sound):
    needs = frozenset({"gram", "hessian"})


class ReadsMore(Sound):
    """Looks at losses that it did not ask for."""

    def weights(self, gradients: TaskGradients) -> Tensor:
        return super().weights(gradients) * gradients.losses.sum()


class ReadsGramUnasked(Sound):
    needs = Needs.LOSSES

    def weights(self, gradients: TaskGradients) -> Tensor:
        return gradients.gram.diagonal()


class ReadsRowsUnasked(Sound):
    def weights(self, gradients: TaskGradients) -> Tensor:
        return super().weights(gradients) * len(list(gradients.rows()))


class Coordinatewise(Rule):
    """The mean by coordinates; each broken one below differs in one point."""

    needs = Needs.ROWS | Needs.GENERATOR

    def combine(self, gradients: TaskGradients) -> Mapping[str, Tensor]:
        return {name: rows.mean(0) for name, rows in gradients.rows()}


def test_a_sound_rule_by_coordinates_passes() -> None:
    check_rule(Coordinatewise)


class WrongShape(Coordinatewise):
    def combine(self, gradients: TaskGradients) -> Mapping[str, Tensor]:
        return {name: rows.mean(0)[None] for name, rows in gradients.rows()}


class StrangeName(Coordinatewise):
    def combine(self, gradients: TaskGradients) -> Mapping[str, Tensor]:
        return {f"base.{name}": rows.mean(0) for name, rows in gradients.rows()}


class DrawsByCoordinate(Coordinatewise):
    def combine(self, gradients: TaskGradients) -> Mapping[str, Tensor]:
        return {name: rows.mean(0) * torch.rand(1) for name, rows in gradients.rows()}


class Unasked(Coordinatewise):
    needs = Needs.GRAM


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (ForgetsAnchors, r"must have shape \(2,\) for 1 tasks and 1 anchors"),
        (SinglePrecision, "must be float64"),
        (DividesByNorms, "with one zero gradient: .* are not finite"),
        (Draws, r"draw from gradients\.generator only"),
        (Scribbles, "changes the Gram matrix"),
        (LikesTheFirst, "must not depend on the order of the tasks"),
        (Climbs, "must go down a single task's gradient"),
        (Forgets, "restored from its state goes on with"),
        (KeepsTensors, r"state\(\) must be JSON"),
        (ReadsMore, r"gradients\.losses was read, but .* Add Needs\.LOSSES"),
        (ReadsGramUnasked, r"gradients\.gram was read, but .* Add Needs\.GRAM"),
        (ReadsRowsUnasked, r"gradients\.rows was read, but .* Add Needs\.ROWS"),
        (WrongShape, r"combine must give shape"),
        (StrangeName, r"names 'base\.layers\.0', which gradients\.rows\(\) does not"),
        (DrawsByCoordinate, r"another update for the same gradients"),
        (Unasked, r"overrides combine, so its needs must name Needs\.ROWS"),
        (WantsMore, "must be Needs, such as Needs.GRAM, but is .*hessian"),
    ],
)
def test_a_broken_promise_is_named(broken: type[Rule], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_rule(broken)
