"""The conflict of a model under tuning: what is measured, and that measuring changes nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from snibench.base.registry import RULES
from snibench.engine.conflict import (
    CHUNKS,
    _last_output,
    _output_gram,
    last_block,
    measure_conflict,
    probe_tasks,
)
from snibench.engine.losses import target_nll
from snibench.methods.full import Full
from snibench.methods.lora import Lora
from snibench.methods.orpo import Orpo
from snibench.methods.ours import Ours


@pytest.fixture
def probe(tasks):
    return probe_tasks({name: task.instances[:CHUNKS] for name, task in list(tasks.items())[:3]}, 3)


def measured(trainer, probe):
    encoded = {task: trainer.encode_instances(task, instances) for task, instances in probe.items()}
    return measure_conflict(trainer.task_losses, trainer.rule, encoded, trainer.seed)


def test_measuring_changes_nothing(make_trainer, shake, probe, tmp_path) -> None:
    trainer = shake(make_trainer(Ours))
    trainer.run(tmp_path / "checkpoint")
    before = [parameter.detach().clone() for parameter in trainer.named.values()]
    state, tokens = json.dumps(trainer.rule.state()), trainer.progress.tokens
    assert measured(trainer, probe) is not None
    # Ours remembers the norms of a task's last visit: the probe is none.
    assert json.dumps(trainer.rule.state()) == state
    assert trainer.progress.tokens == tokens
    assert all(torch.equal(one, other) for one, other in zip(before, trainer.named.values(), strict=True))
    assert all(parameter.grad is None and parameter.requires_grad for parameter in trainer.named.values())


class Focal(Lora):
    """A plugin's own loss."""

    def losses(self, model, batch):
        nll = super().losses(model, batch)
        return nll * (1 - (-nll).exp()) ** 4


class Handmade(Lora):
    """A forward pass of its own."""

    def losses(self, model, batch):
        logits = model(input_ids=batch.input_ids, position_ids=batch.positions, attention_mask=batch.mask).logits
        return target_nll(logits[batch.target_index[:, 0], batch.target_index[:, 1]].float(), batch)


@pytest.mark.parametrize("method_type", [Focal, Orpo])
def test_methods_with_losses_of_their_own_are_measured_on_the_plain_one(
    method_type, make_trainer, shake, probe
) -> None:
    plain, own = (measured(shake(make_trainer(one)), probe) for one in (Lora, method_type))
    assert own.summary == pytest.approx(plain.summary, rel=1e-3, abs=1e-5)
    assert own.pairs["cosine"].tolist() == pytest.approx(plain.pairs["cosine"].tolist(), abs=1e-4)


def test_a_method_whose_forward_pass_is_its_own_is_measured_on_its_losses_and_the_record_says_so(
    make_trainer, shake, probe
) -> None:
    trainer = shake(make_trainer(Handmade))
    found = measured(trainer, probe)
    assert found.summary == pytest.approx(measured(shake(make_trainer(Lora)), probe).summary, rel=1e-3, abs=1e-5)
    assert any("method's own losses" in note for note in trainer.progress.notes)


def test_measuring_does_not_choose_how_the_training_collects_gradients(make_trainer, shake, probe) -> None:
    trainer = shake(make_trainer(Lora))
    measured(trainer, probe)
    assert trainer.task_losses.collector.backend is None
    assert trainer.task_losses.as_plain.collector.backend == "hooks"


def test_the_pairs_hold_the_whole_matrix_with_its_errors(make_trainer, shake, probe) -> None:
    found = measured(shake(make_trainer(Lora)), probe)
    assert list(found.pairs.columns) == [
        "first", "second", "cosine", "standard_error", "output_cosine", "output_standard_error",
    ]  # fmt: skip
    assert sorted(zip(found.pairs["first"], found.pairs["second"], strict=True)) == [
        ("task0", "task1"), ("task0", "task2"), ("task1", "task2"),
    ]  # fmt: skip
    counted = found.pairs["cosine"].notna()
    assert found.summary["mean_cosine"] == pytest.approx(found.pairs["cosine"].mean())
    assert found.summary["standard_error"] == pytest.approx(found.pairs["standard_error"][counted].mean())
    assert found.summary["parameters"] == sum(p.numel() for p in make_trainer(Lora).named.values())


def test_parameters_measured_part_by_part_give_the_same(make_trainer, shake, probe) -> None:
    trainer = shake(make_trainer(Lora))
    whole = measured(trainer, probe)
    trainer.task_losses.collector.budget = trainer.task_losses.collector.bytes_of(3 * CHUNKS) // 5
    assert len(trainer.task_losses.collector.parts(3 * CHUNKS)) > 3
    parts = measured(trainer, probe)
    assert parts.summary == pytest.approx(whole.summary, rel=1e-4, abs=1e-6)
    assert parts.pairs["cosine"].tolist() == pytest.approx(whole.pairs["cosine"].tolist(), rel=1e-4, abs=1e-6)


def test_gradients_far_too_large_for_the_memory_are_not_measured(make_trainer, probe) -> None:
    trainer = make_trainer(Lora)
    trainer.task_losses.collector.budget = trainer.task_losses.collector.bytes_of(3 * CHUNKS) // 100
    assert measured(trainer, probe) is None


def test_on_the_last_blocks_output_methods_of_any_size_start_alike(make_trainer, probe) -> None:
    lora, full = (measured(make_trainer(kind), probe).summary for kind in (Lora, Full))
    assert full["parameters"] > 3 * lora["parameters"]
    assert full["mean_cosine"] != pytest.approx(lora["mean_cosine"], rel=1e-3)
    for name in ("output_score", "output_score_raw", "output_mean_cosine", "output_standard_error"):
        assert full[name] == pytest.approx(lora[name], rel=1e-4, abs=1e-6)


def test_output_gradients_are_those_of_a_vector_added_to_the_last_blocks_output(make_trainer, probe) -> None:
    trainer = make_trainer(Lora)
    trainer.model.eval()
    own = [(task, trainer.encode_instances(task, instances)) for task, instances in list(probe.items())[:2]]
    width = trainer.model.config.hidden_size
    direction = torch.randn(width, generator=torch.Generator().manual_seed(0))

    def losses(length: float) -> torch.Tensor:
        block = last_block(trainer.model)
        assert block is trainer.model.get_base_model().model.layers[-1]
        handle = block.register_forward_hook(
            lambda module, inputs, output: (
                (output[0] + length * direction, *output[1:])
                if isinstance(output, tuple)
                else output + length * direction
            )
        )
        with torch.no_grad():
            found = trainer.task_losses.of(own)
        handle.remove()
        return found

    slope = (losses(1e-2) - losses(-1e-2)) / 2e-2
    ((piece, batch),) = trainer.task_losses.batches(own)
    with _last_output(trainer.task_losses) as outputs:
        trainer.method.losses(trainer.model, batch).sum().backward()
    (leaf,) = outputs
    sums = leaf.grad.reshape(2, -1, width).sum(1)[np.argsort(piece)]
    torch.testing.assert_close((sums @ direction).double(), slope, rtol=5e-3, atol=5e-4)
    assert _output_gram(trainer.task_losses, [[one] * CHUNKS for one in own]).shape == (2, CHUNKS, 2, CHUNKS)


@pytest.mark.parametrize("name", ["mean", "upgrad", "db-mtl", "gradnorm", "uncertainty", "famo"])
def test_the_residual_is_that_of_any_rule_s_update(name, make_trainer, shake, probe) -> None:
    found = measured(shake(make_trainer(Lora, rule=RULES.get(name)())), probe)
    assert 0 <= found.summary["residual"] <= 1


def test_tasks_with_too_few_instances_are_no_probe(tasks) -> None:
    few = {name: task.instances[: CHUNKS - (name == "task1")] for name, task in tasks.items()}
    assert "task1" not in probe_tasks(few, 10)
    assert len(probe_tasks(few, 3)) == 3
    assert list(probe_tasks(few, 3)) == list(probe_tasks(dict(reversed(few.items())), 3))
