"""What a sampler is given that compares two halves of each task's instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from snibench.base.errors import UsageError
from snibench.base.types import Recipe
from snibench.contracts import Needs, Sampler
from snibench.engine.tuning import Trainer
from snibench.methods.lora import Lora
from snibench.methods.sam import Sam
from snibench.rules.gradvac import GradVac, GradVacSettings
from snibench.rules.mean import Mean
from snibench.rules.pcgrad import PCGrad
from snibench.samplers.pike import Pike

RECIPE = Recipe(steps=3, tasks_per_step=2, instances_per_task=4, learning_rate=1e-3, max_input=512, max_output=8)
DRAWN = [("task1", (0, 1, 2, 3)), ("task3", (4, 5, 6, 7))]


class Halves(Sampler):
    """Draws the first tasks."""

    needs = Needs.HALVES

    def draw(self, step) -> Sequence[str]:
        return list(step.sizes)[: step.count]


def with_sampler(trainer: Trainer, sampler: Sampler, rule=None, recipe: Recipe = RECIPE) -> Trainer:
    backbone, model, method, data = trainer.backbone, trainer.model, trainer.method, trainer.data
    return Trainer(backbone, model, method, rule or Mean(), data, recipe, trainer.seed, sampler)


def flat(trainer) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in trainer.named.values()]).double()


@pytest.mark.parametrize("rule", [Mean, PCGrad, lambda: GradVac(GradVacSettings(per_layer=True))])
@pytest.mark.parametrize("limits", [{}, {"rows": 1, "cuts": 4}], ids=["whole", "instance by instance"])
def test_products_are_those_of_the_halves_gradients_and_the_update_is_as_without(
    make_trainer, shake, rule, limits
) -> None:
    trainer = with_sampler(shake(make_trainer(Lora)), Halves(), rule())
    for name, value in limits.items():
        setattr(trainer.task_losses, name, value)
    groups = trainer.encode(DRAWN)
    losses, gram = trainer.updater.backward(groups)
    found = flat(trainer)
    rows = []
    for task, instances in groups:
        for half in (instances[:2], instances[2:]):
            trainer.task_losses.clear()
            trainer.method.losses(trainer.model, trainer.task_losses.batch([(task, half)]))[0].backward()
            rows.append(flat(trainer))
    expected = torch.stack(rows) @ torch.stack(rows).T
    torch.testing.assert_close(gram, expected, rtol=1e-3, atol=1e-6)
    plain = shake(make_trainer(Lora, rule()))
    without, _ = plain.updater.backward(plain.encode(DRAWN))
    torch.testing.assert_close(losses, without, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found, flat(plain), rtol=1e-3, atol=1e-6)


def test_memory_cuts_a_task_into_parts_that_still_add_up_to_halves(make_trainer) -> None:
    trainer = with_sampler(make_trainer(Lora), Halves(), recipe=replace(RECIPE, instances_per_task=6))
    groups = trainer.encode([("task1", tuple(range(6))), ("task3", tuple(range(6)))])
    trainer.task_losses.rows = 1
    trainer.task_losses.shrink(RuntimeError("out of memory: DefaultCPUAllocator: can't allocate memory"), groups)
    assert trainer.task_losses.cuts == 6  # not 3


def test_an_odd_number_of_instances_has_no_halves(make_trainer) -> None:
    with pytest.raises(UsageError, match=r"must be even, but is 3\. Choose another with --per-step"):
        with_sampler(make_trainer(Lora), Halves(), recipe=replace(RECIPE, instances_per_task=3))


def test_pseudo_gradients_have_no_halves(make_trainer) -> None:
    trainer = with_sampler(make_trainer(Sam), Halves())
    with pytest.raises(UsageError, match="Sam has gradients of its own"):
        trainer.updater.backward(trainer.encode(DRAWN))


def test_pike_moves_its_shares_while_tuning_and_goes_on_from_a_checkpoint(make_trainer, tmp_path) -> None:
    whole = with_sampler(make_trainer(Lora), Pike())
    whole.run(tmp_path / "a.safetensors")
    shares = whole.draws.sampler.state()["shares"]
    assert len(set(shares.values())) > 1
    first = with_sampler(make_trainer(Lora), Pike(), recipe=RECIPE)
    first.step(first.draws.draw(0))
    first.save(tmp_path / "b.safetensors")
    resumed = with_sampler(make_trainer(Lora), Pike())
    resumed.run(tmp_path / "b.safetensors")
    assert resumed.draws.sampler.state()["shares"] == pytest.approx(shares)
