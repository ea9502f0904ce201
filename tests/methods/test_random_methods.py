"""R-LoRA and FlyLoRA in training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snibench.base.errors import UsageError
from snibench.engine.packing import make_batch
from snibench.engine.random_layers import SparseProjectionLayer
from snibench.methods.fly_lora import FlyLora, FlyLoraSettings
from snibench.methods.lora import Lora
from snibench.methods.r_lora import RLora, RLoraSettings
from snibench.rules.pcgrad import PCGrad

DRAWN = [("task0", (0, 1, 2)), ("task1", (2, 3, 4)), ("task2", (4, 5, 6))]


def losses(trainer, tmp_path) -> list[float]:
    trainer.run(tmp_path / f"{id(trainer)}.safetensors")
    return [row["loss"] for row in trainer.progress.trace]


def layers(trainer) -> list[SparseProjectionLayer]:
    return [module for module in trainer.model.modules() if isinstance(module, SparseProjectionLayer)]


def test_with_one_head_r_lora_starts_as_the_base_model(make_trainer) -> None:
    found = []
    for kind, settings in ((Lora, {}), (RLora, {"experts": 1})):
        trainer = make_trainer(kind, **settings)
        trainer.model.eval()
        found.append(trainer.task_losses.losses_of(trainer.task_losses.batch(trainer.encode(DRAWN))).tasks)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_all_of_r_lora_learns_from_the_first_step(make_trainer) -> None:
    trainer = make_trainer(RLora)
    before = {name: parameter.detach().clone() for name, parameter in trainer.named.items()}
    trainer.step(DRAWN)
    assert all(not torch.equal(before[name], parameter) for name, parameter in trainer.named.items())


@pytest.mark.parametrize("kind", [RLora, FlyLora])
def test_training_goes_down(kind, make_trainer, tmp_path) -> None:
    found = losses(make_trainer(kind, recipe=replace(make_trainer(Lora).recipe, steps=12)), tmp_path)
    assert min(found[-3:]) < found[0]


def test_fly_lora_trains_b_and_moves_biases_by_one_step_against_the_excess(make_trainer) -> None:
    trainer = make_trainer(FlyLora)
    trainer.model.train()
    frozen = [layer.A.weight.detach().clone() for layer in layers(trainer)]
    kept: list[torch.Tensor] = []
    for layer in layers(trainer):
        excess = layer.excess
        layer.excess = lambda excess=excess: kept.append(excess()) or kept[-1]
    trainer.step(DRAWN)
    rate = trainer.progress.trace[0]["learning_rate"]
    for layer, before, sign in zip(layers(trainer), frozen, kept, strict=True):
        assert torch.equal(layer.A.weight, before)
        assert layer.B.weight.any()
        torch.testing.assert_close(layer.d.detach(), -rate * sign, rtol=1e-3, atol=1e-7)
        assert {-1.0, 1.0} <= set(sign.tolist())


def test_at_bias_ratio_zero_biases_stay(make_trainer, tmp_path) -> None:
    trainer = make_trainer(FlyLora, bias_ratio=0.0)
    losses(trainer, tmp_path)
    assert not any(layer.d.any() for layer in layers(trainer))


def test_biases_even_out_how_often_ranks_are_kept(make_trainer, tmp_path) -> None:
    spread = []
    for ratio in (0.0, 1.0):
        trainer = make_trainer(FlyLora, bias_ratio=ratio, recipe=replace(make_trainer(Lora).recipe, steps=20))
        losses(trainer, tmp_path)
        trainer.model.train()
        trainer.task_losses.losses_of(trainer.task_losses.batch(trainer.encode(DRAWN)))
        spread.append(torch.stack([layer.kept.std() / layer.kept.mean() for layer in layers(trainer)]).mean().item())
    assert spread[1] < spread[0]


def test_counts_do_not_depend_on_packing_and_only_training_counts(make_trainer) -> None:
    trainer = make_trainer(FlyLora)
    groups, found = trainer.encode(DRAWN), []
    for pack in (True, False):
        trainer.model.train()
        trainer.task_losses.losses_of(make_batch(groups, trainer.backbone, pack=pack))
        found.append([layer.kept for layer in layers(trainer)])
        trainer.method.penalty(trainer.model, (), ())
        trainer.model.eval()
        trainer.task_losses.losses_of(make_batch(groups, trainer.backbone, pack=pack))
        assert all(layer.kept is None for layer in layers(trainer))
    for packed, apart in zip(*found, strict=True):
        # a rank may be kept or not by rounding
        torch.testing.assert_close(packed, apart, rtol=0, atol=2)


def test_biases_stay_out_of_task_gradients_which_are_told_apart_by_hooks(make_trainer) -> None:
    trainer = make_trainer(FlyLora, PCGrad())
    trainer.model.train()
    trainer.step(DRAWN)
    assert trainer.task_losses.collector.backend == "hooks"
    assert not any(name.endswith(".d") for name in trainer.task_losses.collector.named)
    assert all(layer.d.any() for layer in layers(trainer))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: FlyLora(FlyLoraSettings(top=33)), "top must be at most r = 32"),
        (lambda: FlyLora(FlyLoraSettings(bias_ratio=-1.0)), "bias_ratio must be at least 0"),
        (lambda: RLora(RLoraSettings(experts=0)), "experts must be at least 1"),
        (lambda: RLora(RLoraSettings(head_dropout=1.0)), "head_dropout must be at least 0 and below 1"),
        (lambda: RLora(RLoraSettings(gamma=0.0)), "gamma must be above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message) -> None:
    with pytest.raises(UsageError, match=message):
        settings()
