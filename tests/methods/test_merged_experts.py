"""Single-task experts: each is LoRA on its own task, and they merge as peft merges adapters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from snibench.base.errors import UsageError
from snibench.base.types import TaskCard
from snibench.engine.adapted_layers import adapted_layers
from snibench.engine.task_experts import TaskExpertsLayer, merge_experts
from snibench.methods.lora import Lora
from snibench.methods.merged_experts import MergedExperts, MergedExpertsSettings


def layers(trainer) -> list[TaskExpertsLayer]:
    return [module for module in trainer.model.modules() if isinstance(module, TaskExpertsLayer)]


def test_an_expert_that_is_tuned_on_one_task_is_lora_on_that_task(make_trainer) -> None:
    experts, lora = make_trainer(MergedExperts), make_trainer(Lora)
    for step in range(3):
        updates = [one.updater.update(one.encode([("task1", (0, 1, 2))]), step) for one in (experts, lora)]
        torch.testing.assert_close(updates[0].losses, updates[1].losses, rtol=1e-5, atol=0)
    own = [update[1] for update in (layer.updates() for layer in layers(experts))]
    adapted = [module for module in lora.model.modules() if hasattr(module, "get_delta_weight")]
    assert len(own) == len(adapted) > 0
    for update, module in zip(own, adapted, strict=True):
        torch.testing.assert_close(update, module.get_delta_weight("default").detach(), rtol=1e-3, atol=1e-6)


def test_a_step_moves_the_experts_of_its_tasks_and_no_other(make_trainer) -> None:
    trainer = make_trainer(MergedExperts)
    for step, drawn in enumerate([("task1", "task3"), ("task0", "task1")]):
        before = [[up.detach().clone() for up in layer.B] for layer in layers(trainer)]
        trainer.updater.update(trainer.encode([(task, (0, 1, 2)) for task in drawn]), step)
        for layer, old in zip(layers(trainer), before, strict=True):
            moved = {
                f"task{n}" for n, (up, was) in enumerate(zip(layer.B, old, strict=True)) if not torch.equal(up, was)
            }
            assert moved == set(drawn)


def test_two_experts_merge_as_by_hand() -> None:
    found = {}
    for how in ("arithmetic", "ties"):
        layer = TaskExpertsLayer(nn.Linear(4, 1, bias=False), tasks=2, rank=1, scale=2.0, state=None, dropout=0.0)
        with torch.no_grad():
            for down, up, row in zip(layer.A, layer.B, ([4.0, 3, 1, 0], [-2.0, 5, 0, 1]), strict=True):
                down.copy_(torch.tensor([row]))
                up.fill_(0.5)
        merge_experts(nn.Sequential(layer), how, 1.0, 0.5, 0)
        found[how] = layer.merged[0].tolist()
    assert found["arithmetic"] == [1.0, 4.0, 0.5, 0.5]
    # Half of the entries is kept, [4, 3, 0, 0] and [-2, 5, 0, 0]; the first has the sign of 4 - 2, which one has.
    assert found["ties"] == [4.0, 4.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("how", "density", "theirs", "share"),
    [("arithmetic", 0.2, "svd", 1 / 6), ("ties", 0.3, "ties_svd", 1.0), ("dare", 1.0, "dare_linear_svd", 1 / 6)],
)
@pytest.mark.filterwarnings("ignore:The density 1.0")
def test_experts_merge_as_peft_merges_adapters(how, density, theirs, share, backbone, make_trainer, shake) -> None:
    from peft import LoraConfig, get_peft_model

    trainer = shake(make_trainer(MergedExperts, merge=how, density=density, weight=1.5))
    with trainer.method.for_prompts(trainer.model, [trainer.data.cards["task0"]], [""]):
        pass
    names = [f"t{n}" for n in range(6)]
    config = LoraConfig(r=8, lora_alpha=16, target_modules=adapted_layers(backbone.model))
    model = get_peft_model(backbone.model, config, adapter_name=names[0])
    for name in names[1:]:
        model.add_adapter(name, config)
    adapted = [module for module in model.modules() if hasattr(module, "get_delta_weight")]
    with torch.no_grad():
        for layer, module in zip(layers(trainer), adapted, strict=True):
            for name, down, up in zip(names, layer.A, layer.B, strict=True):
                module.lora_A[name].weight.copy_(down)
                module.lora_B[name].weight.copy_(up)
    whole = {"svd_rank": 64, "svd_full_matrices": False}  # no update has a higher rank: nothing is cut
    model.base_model.add_weighted_adapter(names, [1.5 * share] * 6, "merged", theirs, density=density, **whole)
    for layer, module in zip(layers(trainer), adapted, strict=True):
        torch.testing.assert_close(layer.merged, module.get_delta_weight("merged").detach(), rtol=1e-3, atol=1e-5)


def test_each_row_takes_its_own_expert_or_the_merged_one(make_trainer, shake) -> None:
    trainer = shake(make_trainer(MergedExperts, seen="own"))
    method, known = trainer.method, trainer.data.cards
    unseen = TaskCard("new", "Do it.", (), (), "C", (), (), None, "rouge_l")
    (layer, *_), x = layers(trainer), torch.randn(4, 3, layers(trainer)[0].in_features)
    cards = [known["task2"], unseen, known["task0"], known["task2"]]
    with method.for_prompts(trainer.model, cards, [""] * 4), torch.no_grad():
        found = layer(x) - layer.base_layer(x)
    updates = [layer.updates()[2], layer.merged, layer.updates()[0], layer.updates()[2]]
    torch.testing.assert_close(
        found, torch.stack([a @ b.T for a, b in zip(x, updates, strict=True)]), atol=1e-5, rtol=1e-4
    )
    method.settings = MergedExpertsSettings()
    with method.for_prompts(trainer.model, cards, [""] * 4), torch.no_grad():
        torch.testing.assert_close(layer(x) - layer.base_layer(x), x @ layer.merged.T, atol=1e-5, rtol=1e-4)


def test_what_is_tuned_after_a_merge_is_merged_again(make_trainer, shake) -> None:
    trainer = shake(make_trainer(MergedExperts))
    card = trainer.data.cards["task0"]
    found = []
    for step in range(2):
        with trainer.method.for_prompts(trainer.model, [card], [""]):
            found.append(layers(trainer)[0].merged.clone())
        trainer.updater.update(trainer.encode([("task1", (0, 1, 2))]), step)
    assert not torch.equal(*found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"density": 0.0}, "density must be above 0 and at most 1"), ({"weight": 0.0}, "weight must be above 0")],
)
def test_settings_that_cannot_be_used_are_refused(settings, message) -> None:
    with pytest.raises(UsageError, match=message):
        MergedExperts(MergedExpertsSettings(**settings))
