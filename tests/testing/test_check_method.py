from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from snibench.base.registry import METHODS
from snibench.base.types import TaskCard
from snibench.contracts import Encode
from snibench.engine.packing import Batch
from snibench.methods.base import BaseMethod, LoraSettings
from snibench.testing import check_method


@pytest.mark.parametrize("name", METHODS.names())
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


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (MutableSettings, "Settings must be a frozen dataclass"),
        (Unattached, "leaves nothing to train"),
        (Unrepeatable, "must give the same parameters under the same seed"),
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
