"""The paper's methods: identities with LoRA, and values worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snibench.base.errors import UsageError
from snibench.base.registry import METHODS
from snibench.contracts import Losses, Needs
from snibench.engine.adapters import ModulatedLayer, TaskRoutedLayer, TokenRoutedLayer
from snibench.engine.embeddings import InstructionEncoder
from snibench.engine.gradients import TaskGradients, tensor_of
from snibench.engine.loading import load_backbone
from snibench.engine.losses import target_logits
from snibench.engine.trained_parameters import load_trained, save_trained
from snibench.methods.full import Full
from snibench.methods.hydralora import HydraLora
from snibench.methods.lora import Lora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.ours import Ours
from snibench.methods.prompt_aligned import Aligned, PromptAligned, PromptAlignedSettings
from snibench.models.find import find_model
from snibench.rules.coordinated import Coordinated, CoordinatedSettings
from snibench.rules.mean import Mean
from snibench.rules.pcgrad import PCGrad


def losses(trainer, tmp_path) -> list[float]:
    trainer.run(tmp_path / f"{id(trainer)}.safetensors")
    return [row["loss"] for row in trainer.progress.trace]


def gradients(vectors: torch.Tensor, tasks: int, seed: int = 0) -> TaskGradients:
    names = tuple(f"t{index}" for index in range(tasks))
    wide = vectors.double()
    return TaskGradients(names, wide @ wide.T, torch.ones(tasks).double(), torch.Generator().manual_seed(seed))


# ----------------------------------------------------------------------------------- precision


@pytest.mark.parametrize("kind", [Lora, MtlLora, HydraLora, Ours])
def test_in_bfloat16_trained_weights_stay_float32_and_gradients_near_those_of_float32(
    kind, make_trainer, shake
) -> None:
    found = []
    for precision in ("float32", "bfloat16"):
        trainer = shake(make_trainer(kind, precision=precision))
        trainer.updater.backward(trainer.encode([("task1", (0, 1, 2)), ("task3", (4, 5, 6))]))
        assert {parameter.dtype for parameter in trainer.named.values()} == {torch.float32}
        found.append(torch.cat([p.grad.flatten() for p in trainer.named.values() if p.grad is not None]))
    assert torch.cosine_similarity(*found, dim=0) > 0.995


# ---------------------------------------------------------------------------------- identities


def test_the_baseline_is_lora() -> None:
    assert METHODS.get("unified-prompt") is METHODS.get("lora")
    assert METHODS.aliases("lora") == ["lora", "unified-prompt"]


def test_ours_with_all_switches_off_is_lora(make_trainer, tmp_path) -> None:
    off = make_trainer(Ours, joint=False, similarity=False, projection=False, dynamic_weights=False)
    assert losses(off, tmp_path) == pytest.approx(losses(make_trainer(Lora), tmp_path), rel=1e-5)


def test_ours_with_projection_only_is_lora_with_pcgrad(make_trainer, tmp_path) -> None:
    only = make_trainer(Ours, joint=False, similarity=False, dynamic_weights=False)
    assert losses(only, tmp_path) == pytest.approx(losses(make_trainer(Lora, PCGrad()), tmp_path), rel=1e-5)


def test_mtl_lora_with_one_expert_and_frozen_transforms_is_lora(make_trainer, tmp_path) -> None:
    trainer = make_trainer(MtlLora, experts=1)
    for layer in trainer.model.modules():
        if isinstance(layer, TaskRoutedLayer):
            layer.transform.requires_grad_(False)
    assert losses(trainer, tmp_path) == pytest.approx(losses(make_trainer(Lora), tmp_path), rel=1e-5)


def test_hydralora_with_one_expert_is_lora(make_trainer, tmp_path) -> None:
    one = make_trainer(HydraLora, experts=1)
    assert losses(one, tmp_path) == pytest.approx(losses(make_trainer(Lora), tmp_path), rel=1e-5)


@pytest.mark.parametrize("kind", [HydraLora, Lora, MtlLora, Ours, PromptAligned])
def test_every_adapter_starts_as_the_base_model(kind, make_trainer) -> None:
    trainer, base = make_trainer(kind), make_trainer(Lora)
    sizes = dict.fromkeys(trainer.data.instances, 40)
    groups = trainer.encode([(task, (0, 1)) for task in sizes])
    batch = trainer.task_losses.batch(groups)
    plain = target_logits(base.backbone.model, batch)
    found = trainer.method.losses(trainer.model, batch)
    found = found.tasks if isinstance(found, Losses) else found
    assert torch.allclose(found, base.method.losses(base.model, batch), atol=1e-5)
    assert plain.shape[0] == len(batch.target_ids)


@pytest.mark.parametrize("kind", [Full, HydraLora, Lora, MtlLora, Ours])
def test_saved_parameters_give_back_the_same_model(kind, make_trainer, shake, tmp_path) -> None:
    trainer, fresh = shake(make_trainer(kind)), make_trainer(kind)
    save_trained(trainer.model, tmp_path / "adapter")
    load_trained(fresh.model, tmp_path / "adapter")
    assert all(torch.equal(a, b) for a, b in zip(trainer.named.values(), fresh.named.values(), strict=True))


def test_a_lora_fit_loads_through_peft(make_trainer, shake, llama_folder, tmp_path) -> None:
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    trainer = shake(make_trainer(Lora))
    save_trained(trainer.model, tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(llama_folder), tmp_path / "adapter")
    stored = {name: p for name, p in loaded.named_parameters() if "lora_" in name}
    assert all(torch.equal(stored[name], parameter) for name, parameter in trainer.named.items())


# ------------------------------------------------------------------------------------ mtl-lora


def test_the_experts_of_mtl_lora_part_after_two_steps(make_trainer, tmp_path) -> None:
    recipe = replace(make_trainer(Lora).recipe, steps=2)
    trainer = make_trainer(MtlLora, recipe=recipe)
    trainer.run(tmp_path / "c.safetensors")
    layer = next(module for module in trainer.model.modules() if isinstance(module, TaskRoutedLayer))
    first, second, third = layer.B.weight.chunk(3, dim=1)
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, third)


def test_an_unseen_task_gets_the_mixture_of_the_seen_tasks_updates(make_trainer, shake) -> None:
    trainer = shake(make_trainer(MtlLora))
    layer = next(module for module in trainer.model.modules() if isinstance(module, TaskRoutedLayer))
    u = torch.randn(1, 4, 8)
    routing = layer.state
    row = torch.tensor([0])
    count = len(layer.transform)
    apart = []
    for task in range(count):
        with routing.using(row, tasks=torch.tensor([task])):
            apart.append(layer.B(layer.mix(u, u)))
    shares = torch.softmax(torch.randn(count), 0)
    with routing.using(row, mixture=shares[None]):
        mixed = layer.B(layer.mix(u, u))
    torch.testing.assert_close(mixed, sum(p * one for p, one in zip(shares, apart, strict=True)))
    one_hot = torch.eye(count)[2]
    with routing.using(row, mixture=one_hot[None]):
        torch.testing.assert_close(layer.B(layer.mix(u, u)), apart[2])


@pytest.mark.parametrize("unseen", ["mixture", "mean", "nearest"])
def test_the_shares_of_an_unseen_task_are_a_distribution(make_trainer, tasks, unseen) -> None:
    trainer = make_trainer(MtlLora, unseen=unseen)
    layer = next(module for module in trainer.model.modules() if isinstance(module, TaskRoutedLayer))
    card = tasks["task3"].card
    cards = [replace(card, name="never seen"), tasks["task1"].card]
    with trainer.method.for_prompts(trainer.model, cards, [card.definition, "any"]):
        shares, seen = layer.state.tables["mixture"][layer.state.rows]
    assert shares.sum().item() == pytest.approx(1)
    assert (shares >= 0).all()
    if unseen != "mean":
        assert shares.argmax() == 3
    assert torch.equal(seen, torch.eye(6)[1])


# ----------------------------------------------------------------------------------- hydralora


def test_each_token_goes_through_its_own_mixture_of_experts(make_trainer, shake) -> None:
    layer = next(m for m in shake(make_trainer(HydraLora)).model.modules() if isinstance(m, TokenRoutedLayer))
    x = torch.randn(1, 2, layer.base_layer.in_features)
    experts = layer.B.weight.chunk(3, dim=1)
    for place, token in enumerate(x[0]):
        share = torch.softmax(layer.R.weight @ token, dim=0)
        update = sum(p * b @ layer.A.weight @ token for p, b in zip(share, experts, strict=True))
        expected = layer.base_layer.weight @ token + 16 / 8 * update
        torch.testing.assert_close(layer(x)[0, place], expected, rtol=1e-4, atol=1e-5)


def test_the_experts_of_hydralora_part_after_two_steps(make_trainer, tmp_path) -> None:
    trainer = make_trainer(HydraLora, recipe=replace(make_trainer(Lora).recipe, steps=2))
    trainer.run(tmp_path / "c.safetensors")
    layer = next(module for module in trainer.model.modules() if isinstance(module, TokenRoutedLayer))
    first, second, third = layer.B.weight.chunk(3, dim=1)
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, third)


# ---------------------------------------------------------------------------------------- full


def test_full_tuning_trains_everything_in_float32(make_trainer, llama_folder, tmp_path) -> None:
    base = load_backbone(find_model(str(llama_folder)), precision="bfloat16")
    model = Full().attach(base.model, [], lambda texts: torch.zeros(len(texts), 1), 0)
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight  # still tied
    trainer = make_trainer(Full)
    before = {name: parameter.detach().clone() for name, parameter in trainer.named.items()}
    losses(trainer, tmp_path)
    assert all(not torch.equal(before[name], parameter) for name, parameter in trainer.named.items())


def test_full_tuning_takes_a_rule(make_trainer, tmp_path) -> None:
    mean = losses(make_trainer(Full, Gentle()), tmp_path)
    assert mean == pytest.approx(losses(make_trainer(Full), tmp_path), rel=1e-4)
    assert losses(make_trainer(Full, PCGrad()), tmp_path)[-1] < mean[0]


class Gentle(Mean):
    """The mean, through every task's gradient."""

    needs = Needs.GRAM


# -------------------------------------------------------------------------------- prompt-aligned


def test_the_general_direction_is_never_opposed() -> None:
    torch.manual_seed(0)
    for _ in range(20):
        vectors = torch.randn(5, 3).double()  # 4 tasks and the general gradient
        weights = Aligned(PromptAlignedSettings()).weights(gradients(vectors, 4))
        update = weights @ vectors
        assert update @ vectors[4] >= -1e-9


def test_prograd_by_hand() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-2.0, 0.0]])  # mean (0.5, 0.5), against the general by (0.5, 0)
    rule = Aligned(PromptAlignedSettings(align="general"))
    torch.testing.assert_close(
        rule.weights(gradients(vectors, 2)) @ vectors.double(), torch.tensor([0.0, 0.5]).double()
    )
    assert rule.diagnostics() == {"projected": 1.0, "projected_share": 1.0}


def test_a_general_gradient_of_rounding_size_counts_as_zero() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1e-8, 0.0]])
    weights = Aligned(PromptAlignedSettings(align="general")).weights(gradients(vectors, 2))
    torch.testing.assert_close(weights, torch.tensor([0.5, 0.5, 0.0]).double())


def test_alignment_between_tasks_by_hand() -> None:
    vectors = torch.tensor([[1.0, 1.0], [-1.0, 0.0]])  # each opposes the other: <g1, g2> = -1
    weights = Aligned(PromptAlignedSettings(align="tasks")).weights(gradients(vectors, 2))
    # g1' = g1 + g2 (norm of g2 is 1), g2' = g2 + g1 / 2
    torch.testing.assert_close(weights @ vectors.double(), torch.tensor([-0.25, 0.75]).double())


def test_every_tensor_may_be_aligned_by_itself(make_trainer, shake) -> None:
    trainer = shake(make_trainer(PromptAligned, align="general", per_tensor=True))
    groups = trainer.encode([(f"task{t}", (0, 1)) for t in range(3)])
    found, _ = trainer.task_losses.task_gradients(groups, anchors=True)
    layers = found.grams(tensor_of)
    assert len(layers) == len(trainer.task_losses.collector.named)
    rows = trainer.rule.weights(TaskGradients(("a", "b", "c"), found.gram(), torch.ones(3), torch.Generator(), layers))
    found.apply(rows, list(layers), tensor_of)
    opposed = 0
    for name, gradients in found.pieces():
        domain, general = gradients[:3].mean(0), gradients[3]
        if (product := domain @ general) < 0:
            domain = domain - product / general.square().sum() * general
            opposed += 1
        torch.testing.assert_close(
            trainer.task_losses.collector.named[name].grad.flatten(), domain, rtol=1e-3, atol=1e-6
        )
    assert 0 < opposed < len(layers)
    assert trainer.rule.diagnostics()["projected"] == pytest.approx(opposed / len(layers))


@pytest.mark.parametrize("per_tensor", [True, False])
def test_prompt_aligned_without_strength_is_lora(per_tensor, make_trainer, tmp_path) -> None:
    off = make_trainer(PromptAligned, strength=0.0, per_tensor=per_tensor)
    assert losses(off, tmp_path) == pytest.approx(losses(make_trainer(Lora), tmp_path), rel=1e-5)


# ------------------------------------------------------------------------------------------ ours


def test_the_similarity_penalty_and_its_gradient_are_zero_at_the_start(make_trainer) -> None:
    trainer = make_trainer(Ours)
    names = list(trainer.data.cards)[:4]
    penalty = trainer.method.penalty(trainer.model, names, [trainer.data.cards[n].definition for n in names])
    penalty.backward()
    assert penalty.item() == 0
    grads = [p.grad for p in trainer.named.values() if p.grad is not None]
    assert grads
    assert all(torch.count_nonzero(grad) == 0 for grad in grads)


def test_the_similarity_penalty_by_hand(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Ours))
    method = trainer.method
    names = ["task0", "task4"]
    cards = [trainer.data.cards[name] for name in names]
    definitions = [card.definition for card in cards]
    layers = [module for module in trainer.model.modules() if isinstance(module, ModulatedLayer)]
    with method.for_prompts(trainer.model, cards, definitions):
        z = layers[0].state.tables["z"]
    first, second = (torch.cat([layer.modulation(z)[row] for layer in layers]) for row in (0, 1))
    embedded = InstructionEncoder(trainer.backbone, 512)([card.definition for card in trainer.data.cards.values()])
    centred = embedded - embedded.mean(0)
    similar = torch.cosine_similarity(centred[0], centred[4], dim=0).clamp(min=0)
    size = len(first)
    expected = similar * (first - second).square().sum() / size
    expected += (1 - similar) * max(0.0, float(first.detach() @ second.detach()) / size) ** 2
    torch.testing.assert_close(method.penalty(trainer.model, names, definitions), 0.1 * expected)


def test_a_prompt_without_instruction_gets_plain_lora(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Ours))
    layer = next(module for module in trainer.model.modules() if isinstance(module, ModulatedLayer))
    with trainer.method.for_prompts(trainer.model, [trainer.data.cards["task0"]] * 2, ["", "Say it."]):
        z = layer.state.tables["z"][layer.state.rows]
    assert torch.count_nonzero(z[0]) == 0
    assert torch.count_nonzero(z[1]) > 0


def test_no_rank_is_lost_or_flipped(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Ours))
    layer = next(module for module in trainer.model.modules() if isinstance(module, ModulatedLayer))
    with torch.no_grad():
        layer.U.weight.mul_(1e3)
    factor = 1 + layer.strength * layer.modulation(torch.randn(9, 64))
    assert factor.min() >= 0.5
    assert factor.max() <= 1.5


def test_dynamic_weights_by_hand() -> None:
    rule = Coordinated(CoordinatedSettings(projection=False))

    def visit(*norms: float) -> list[float]:
        weights = rule.weights(gradients(torch.diag(torch.tensor(norms)), len(norms)))
        return (len(norms) * weights).tolist()

    assert visit(1.0, 1.0) == pytest.approx([1, 1])  # first visits: nothing is known
    # task 0 stays, task 1 triples: deltas 0 and (3 - 1) / (3 + 1) = 0.5, so raw weights 1 and 2/3
    assert visit(1.0, 3.0) == pytest.approx([6 / 5, 4 / 5])
    # both stay: task 1's variation decays to 0.45, raw weights 1 and 1 / 1.45
    raw = 1 / 1.45
    assert visit(1.0, 3.0) == pytest.approx([2 / (1 + raw), 2 * raw / (1 + raw)])


def test_the_similarity_regularizer_needs_the_modulation(make_trainer) -> None:
    with pytest.raises(UsageError, match="needs joint=true"):
        make_trainer(Ours, joint=False)
