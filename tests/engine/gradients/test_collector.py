"""Per-task gradients: every backend gives the same."""

from __future__ import annotations

import pytest
import torch

from snibench.engine.backbone import base_of
from snibench.engine.gradients import GradientCollector, gram_matrix
from snibench.engine.losses import target_logits, target_nll
from snibench.engine.sampling import plan_steps
from snibench.methods.base import BaseMethod
from snibench.methods.full import Full
from snibench.methods.hydralora import HydraLora
from snibench.methods.lora import Lora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.ours import Ours
from snibench.methods.prompt_aligned import PromptAligned
from snibench.rules.mean import Mean
from snibench.rules.pcgrad import PCGrad
from snibench.testing.models import save_byte_tokenizer


def gradients(trainer, *, pack: bool, by_task: bool, rows: int | None = None):
    trainer.task_losses.pack, trainer.task_losses.rows = pack, rows
    trainer.task_losses.collector = GradientCollector(
        trainer.model, trainer.task_losses.collector.named, backend="loop" if by_task else "hooks"
    )
    sizes = {task: len(instances) for task, instances in trainer.data.instances.items()}
    drawn = plan_steps(trainer.data.mixture, sizes, trainer.recipe, 0)[0]
    collected, losses = trainer.task_losses.task_gradients(trainer.encode(drawn))
    return collected.matrix(), losses, [parameter.grad.clone() for parameter in trainer.task_losses.task_parameters]


@pytest.mark.parametrize("kind", [HydraLora, Lora, MtlLora, Ours, PromptAligned])
@pytest.mark.parametrize(
    "backend",
    [
        {"pack": False, "by_task": False},
        {"pack": True, "by_task": True},
        {"pack": True, "by_task": False, "rows": 2},
        {"pack": True, "by_task": False, "rows": 1},
    ],
    ids=["unpacked", "loop", "two at once", "one at once"],
)
def test_packing_hooks_and_micro_batches_change_no_gradient(kind, backend, make_trainer, shake) -> None:
    matrix, losses, own = gradients(shake(make_trainer(kind)), pack=True, by_task=False)
    other, other_losses, other_own = gradients(shake(make_trainer(kind)), **backend)
    assert matrix.abs().max() > 1e-3
    torch.testing.assert_close(other, matrix, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other_losses, losses, rtol=1e-5, atol=1e-5)
    for first, second in zip(own, other_own, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [HydraLora, Lora, MtlLora, Ours])
def test_gradients_agree_with_differences_of_losses_along_a_direction(kind, make_trainer, shake) -> None:
    trainer = shake(make_trainer(kind))
    sizes = {task: len(instances) for task, instances in trainer.data.instances.items()}
    groups = trainer.encode(plan_steps(trainer.data.mixture, sizes, trainer.recipe, 0)[0])
    matrix = trainer.task_losses.task_gradients(groups)[0].matrix()
    direction = matrix[0] / matrix[0].norm()
    shared = list(trainer.task_losses.collector.named.values())
    start = [parameter.detach().clone() for parameter in shared]
    losses = []
    for length in (1e-2, -1e-2):
        with torch.no_grad():
            moves = direction.split([parameter.numel() for parameter in shared])
            for parameter, before, move in zip(shared, start, moves, strict=True):
                parameter.copy_(before + length * move.view_as(parameter))
            losses.append(trainer.task_losses.of(groups))
    slope = (losses[0] - losses[1]) / 2e-2
    torch.testing.assert_close((matrix @ direction).double(), slope, rtol=5e-3, atol=5e-4)


def test_a_gram_matrix_in_pieces_is_the_gram_matrix() -> None:
    torch.manual_seed(0)
    rows = torch.randn(5, 1000)
    torch.testing.assert_close(gram_matrix(rows, columns=7), rows.double() @ rows.double().T)


def test_a_large_gram_matrix_is_as_exact_as_its_gradients() -> None:
    torch.manual_seed(0)
    # A common direction, so that products do not average out, and norms far apart.
    rows = (torch.randn(5, 30_000) + torch.randn(30_000)) * torch.tensor([1.0, 10, 1e-3, 1e3, 1])[:, None]
    right = rows.double() @ rows.double().T
    norms = right.diagonal().sqrt()
    for dtype, allowed in ((torch.float32, 1e-7), (torch.bfloat16, 1e-2)):
        found = gram_matrix(rows.to(dtype), columns=8192, exact=1)
        assert found.dtype == torch.float64
        assert ((found - right) / norms / norms[:, None]).abs().max() < allowed
    assert torch.equal(gram_matrix(rows.double(), columns=8192, exact=1), gram_matrix(rows.double(), columns=8192))


# ------------------------------------------------------------------ parameters that are no linear layers' weights


class Peft(BaseMethod):
    """Any adapter of peft's."""

    def __init__(self, config) -> None:
        super().__init__()
        self.config = config

    def attach(self, model, cards, encode, seed):
        from peft import get_peft_model

        return get_peft_model(model, self.config)


class SoftPrompt(BaseMethod):
    """Three trained embeddings in front of every instance."""

    shares_prefixes = False

    def attach(self, model, cards, encode, seed):
        model.soft = torch.nn.Parameter(torch.randn(3, model.config.hidden_size))
        return model

    def losses(self, model, batch):
        rows, length = batch.input_ids.shape
        embedded = model.get_input_embeddings()(batch.input_ids)
        embedded = torch.cat([model.soft.expand(rows, -1, -1), embedded], dim=1)
        if batch.mask.dim() == 2:
            mask = torch.cat([batch.mask.new_ones(rows, 3), batch.mask], dim=1)
        else:
            first = torch.ones(3, 3 + length, dtype=torch.bool).tril().repeat(rows, 1, 1, 1)
            mask = torch.cat([first, torch.cat([batch.mask.new_ones(rows, 1, length, 3), batch.mask], 3)], 2)
        hidden = model.model(inputs_embeds=embedded, attention_mask=mask, use_cache=False).last_hidden_state
        places, columns = batch.target_index.unbind(1)
        return target_nll(model.get_output_embeddings()(hidden[places, columns + 3]).float(), batch)


class Scales(BaseMethod):
    """LoRA, and with it the scales of all norms: some parameters are linear layers', some are not."""

    def attach(self, model, cards, encode, seed):
        adapted = super().attach(model, cards, encode, seed)
        for name, parameter in adapted.named_parameters():
            if "norm" in name:
                parameter.requires_grad_(True)
        return adapted


class ByTask(BaseMethod):
    """DoRA whose loss asks which task it is given, so that tasks cannot be stacked."""

    def attach(self, model, cards, encode, seed):
        return dora().attach(model, cards, encode, seed)

    def losses(self, model, batch):
        scale = torch.tensor([1.0 + int(name[-1]) for name in batch.tasks])
        return scale * super().losses(model, batch)


class Mixed(BaseMethod):
    """A loss of one task that looks at the other tasks of the batch."""

    def losses(self, model, batch):
        each = super().losses(model, batch)
        return each + 0.5 * each.sum()


class AroundTheLayer(BaseMethod):
    """A linear layer whose weight is used without a call of the layer."""

    def attach(self, model, cards, encode, seed):
        model.extra = torch.nn.Linear(model.config.hidden_size, model.config.hidden_size, bias=False)
        return model

    def losses(self, model, batch):
        logits = target_logits(model, batch)
        head = model.get_output_embeddings().weight
        return target_nll(logits + (logits @ head @ model.extra.weight) @ head.T, batch)


def dora() -> Peft:
    from peft import LoraConfig

    return Peft(LoraConfig(r=4, use_dora=True, target_modules="all-linear", task_type="CAUSAL_LM"))


def ia3() -> Peft:
    from peft import IA3Config

    down = ["down_proj", "dense_4h_to_h"]
    modules = ["k_proj", "v_proj", "query_key_value", *down]
    return Peft(IA3Config(target_modules=modules, feedforward_modules=down, task_type="CAUSAL_LM"))


def full() -> Full:
    return Full()


def groups_of(trainer):
    sizes = {task: len(instances) for task, instances in trainer.data.instances.items()}
    return trainer.encode(plan_steps(trainer.data.mixture, sizes, trainer.recipe, 0)[0])


def collect(trainer, backend, *, anchors=False, **options):
    """Gradients ``[K, P]`` of the first step's tasks, and what they were collected in."""
    trainer.task_losses.collector = GradientCollector(
        trainer.model, trainer.task_losses.collector.named, backend=backend, **options
    )
    collected, _ = trainer.task_losses.task_gradients(groups_of(trainer), anchors=anchors)
    return collected.matrix().clone(), collected


@pytest.mark.parametrize(
    ("make", "backend"),
    [
        (Lora, "hooks"),
        (full, "hooks"),
        (Scales, "hooks"),
        (dora, "vmap"),
        (ia3, "vmap"),
        (SoftPrompt, "vmap"),
        (ByTask, "loop"),
        (Mixed, "loop"),
        (AroundTheLayer, "vmap"),
    ],
)
def test_the_cheapest_backend_that_is_exact_is_taken(make, backend, make_trainer, shake) -> None:
    trainer = shake(make_trainer(make))
    before = [parameter.detach().clone() for parameter in trainer.named.values()]
    found, _ = collect(trainer, None)
    assert trainer.task_losses.collector.backend == backend
    assert all(torch.equal(one, other) for one, other in zip(before, trainer.named.values(), strict=True))
    expected, _ = collect(trainer, "loop")
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [Lora, full, dora, SoftPrompt])
def test_the_way_is_settled_right_where_zeros_hide_gradients(make, make_trainer) -> None:
    trainer = make_trainer(make)  # as it starts: B is zero, and so A's gradient
    found, _ = collect(trainer, None)
    expected, _ = collect(trainer, "loop")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows", [None, 2])
def test_gradients_of_a_whole_model_layer_by_layer_are_the_loops(tied, rows, make_trainer, llama_folder) -> None:
    trainer = make_trainer(full)
    if not tied:
        head = trainer.model.lm_head
        head.weight = torch.nn.Parameter(head.weight.detach() + 0.01)
        trainer.task_losses.collector.named["lm_head.weight"] = head.weight
    trainer.task_losses.rows = rows
    expected, looped = collect(trainer, "loop")
    found, whole = collect(trainer, "hooks")
    layered_rows, layered = collect(trainer, "hooks", budget=0)
    assert trainer.task_losses.collector.layered
    assert "layer by layer, since 4 x" in trainer.task_losses.collector.describe(4)
    assert any("embed" in name for name, _ in layered.pieces())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layered_rows, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layered.gram(), looped.gram(), rtol=1e-4, atol=1e-5)

    weights = torch.tensor([0.1, -0.5, 2.0, 0.3], dtype=torch.float64)
    for one in (looped, whole, layered):
        one.apply(weights)
        update = torch.cat([parameter.grad.flatten() for parameter in trainer.task_losses.collector.named.values()])
        torch.testing.assert_close(update, weights.float() @ expected, rtol=1e-4, atol=1e-5)


class ByTheRow(BaseMethod):
    """Leaves one task out of a trained layer, whose rows then no longer divide into the batch's tasks."""

    def attach(self, model, cards, encode, seed):
        adapted = super().attach(model, cards, encode, seed)
        adapted.scale = torch.nn.Linear(1, 1, bias=False)
        return adapted

    def losses(self, model, batch):
        each = super().losses(model, batch)
        told = torch.tensor([name != "task3" for name in batch.tasks])
        return each * torch.ones_like(each).masked_scatter(told, model.scale(torch.ones(int(told.sum()), 1)))


def test_tasks_that_hooks_cannot_tell_apart_go_one_by_one(make_trainer, shake) -> None:
    trainer = shake(make_trainer(ByTheRow))
    groups = sorted(groups_of(trainer))
    assert "task3" in [name for name, _ in groups]
    trainer.task_losses.collector.backend = "hooks"
    found = trainer.task_losses.task_gradients(groups)[0].matrix().clone()
    assert trainer.task_losses.collector.backend == "loop"
    expected, _ = collect(trainer, "loop")
    order = [[name for name, _ in groups].index(name) for name, _ in groups_of(trainer)]
    torch.testing.assert_close(found[order], expected, rtol=1e-4, atol=1e-5)


def test_anchors_are_kept_layer_by_layer_too(make_trainer, shake) -> None:
    trainer = shake(make_trainer(PromptAligned))
    expected, whole = collect(trainer, "loop", anchors=True)
    found, layered = collect(trainer, "hooks", anchors=True, budget=0)
    assert (layered.tasks, layered.extras) == (4, 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layered.gram(), whole.gram(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("budget", [None, 0])
def test_a_fit_says_how_its_gradients_were_collected(budget, make_trainer, tmp_path) -> None:
    trainer = make_trainer(full, rule=PCGrad())
    trainer.task_losses.collector.budget = budget
    trainer.run(tmp_path / "checkpoint")
    said = [note for note in trainer.progress.notes if note.startswith("task gradients")]
    assert (len(said) == 1 and "layer by layer" in said[0]) if budget == 0 else said == []
    looped = make_trainer(ByTask, rule=PCGrad())
    looped.run(tmp_path / "other")
    assert any(note.startswith("task gradients: loop, 4 x") for note in looped.progress.notes)


def test_the_update_is_the_same_layer_by_layer(make_trainer, tmp_path) -> None:
    ends = []
    for budget in (None, 0):
        trainer = make_trainer(full, rule=PCGrad())
        trainer.task_losses.collector.budget = budget
        trainer.run(tmp_path / f"checkpoint{budget}")
        ends.append(torch.cat([parameter.detach().flatten() for parameter in trainer.named.values()]))
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-3, atol=2e-3)


def test_parts_of_the_parameters_add_up(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Lora))
    whole, collected = collect(trainer, "hooks", budget=trainer.task_losses.collector.size)
    parts = trainer.task_losses.collector.parts(4)
    assert len(parts) > 2
    grams, matrices = [], []
    for part in parts:
        found, _ = trainer.task_losses.task_gradients(groups_of(trainer), collector=part)
        grams.append(found.gram())
        matrices.append(found.matrix().clone())
    torch.testing.assert_close(torch.cat(matrices, dim=1), whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(torch.stack(grams).sum(0), collected.gram(), rtol=1e-5, atol=1e-9)


def test_gram_matrices_of_layers_add_up_and_take_weights_of_their_own(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Lora))
    matrix, collected = collect(trainer, "hooks")
    grams = collected.grams()
    assert len(grams) == trainer.model.config.num_hidden_layers
    torch.testing.assert_close(torch.stack(list(grams.values())).sum(0), collected.gram(), rtol=1e-6, atol=1e-12)
    first = torch.zeros(len(grams), 4, dtype=torch.float64)
    first[0, 2] = 1.0  # task 2's gradient in the first layer, nothing elsewhere
    collected.apply(first, list(grams))
    start = 0
    for name, parameter in trainer.task_losses.collector.named.items():
        own = matrix[2, start : start + parameter.numel()].view_as(parameter)
        expected = own if name.startswith(next(iter(grams))) else torch.zeros_like(own)
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-6, atol=1e-12)
        start += parameter.numel()


@pytest.fixture(scope="module")
def neox_folder(tmp_path_factory):
    """A model that computes in float64 throughout (a Llama's norms are float32), with biases and a head of its own."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    folder = tmp_path_factory.mktemp("neox")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    size = save_byte_tokenizer(folder)
    GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=size, initializer_range=0.2, **sizes)).save_pretrained(folder)
    return folder


# Not DoRA, whose gradient takes the norm in its denominator for a constant (Liu et al. 2024, section 4.3).
@pytest.mark.parametrize(("make", "backend"), [(Lora, "hooks"), (full, "hooks"), (ia3, "vmap")])
def test_gradients_agree_with_finite_differences_in_float64(make, backend, make_trainer, shake, neox_folder) -> None:
    trainer = shake(make_trainer(make, folder=neox_folder))
    trainer.model.double()

    def losses(model, batch):  # target_logits are float32
        base = base_of(model)
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.mask, "position_ids": batch.positions}
        rows, columns = batch.target_index.unbind(1)
        hidden = base.base_model(**inputs, use_cache=False).last_hidden_state[rows, columns]
        return target_nll(base.get_output_embeddings()(hidden), batch)

    trainer.method.losses = losses
    matrix, _ = collect(trainer, backend)
    assert matrix.dtype == torch.float64
    groups, named = groups_of(trainer), trainer.task_losses.collector.named
    generator = torch.Generator().manual_seed(5)
    moves = {name: torch.randn(one.shape, generator=generator).double() for name, one in named.items()}
    found = []
    with torch.no_grad():
        for length in (1e-6, -2e-6):
            for name, parameter in named.items():
                parameter += length * moves[name]
            found.append(trainer.task_losses.of(groups))
    slope = (found[0] - found[1]) / 2e-6
    direction = torch.cat([move.flatten() for move in moves.values()])
    torch.testing.assert_close(matrix @ direction, slope, rtol=1e-6, atol=1e-6)


def test_a_rule_with_weights_of_one_task_takes_that_tasks_step(make_trainer, shake) -> None:
    trainer = shake(make_trainer(full))
    matrix, collected = collect(trainer, "hooks")
    collected.apply(torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64))
    update = torch.cat([parameter.grad.flatten() for parameter in trainer.task_losses.collector.named.values()])
    torch.testing.assert_close(update, matrix[2])


@pytest.mark.parametrize("budget", [None, 0])
def test_the_mean_of_task_gradients_is_the_gradient_of_the_mean(budget, make_trainer, shake) -> None:
    trainer = shake(make_trainer(full, rule=Mean()))
    groups = groups_of(trainer)
    trainer.updater.backward(groups)
    expected = [parameter.grad.clone() for parameter in trainer.named.values()]
    trainer.updater.optimizer.zero_grad(set_to_none=True)
    _, collected = collect(trainer, "hooks", budget=budget)
    collected.apply(torch.full((4,), 0.25, dtype=torch.float64))
    for one, parameter in zip(expected, trainer.named.values(), strict=True):
        torch.testing.assert_close(parameter.grad, one, rtol=1e-4, atol=1e-5)
