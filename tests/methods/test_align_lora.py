"""Align-LoRA: the divergence by hand, LoRA at strength zero, and no dependence on packing."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from snibench.base.errors import UsageError
from snibench.engine.packing import make_batch
from snibench.methods.align_lora import AlignLora, AlignLoraSettings, divergence
from snibench.methods.lora import Lora

DRAWN = [("task0", (0, 1, 2)), ("task1", (2, 3, 4)), ("task2", (4, 5, 6))]


def losses(trainer, tmp_path) -> list[float]:
    trainer.run(tmp_path / f"{id(trainer)}.safetensors")
    return [row["loss"] for row in trainer.progress.trace]


def auxiliary(trainer, pack: bool = True) -> torch.Tensor:
    return trainer.task_losses.losses_of(make_batch(trainer.encode(DRAWN), trainer.backbone, pack=pack)).auxiliary


def test_the_divergence_is_that_of_two_normal_distributions_both_ways_over_two() -> None:
    means, variances = torch.randn(3, 4), torch.rand(3, 4) + 0.5
    each = [Independent(Normal(mean, spread), 1) for mean, spread in zip(means, variances.sqrt(), strict=True)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    both = [(kl_divergence(each[a], each[b]) + kl_divergence(each[b], each[a])) / 2 for a, b in pairs]
    torch.testing.assert_close(divergence(means, variances), torch.stack(both).mean(), rtol=1e-4, atol=1e-5)


def test_equal_tasks_and_a_single_one_are_not_apart() -> None:
    alike = torch.ones(3, 4)
    assert divergence(alike, alike).item() == 0
    assert divergence(torch.ones(1, 4), torch.ones(1, 4)).item() == 0


def test_at_strength_zero_it_is_lora(make_trainer, tmp_path) -> None:
    off = make_trainer(AlignLora, strength=0.0)
    assert losses(off, tmp_path) == losses(make_trainer(Lora), tmp_path)


def test_the_alignment_loss_does_not_depend_on_packing(make_trainer, shake) -> None:
    trainer = shake(make_trainer(AlignLora))
    assert auxiliary(trainer).item() == pytest.approx(auxiliary(trainer, pack=False).item(), rel=1e-4)


def test_it_reaches_every_a_and_is_the_mean_over_layers(make_trainer) -> None:
    trainer = make_trainer(AlignLora, strength=1.0)
    whole = auxiliary(trainer)
    whole.backward()
    downs = [name for name in trainer.named if "lora_A" in name]
    assert all(trainer.named[name].grad.any() for name in downs)
    assert whole.item() > 0
    weaker = make_trainer(AlignLora, strength=0.5)
    assert auxiliary(weaker).item() == pytest.approx(whole.item() / 2)


def test_training_brings_the_tasks_closer_together(make_trainer, tmp_path) -> None:
    apart = []
    for strength in (1e-12, 50.0):
        trainer = make_trainer(AlignLora, strength=strength)
        trainer.run(tmp_path / f"{strength}.safetensors")
        apart.append(auxiliary(trainer).item() / strength)
    assert apart[1] < apart[0]


def test_a_negative_strength_is_refused() -> None:
    with pytest.raises(UsageError, match="strength must be at least 0"):
        AlignLora(AlignLoraSettings(strength=-1.0))
