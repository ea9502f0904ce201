"""The training loop: order, resume, memory, failure."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_models import whole_and_resumed

from snibench.base.types import Mixture, Recipe
from snibench.engine.sampling import plan_steps
from snibench.engine.tuning import Diverged, Interrupted
from snibench.formats.catalogue import Definition, Keyword, Template
from snibench.methods.lora import Lora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.ours import Ours
from snibench.methods.prompt_aligned import PromptAligned
from snibench.rules.loss_weightings import Uncertainty
from snibench.rules.mean import Mean
from snibench.rules.pcgrad import PCGrad
from tests.fixtures.small_models import RECIPE


@given(
    tasks=st.integers(1, 12),
    per_step=st.integers(1, 8),
    each=st.integers(1, 5),
    steps=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_every_task_is_visited_equally_often_and_never_twice_in_a_step(
    tasks: int, per_step: int, each: int, steps: int, seed: int
) -> None:
    sizes = {f"t{index}": 3 + index for index in range(tasks)}
    recipe = Recipe(steps=steps, tasks_per_step=per_step, instances_per_task=each)
    schedule = plan_steps(Mixture(tuple(sizes)), sizes, recipe, seed)
    visits = dict.fromkeys(sizes, 0)
    for step in schedule:
        names = [task for task, _ in step]
        assert len(set(names)) == len(names) == min(per_step, tasks)
        for task, indices in step:
            visits[task] += 1
            assert len(indices) == each
            assert all(0 <= index < sizes[task] for index in indices)
    assert max(visits.values()) - min(visits.values()) <= 2
    assert schedule == plan_steps(Mixture(tuple(sizes)), sizes, recipe, seed)


@pytest.mark.parametrize(
    ("a", "b", "weights", "per_step", "each_step"),
    [(1, 1, (3.0, 1.0), 8, 1), (3, 3, (3.0, 1.0), 8, 4), (3, 2, (2.0, 9.0), 8, 2), (20, 10, (1.0, 6.0), 8, 8)],
)
def test_a_mixture_gives_every_task_its_share_of_the_steps(a, b, weights, per_step, each_step) -> None:
    names = (*(f"a{i}" for i in range(a)), *(f"b{i}" for i in range(b)))
    mixture = Mixture(names, (*[weights[0]] * a, *[weights[1]] * b))
    recipe = Recipe(steps=2000, tasks_per_step=per_step, instances_per_task=1)
    schedule = plan_steps(mixture, dict.fromkeys(names, 5), recipe, 0)
    drawn = [[task for task, _ in step] for step in schedule]
    assert {len(set(step)) for step in drawn} == {len(step) for step in drawn} == {each_step}
    counts = Counter(task for step in drawn for task in step)
    for name, weight in zip(mixture.tasks, mixture.weights, strict=True):
        share = weight / sum(mixture.weights)
        assert counts[name] / (2000 * each_step) == pytest.approx(share, abs=0.02)
    sides = [sum(task.startswith("a") for task in step) for step in drawn]
    assert max(sides) - min(sides) <= 1  # and its share of every step, rounded up or down


@pytest.mark.parametrize(
    ("kind", "rule", "settings"),
    [
        (Lora, None, {}),
        (Lora, None, {"dropout": 0.3}),
        (Lora, PCGrad, {}),
        (MtlLora, None, {}),
        (PromptAligned, None, {}),
        (Ours, None, {}),
    ],
)
def test_a_run_resumed_from_a_checkpoint_ends_bit_equal(kind, rule, settings, make_trainer, tmp_path) -> None:
    make = lambda: make_trainer(kind, rule() if rule else None, **settings)  # noqa: E731
    whole, resumed = whole_and_resumed(make, tmp_path)
    assert whole.progress.trace[-1]["loss"] < whole.progress.trace[0]["loss"]
    assert resumed.progress.trace == whole.progress.trace
    assert whole.progress.trace[-1]["learning_rate"] == pytest.approx(RECIPE.learning_rate / RECIPE.steps)  # linear


def test_a_task_s_instances_of_a_step_share_a_format_drawn_from_those_of_the_run(make_trainer) -> None:
    trainer, twin, other = make_trainer(Lora), make_trainer(Lora), make_trainer(Lora, seed=1)
    for one in (trainer, twin, other):
        one.data = replace(one.data, formats=[Definition(), Template(), Keyword()])
    task, *_ = trainer.data.cards
    instances = trainer.data.instances[task][:2]

    def starts(one, step: int) -> str:
        first, second = (row.prompt.text[:4] for row in one.encode_instances(task, instances, step))
        assert first == second
        return first

    drawn = [starts(trainer, step) for step in range(30)]
    assert len(set(drawn)) == 3
    assert drawn == [starts(twin, step) for step in range(30)] != [starts(other, step) for step in range(30)]
    assert starts(trainer, -1) == "Defi"  # outside of steps: the first


def test_an_interrupt_saves_the_state_after_the_step_under_way(make_trainer, tmp_path) -> None:
    whole = make_trainer(Lora)
    whole.run(tmp_path / "whole.safetensors")
    stopped = make_trainer(Lora)
    with pytest.raises(Interrupted) as caught:
        stopped.run(tmp_path / "c.safetensors", on_step=lambda progress, steps: os.kill(os.getpid(), signal.SIGINT))
    assert caught.value.exit_code == 130
    assert stopped.progress.step == 1
    resumed = make_trainer(Lora)
    resumed.run(tmp_path / "c.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(whole.named.values(), resumed.named.values(), strict=True))


def test_two_runs_of_one_seed_are_equal_and_two_seeds_are_not(make_trainer, tmp_path) -> None:
    first, second, other = make_trainer(Lora), make_trainer(Lora), make_trainer(Lora, seed=1)
    for index, trainer in enumerate((first, second, other)):
        trainer.run(tmp_path / f"{index}.safetensors")
    assert first.progress.trace == second.progress.trace
    assert first.progress.trace != other.progress.trace


def test_methods_of_one_seed_start_from_the_same_down_projections(make_trainer) -> None:
    lora, ours, routed = (make_trainer(kind) for kind in (Lora, Ours, MtlLora))
    from_peft = [p for name, p in lora.named.items() if "lora_A" in name]
    for trainer in (ours, routed):
        own = [p for name, p in trainer.named.items() if name.endswith(".A.weight")]
        assert all(torch.equal(a, b) for a, b in zip(from_peft, own, strict=True))


def instances_of(batch) -> int:
    """How many instances a packed batch holds."""
    rows, each, _ = batch.layout.own.shape
    return rows * each


@pytest.mark.parametrize(
    ("kind", "rule"), [(Lora, Mean), (Lora, PCGrad), (Lora, Uncertainty), (MtlLora, PCGrad), (Ours, None)]
)
@pytest.mark.parametrize("fit", [4, 2, 1])
def test_running_out_of_memory_shrinks_the_micro_batch_and_changes_no_update(
    kind, rule, fit, make_trainer, shake, tmp_path, monkeypatch
) -> None:
    """Four tasks of four instances, of which ``fit`` instances fit: 4 is one whole task, less is a part of one."""
    recipe = Recipe(steps=2, tasks_per_step=4, instances_per_task=4, learning_rate=1e-3)
    plain, short = (shake(make_trainer(kind, rule and rule(), recipe=recipe)) for _ in range(2))
    plain.run(tmp_path / "plain.safetensors")
    losses = short.method.losses

    def tight(model, batch):
        if instances_of(batch) > fit:
            raise torch.OutOfMemoryError("injected")
        return losses(model, batch)

    monkeypatch.setattr(short.method, "losses", tight)
    short.run(tmp_path / "short.safetensors")
    assert short.progress.notes[-1].startswith("out of memory at step 1: ")
    assert {4: "1 tasks", 2: "2 instances", 1: "1 instances"}[fit] in short.progress.notes[-1]
    for one, other in zip(plain.progress.trace, short.progress.trace, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-4)
    for a, b in zip(plain.named.values(), short.named.values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_one_instance_that_does_not_fit_is_the_end(make_trainer, tmp_path, monkeypatch) -> None:
    trainer = make_trainer(Lora)

    def full(model, batch):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr(trainer.method, "losses", full)
    with pytest.raises(RuntimeError, match="can't allocate"):
        trainer.run(tmp_path / "c.safetensors")
    assert "1 instances of one task" in trainer.progress.notes[-1]


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tokens=st.integers(1, 4000), rows=st.none() | st.integers(1, 5), seed=st.integers(0, 99))
def test_the_gradient_is_the_same_whatever_the_micro_batch(tokens, rows, seed, two_trainers) -> None:
    whole, parts = two_trainers
    rng = random.Random(seed)
    drawn = [(f"task{number}", tuple(rng.sample(range(40), 3))) for number in rng.sample(range(6), rng.randint(1, 5))]
    for trainer, limits in ((whole, (1 << 20, None)), (parts, (tokens, rows))):
        trainer.task_losses.tokens_at_once, trainer.task_losses.rows = limits
        trainer.updater.backward(trainer.encode(drawn))
    for a, b in zip(whole.named.values(), parts.named.values(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


@pytest.fixture
def two_trainers(make_trainer, shake):
    return tuple(shake(make_trainer(Lora)) for _ in range(2))


def test_other_errors_of_a_method_are_not_taken_for_a_lack_of_memory(make_trainer, tmp_path, monkeypatch) -> None:
    trainer = make_trainer(Lora)

    def broken(model, batch):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(trainer.method, "losses", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        trainer.run(tmp_path / "c.safetensors")


def test_a_loss_that_is_not_finite_is_a_divergence(make_trainer, tmp_path) -> None:
    trainer = make_trainer(Lora, PCGrad())
    with torch.no_grad():
        next(iter(trainer.named.values())).fill_(float("inf"))
    with pytest.raises(Diverged, match="not finite at step 1"):
        trainer.run(tmp_path / "c.safetensors")


@pytest.mark.parametrize("kind", [Lora, MtlLora, Ours, PromptAligned])
def test_an_encoder_decoder_learns_through_the_same_interface(kind, make_trainer, t5_folder, tmp_path) -> None:
    trainer = make_trainer(kind, folder=t5_folder, recipe=replace(make_trainer(Lora).recipe, steps=8))
    trainer.run(tmp_path / "c.safetensors")
    assert trainer.progress.trace[-1]["loss"] < trainer.progress.trace[0]["loss"]
