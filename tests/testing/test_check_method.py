from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from snibench.base.registry import METHODS
from snibench.base.types import TaskCard
from snibench.contracts import Draw, Encode, Group, Losses, Sampler
from snibench.engine.packing import Batch
from snibench.methods.base import BaseMethod, LoraSettings
from snibench.testing import check_method

# What is nothing without a file that the user names; tests/e2e/test_elsewhere.py has them.
FROM_FILES = {"adapter", "answers"}


@pytest.mark.parametrize("name", [name for name in METHODS.names() if name not in FROM_FILES])
def test_every_registered_method_keeps_the_contract(name: str) -> None:
    check_method(METHODS.get(name))


def test_settings_are_taken() -> None:
    check_method(BaseMethod, LoraSettings(r=2))


class MutableSettings(BaseMethod):
    @dataclass
    class Settings:
        r: int = 8


class Unattached(BaseMethod):
    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        return model


class Unrepeatable(BaseMethod):
    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        return super().attach(model, cards, encode, torch.seed())


class MixesTasks(BaseMethod):
    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        losses = super().losses(model, batch)
        return losses + losses.mean()


class OneLoss(BaseMethod):
    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        return super().losses(model, batch).mean()


class Detached(BaseMethod):
    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        still = sum(parameter.sum() for parameter in model.parameters() if parameter.requires_grad)
        return super().losses(model, batch).detach() + 0 * still


class VectorPenalty(BaseMethod):
    def penalty(self, model: nn.Module, tasks: Sequence[str], instructions: Sequence[str]) -> Tensor | None:
        return torch.zeros(3)


class RemembersOutsideParameters(BaseMethod):
    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        self.losses_met = 0
        return super().attach(model, cards, encode, seed)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        self.losses_met += 1
        return super().losses(model, batch)

    @contextmanager
    def for_prompts(self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]) -> Iterator[None]:
        head: Any = model.get_base_model().get_output_embeddings()  # type: ignore[operator]
        turn = head.register_forward_hook(lambda _, __, output: output.roll(self.losses_met, -1))
        yield
        turn.remove()


class WeaklyMixed(BaseMethod):
    """A thousandth of the others' losses, without their gradient."""

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        losses = super().losses(model, batch)
        return losses + 1e-3 * losses.mean().detach()


class NotAsStored(BaseMethod):
    """Scales the adapter beside peft's config, so that peft reads another one than was tuned."""

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        adapted = super().attach(model, cards, encode, seed)
        for module in adapted.modules():
            if isinstance(getattr(module, "scaling", None), dict):
                module.scaling["default"] *= 50
        return adapted


class FreedGraph(BaseMethod):
    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        self.kept = super().losses(model, batch)
        return self.kept

    def penalty(self, model: nn.Module, tasks: Sequence[str], instructions: Sequence[str]) -> Tensor:
        return self.kept.mean()


class StrangeGroups(BaseMethod):
    def groups(self, named: Mapping[str, nn.Parameter]) -> Mapping[str, Group]:
        return {"nothing": Group(2.0)}


class NoRate(BaseMethod):
    def base_rate(self, info: Any, optimizer: str) -> float:
        return 0.0


class NoTargets(BaseMethod):
    def targets(self, card: TaskCard, instance: Any, rng: Any) -> Sequence[str]:
        return []


class RandomTargets(BaseMethod):
    def targets(self, card: TaskCard, instance: Any, rng: Any) -> Sequence[str]:
        return [str(random.random())]


class OneTaskTwice(BaseMethod):
    class Twice(Sampler):
        def draw(self, step: Draw) -> Sequence[str]:
            return [next(iter(step.sizes))] * step.count

    def sampler(self) -> Sampler:
        return self.Twice()


class VectorAuxiliary(BaseMethod):
    def losses(self, model: nn.Module, batch: Batch) -> Any:
        losses = super().losses(model, batch)
        return Losses(losses, auxiliary=losses)


class ScalarAnchors(BaseMethod):
    def losses(self, model: nn.Module, batch: Batch) -> Any:
        losses = super().losses(model, batch)
        return Losses(losses, anchors=losses.mean())


class MovesParameters(BaseMethod):
    """Pseudo-gradients whose inner steps are not taken back."""

    restores = False
    count = 1

    def gradients(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        found: dict[str, list[Tensor]] = {name: [] for name in named}
        for task in range(len(batch.tasks)):
            loss = self.losses(model, batch.select([task]))[0]
            for name, gradient in zip(named, torch.autograd.grad(loss, list(named.values())), strict=True):
                found[name].append(gradient)
                if not self.restores:
                    with torch.no_grad():
                        named[name] -= gradient
        return {name: torch.stack(rows[: self.count or None]) for name, rows in found.items()}


class PseudoGradients(MovesParameters):
    restores, count = True, 0


class OneRow(MovesParameters):
    restores = True


def test_sound_pseudo_gradients_pass() -> None:
    check_method(PseudoGradients)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (MutableSettings, "Settings must be a frozen dataclass"),
        (Unattached, "leaves nothing to train"),
        (Unrepeatable, "must give the same parameters under the same seed"),
        (WeaklyMixed, "must not depend on the others in the batch"),
        (NotAsStored, "loaded with peft, answers differently"),
        (FreedGraph, "the graph of losses is freed by then"),
        (StrangeGroups, "groups names 'nothing', which is no trainable parameter"),
        (NoRate, "base_rate must be None or a positive number"),
        (NoTargets, "targets must give at least one text"),
        (RandomTargets, "other texts under the same seed"),
        (OneTaskTwice, r"Twice\.draw must give 1 to 3 different tasks"),
        (VectorAuxiliary, "must give a scalar as auxiliary loss"),
        (ScalarAnchors, "one finite loss for each anchor"),
        (MovesParameters, "must leave the parameters as they were"),
        (OneRow, "a row for each of 2 tasks"),
        (MixesTasks, "must not depend on the others in the batch"),
        (OneLoss, r"must return one loss for each task of the batch, shape \(3,\)"),
        (Detached, "reach no trainable parameter"),
        (VectorPenalty, "penalty must be None or one finite number"),
        (RemembersOutsideParameters, "what training changes must be a parameter"),
        (int, r"is not derived from snibench\.api\.Method"),
    ],
)
def test_a_broken_promise_is_named(broken: type[Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_method(broken)


def test_an_untuned_method_must_leave_nothing_to_train() -> None:
    class Claims(BaseMethod):
        trains = False

    with pytest.raises(AssertionError, match=r"trains is False, but it leaves .* to train"):
        check_method(Claims)


def test_the_callers_generator_and_threads_are_left_as_they_were() -> None:
    torch.manual_seed(3)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    check_method(METHODS.get("lora"))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
