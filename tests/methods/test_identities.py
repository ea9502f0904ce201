"""What the formulas promise of sizes, starts and first steps, and where methods must coincide."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from snibench.base.registry import RULES
from snibench.base.types import TaskCard
from snibench.engine.adapters import ModulatedLayer, TaskRoutedLayer
from snibench.engine.gradients import TaskGradients
from snibench.methods.align_lora import AlignLora
from snibench.methods.fly_lora import FlyLora
from snibench.methods.full import Full
from snibench.methods.hydralora import HydraLora
from snibench.methods.lora import Lora
from snibench.methods.lora_plus import LoraPlus
from snibench.methods.loramoe import LoraMoe
from snibench.methods.merged_experts import MergedExperts
from snibench.methods.mixlora import MixLora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.orpo import Orpo
from snibench.methods.ours import Ours, OursSettings, SimilarityCoordinated
from snibench.methods.prompt_aligned import PromptAligned
from snibench.methods.r_lora import RLora
from snibench.methods.reptile import Reptile
from snibench.methods.sam import Sam
from snibench.methods.soft_prompt import GatedPrompt, SoftPrompt
from snibench.rules.cagrad import CAGrad
from snibench.rules.coordinated import Coordinated, CoordinatedSettings
from snibench.rules.pcgrad import PCGrad

# SmolLM2-135M's.
SHAPE = {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
LORA = 2_442_240  # peft's, r = 8 on all linear layers of the blocks
LAYERS = 7 * 30
# The sums of input and of output widths over a block's seven layers.
IN, OUT = 6 * 576 + 1536, 576 + 192 + 192 + 576 + 1536 + 1536 + 576
ATTENTION_OUT = 576 + 192 + 192 + 576


def cards(count: int) -> list[TaskCard]:
    return [TaskCard(f"t{n}", f"Do {n}.", (), (), "C", (), (), None, "rouge_l") for n in range(count)]


@pytest.mark.parametrize(
    ("kind", "settings", "count"),
    [
        (Lora, {}, LORA),
        (PromptAligned, {}, LORA),
        (Orpo, {}, LORA),
        (Reptile, {}, LORA),
        (Sam, {}, LORA),
        (LoraPlus, {}, LORA),
        (AlignLora, {}, LORA),
        (MixLora, {}, 30 * ((4 * 576 + ATTENTION_OUT) * 8 + (2 * 576 + 1536 + 2 * 1536 + 576) * 8 * 8 + 576 * 8)),
        (LoraMoe, {}, 30 * ((IN + OUT) * 4 * 8 + IN * 8)),
        (Lora, {"r": 64, "rslora": True}, 8 * LORA),
        (Ours, {}, LORA + LAYERS * 8 * 64 + 64 * 576),  # U of every layer, and V
        (Ours, {"joint": False, "similarity": False}, LORA),
        (RLora, {}, 30 * (IN * 8 + OUT * 3 * 8 + IN * 3)),
        (FlyLora, {}, 30 * OUT * 32 + LAYERS * 32),
        (HydraLora, {}, 30 * (IN * 8 + OUT * 3 * 8 + IN * 3)),
        (MtlLora, {}, 30 * (IN * 8 + OUT * 3 * 8) + LAYERS * 5 * (8 * 8 + 3)),  # five tasks
        (MergedExperts, {}, 5 * LORA),
        (MtlLora, {"diagonal": True}, 30 * (IN * 8 + OUT * 3 * 8) + LAYERS * 5 * (8 + 3)),
        (SoftPrompt, {}, 20 * 576),
        (GatedPrompt, {}, 20 * 576 + 576 * 576 + 1),
        (Full, {}, 134_515_008),
    ],
)
def test_parameters_on_the_shape_of_smollm2_135m(kind, settings, count) -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**SHAPE)).requires_grad_(False)
        method = kind(kind.Settings(**settings))
        attached = method.attach(model, cards(5), lambda texts: torch.randn(len(texts), 576), 0)
    assert sum(parameter.numel() for parameter in attached.parameters() if parameter.requires_grad) == count


def run(trainer, tmp_path) -> list[float]:
    trainer.run(tmp_path / f"{id(trainer)}.safetensors")
    return [row["loss"] for row in trainer.progress.trace]


@pytest.mark.parametrize(
    ("kind", "settings", "rule"),
    [
        (Lora, {}, PCGrad),
        (Ours, {"joint": False, "similarity": False}, None),
        (PromptAligned, {"align": "tasks"}, None),
    ],
)
def test_with_one_task_a_step_nothing_is_combined(kind, settings, rule, make_trainer, tmp_path) -> None:
    recipe = replace(make_trainer(Lora).recipe, tasks_per_step=1)
    plain = run(make_trainer(Lora, recipe=recipe), tmp_path)
    one = run(make_trainer(kind, rule and rule(), recipe=recipe, **settings), tmp_path)
    assert one == pytest.approx(plain, rel=1e-5)


def test_cagrad_with_one_task_is_one_and_c_times_the_gradient(make_trainer) -> None:
    generator = torch.Generator()
    alone = TaskGradients(("t",), torch.tensor([[4.0]]).double(), torch.ones(1).double(), generator)
    torch.testing.assert_close(CAGrad().weights(alone), torch.tensor([1.4]).double())


# --------------------------------------------------------------------------------- first steps


def moving(trainer, tmp_path) -> dict[str, int]:
    """At which step each kind of parameter first has a gradient."""
    first: dict[str, int] = {}
    kinds = {"A": ".A.weight", "B": ".B.weight", "U": ".U.weight", "V": "instruction_projection.weight"}
    before: dict[str, torch.Tensor] = {}

    def look(progress, steps) -> None:
        for name, parameter in trainer.named.items():
            if not torch.equal(before[name], parameter):
                first.setdefault(next(kind for kind, end in kinds.items() if name.endswith(end)), progress.step)
            before[name] = parameter.detach().clone()

    before |= {name: parameter.detach().clone() for name, parameter in trainer.named.items()}
    trainer.run(tmp_path / "c.safetensors", on_step=look)
    return first


def test_of_ours_b_learns_first_then_a_and_u_then_v(make_trainer, tmp_path) -> None:
    assert moving(make_trainer(Ours), tmp_path) == {"B": 1, "A": 2, "U": 2, "V": 3}


def test_the_general_gradient_is_zero_at_the_start_but_for_rounding_and_then_is_not(make_trainer, tmp_path) -> None:
    trainer = make_trainer(PromptAligned, align="general")
    rows = []
    trainer.rule.weights = lambda gradients, weights=trainer.rule.weights: (  # type: ignore[method-assign]
        rows.append(gradients.gram.diagonal().sqrt()),
        weights(gradients),
    )[1]
    run(trainer, tmp_path)
    domain, general = rows[0][:-1].mean(), rows[0][-1]
    assert general <= 1e-6 * domain
    assert trainer.progress.trace[0]["projected"] == 0.0
    assert rows[1][-1] > 1e-4 * rows[1][:-1].mean()


# ------------------------------------------------------------------------------------ mtl-lora


def test_routings_start_nearly_one_hot_at_the_default_temperature(make_trainer) -> None:
    largest = {}
    for temperature in (0.1, 0.5):
        torch.manual_seed(0)
        layer = TaskRoutedLayer(
            torch.nn.Linear(4, 4),
            tasks=4000,
            rank=2,
            scale=1.0,
            experts=3,
            temperature=temperature,
            diagonal=True,
            state=None,  # type: ignore[arg-type]
        )
        largest[temperature] = torch.softmax(layer.routing / temperature, -1).amax(-1).median().item()
    assert largest == pytest.approx({0.1: 0.92, 0.5: 0.51}, abs=0.02)


def test_a_diagonal_transform_is_a_full_one_without_the_rest(make_trainer, shake) -> None:
    diagonal, full = (shake(make_trainer(MtlLora, diagonal=flag)) for flag in (True, False))
    pairs = [
        [module for module in trainer.model.modules() if isinstance(module, TaskRoutedLayer)]
        for trainer in (diagonal, full)
    ]
    with torch.no_grad():
        for narrow, wide in zip(*pairs, strict=True):
            wide.transform.copy_(torch.diag_embed(narrow.transform))
            wide.routing.copy_(narrow.routing)
            wide.A.weight.copy_(narrow.A.weight)
            wide.B.weight.copy_(narrow.B.weight)
    batches = [
        trainer.task_losses.batch(trainer.encode([("task1", (0,)), ("task4", (1,))])) for trainer in (diagonal, full)
    ]
    losses = [t.method.losses(t.model, batch) for t, batch in zip((diagonal, full), batches, strict=True)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)


def test_a_task_that_is_absent_from_a_step_is_moved_by_momentum(make_trainer, tmp_path) -> None:
    recipe = replace(make_trainer(Lora).recipe, steps=4, tasks_per_step=1)
    trainer = make_trainer(MtlLora, recipe=recipe)
    layer = next(module for module in trainer.model.modules() if isinstance(module, TaskRoutedLayer))
    rows = [layer.transform.detach().clone()]
    trainer.run(
        tmp_path / "c.safetensors", on_step=lambda progress, steps: rows.append(layer.transform.detach().clone())
    )
    moved = [(after != before).flatten(1).any(1).sum().item() for before, after in pairwise(rows)]
    # B is zero at step 1, so no transform has a gradient; then one more task each step, and earlier ones go on.
    assert moved == [0, 1, 2, 3]


# ----------------------------------------------------------------------------------------- ours


def gradients(vectors: torch.Tensor) -> TaskGradients:
    names = tuple(f"t{index}" for index in range(len(vectors)))
    wide = vectors.double()
    return TaskGradients(names, wide @ wide.T, torch.ones(len(vectors)).double(), torch.Generator().manual_seed(0))


def test_similar_tasks_keep_half_of_their_conflict_where_kappa_says_so() -> None:
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 1.0]])
    index = {"t0": 0, "t1": 1}
    similar = torch.ones(2, 2).double()
    rule = SimilarityCoordinated(CoordinatedSettings(dynamic_weights=False), index, similar)
    # g0' = g0 + (1/2) (1/2) g1, g1' = g1 + (1/2) g0: coefficients of the mean are ((1 + 1/2), (1/4 + 1)) / 2.
    torch.testing.assert_close(rule.weights(gradients(vectors)), torch.tensor([0.75, 0.625]).double())
    unlike = SimilarityCoordinated(CoordinatedSettings(dynamic_weights=False), index, torch.eye(2).double())
    torch.testing.assert_close(unlike.weights(gradients(vectors)), PCGrad().weights(gradients(vectors)))


@given(st.lists(st.lists(st.floats(1e-3, 1e6), min_size=3, max_size=3), min_size=1, max_size=12))
def test_dynamic_weights_have_mean_one_and_differ_by_two_at_most(visits: list[list[float]]) -> None:
    rule = Coordinated(CoordinatedSettings(projection=False))
    for norms in visits:
        weights = 3 * rule.weights(gradients(torch.diag(torch.tensor(norms).double())))
        assert weights.mean().item() == pytest.approx(1)
        assert weights.max() <= 2 * weights.min() + 1e-12


def test_the_rule_of_ours_is_one_that_any_method_can_have() -> None:
    ours = Ours(OursSettings(dynamic_weights=False))
    assert type(ours.rule()) is RULES.get("coordinated")
    assert ours.rule().settings == CoordinatedSettings(projection=True, dynamic_weights=False)


def test_a_task_without_history_takes_the_mean_of_the_others() -> None:
    rule = Coordinated(CoordinatedSettings(projection=False))
    rule.restore({"norm": {"t0": 1.0, "t1": 3.0}, "variation": {"t0": 0.0, "t1": 1.0}})
    weights = 3 * rule.weights(gradients(torch.diag(torch.tensor([1.0, 3.0, 5.0]))))
    raw = torch.tensor([1.0, 1 / 1.9]).double()  # v1 = 0.9 of 1
    expected = torch.cat([raw, raw.mean()[None]])
    torch.testing.assert_close(weights, expected / expected.mean())


def test_an_unseen_task_is_modulated_by_its_own_instruction(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Ours))
    method, card = trainer.method, replace(next(iter(trainer.data.cards.values())), name="never seen")
    layer = next(module for module in trainer.model.modules() if isinstance(module, ModulatedLayer))
    u = torch.randn(1, 2, 8)
    mixed = []
    for instruction in ("Translate it.", "Count the words.", ""):
        with method.for_prompts(trainer.model, [card], [instruction]):
            mixed.append(layer.mix(u, u))
    assert not torch.allclose(mixed[0], mixed[1])
    assert torch.equal(mixed[2], u)  # nothing is told: plain LoRA
    assert ((mixed[0] / u) >= 0.5).all()
    assert ((mixed[0] / u) <= 1.5).all()
