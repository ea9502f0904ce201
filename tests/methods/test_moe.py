"""MixLoRA and LoRAMoE: with one expert LoRA, and a balance loss that acts and does not depend on packing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snibench.base.errors import UsageError
from snibench.base.types import ModelInfo
from snibench.engine.experts import ExpertsBlock, ExpertsLayer
from snibench.engine.packing import make_batch
from snibench.methods.lora import Lora
from snibench.methods.loramoe import LoraMoe, LoraMoeSettings
from snibench.methods.mixlora import MixLora, MixLoraSettings
from snibench.rules.pcgrad import PCGrad

DRAWN = [("task0", (0, 1, 2)), ("task1", (2, 3, 4)), ("task2", (4, 5, 6))]


def losses(trainer, tmp_path) -> list[float]:
    trainer.run(tmp_path / f"{id(trainer)}.safetensors")
    return [row["loss"] for row in trainer.progress.trace]


def gradients(trainer) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in trainer.named.items() if p.grad is not None}


@pytest.mark.parametrize(("kind", "settings"), [(MixLora, {"top": 1}), (LoraMoe, {"r": 8, "alpha": 16})])
def test_with_one_expert_it_is_lora(kind, settings, make_trainer, tmp_path) -> None:
    one = make_trainer(kind, experts=1, **settings)
    assert losses(one, tmp_path) == pytest.approx(losses(make_trainer(Lora), tmp_path), rel=1e-5)


@pytest.mark.parametrize("kind", [MixLora, LoraMoe])
def test_the_balance_loss_is_the_same_whether_or_not_texts_share_their_beginning(kind, make_trainer, shake) -> None:
    trainer = shake(make_trainer(kind, balance=1.0))
    groups = trainer.encode(DRAWN)
    found = []
    for pack in (True, False):
        auxiliary = trainer.task_losses.losses_of(make_batch(groups, trainer.backbone, pack=pack)).auxiliary
        auxiliary.backward()
        found.append((auxiliary.item(), gradients(trainer)))
        trainer.task_losses.clear()
    (packed, by_packed), (apart, by_apart) = found
    assert packed == pytest.approx(apart, rel=1e-4)
    for name, gradient in by_packed.items():
        torch.testing.assert_close(gradient, by_apart[name], rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("kind", [MixLora, LoraMoe])
def test_the_balance_loss_reaches_the_routers_and_stays_out_of_the_task_gradients(kind, make_trainer, shake) -> None:
    found = []
    for balance in (0.0, 5.0):
        trainer = shake(make_trainer(kind, PCGrad(), balance=balance))
        losses_before, gram = trainer.updater.backward(trainer.encode(DRAWN))
        found.append((losses_before, gram, gradients(trainer)))
    (plain_losses, plain_gram, plain), (losses_now, gram, balanced) = found
    torch.testing.assert_close(plain_losses, losses_now)
    torch.testing.assert_close(plain_gram, gram, rtol=1e-4, atol=1e-8)
    assert any(not torch.allclose(plain[name], balanced[name]) for name in plain if name.endswith(".R.weight"))


@pytest.mark.parametrize(("kind", "layer"), [(MixLora, ExpertsBlock), (LoraMoe, ExpertsLayer)])
def test_with_a_strong_balance_loss_experts_are_used_more_evenly(kind, layer, make_trainer, tmp_path) -> None:
    found = []
    for balance in (0.0, 20.0):
        trainer = make_trainer(kind, balance=balance, recipe=replace(make_trainer(Lora).recipe, steps=15))
        with torch.no_grad():  # routers that prefer the first expert
            for module in trainer.model.modules():
                if isinstance(module, layer):
                    module.R.weight[0] += 0.3
        trainer.run(tmp_path / f"{balance}.safetensors")
        trainer.method.settings = replace(trainer.method.settings, balance=1.0)
        batch = trainer.task_losses.batch(trainer.encode(DRAWN))
        found.append(trainer.task_losses.losses_of(batch).auxiliary.item())
    assert found[1] < found[0]


def test_a_router_and_its_experts_learn(make_trainer, tmp_path) -> None:
    for kind in (MixLora, LoraMoe):
        trainer = make_trainer(kind, recipe=replace(make_trainer(Lora).recipe, steps=2))
        before = {name: parameter.detach().clone() for name, parameter in trainer.named.items()}
        trainer.run(tmp_path / f"{kind.__name__}.safetensors")
        assert all(not torch.equal(before[name], p) for name, p in trainer.named.items() if name.endswith("R.weight"))


@pytest.mark.parametrize("kind", [MixLora, LoraMoe])
def test_an_encoder_decoder_starts_as_its_base_and_reports_every_layer(kind, make_trainer, t5_folder, tmp_path) -> None:
    plain, routed = (make_trainer(one, folder=t5_folder) for one in (Lora, kind))
    groups = plain.encode(DRAWN)
    found = routed.task_losses.losses_of(routed.task_losses.batch(groups))
    torch.testing.assert_close(found.tasks, plain.task_losses.losses_of(plain.task_losses.batch(groups)).tasks)
    assert found.auxiliary > 0
    routed.run(tmp_path / "c.safetensors")
    layers = [module for module in routed.model.modules() if isinstance(module, ExpertsBlock | ExpertsLayer)]
    routed.task_losses.clear()
    routed.task_losses.losses_of(routed.task_losses.batch(groups)).auxiliary.backward()
    assert layers
    assert all(layer.R.weight.grad.any() for layer in layers)  # every router reports its balance


def test_a_model_without_feed_forward_modules_is_no_place_for_mixlora() -> None:
    opt = ModelInfo({"architectures": ["OPTForCausalLM"]}, {"model.decoder.layers.0.fc1.weight": (4, 4)}, 1)
    llama = ModelInfo({"architectures": ["Llama"]}, {"model.layers.0.mlp.up_proj.weight": (4, 4)}, 1)
    assert "none of its own" in MixLora().unfit(opt)
    assert MixLora().unfit(llama) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (lambda: MixLora(MixLoraSettings(top=9)), "top must be at most experts = 8"),
        (lambda: MixLora(MixLoraSettings(balance=-1.0)), "balance must be at least 0"),
        (lambda: LoraMoe(LoraMoeSettings(experts=0)), "experts must be at least 1"),
        (lambda: LoraMoe(LoraMoeSettings(balance=-1.0)), "balance must be at least 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message) -> None:
    with pytest.raises(UsageError, match=message):
        settings()
