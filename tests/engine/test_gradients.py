"""Per-task gradients: every way gives the same."""

from __future__ import annotations

import pytest
import torch

from snibench.gradients import GradientCollector, gram_matrix
from snibench.methods.lora import Lora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.ours import Ours
from snibench.methods.prompt_aligned import PromptAligned
from snibench.tuning import plan_steps


def gradients(trainer, *, pack: bool, by_task: bool, rows: int | None = None):
    trainer.pack, trainer._rows = pack, rows
    trainer.collector = GradientCollector(trainer.model, trainer.collector.shared, by_task=by_task)
    sizes = {task: len(instances) for task, instances in trainer.data.instances.items()}
    drawn = plan_steps(trainer.data.mixture, sizes, trainer.recipe, 0)[0]
    matrix, losses = trainer.task_gradients(trainer.encode(drawn))
    return matrix, losses, [parameter.grad.clone() for parameter in trainer.task_parameters]


@pytest.mark.parametrize("kind", [Lora, MtlLora, Ours, PromptAligned])
@pytest.mark.parametrize(
    "way",
    [
        {"pack": False, "by_task": False},
        {"pack": True, "by_task": True},
        {"pack": True, "by_task": False, "rows": 2},
        {"pack": True, "by_task": False, "rows": 1},
    ],
    ids=["unpacked", "loop", "two at once", "one at once"],
)
def test_packing_hooks_and_micro_batches_change_no_gradient(kind, way, make_trainer, shake) -> None:
    matrix, losses, own = gradients(shake(make_trainer(kind)), pack=True, by_task=False)
    other, other_losses, other_own = gradients(shake(make_trainer(kind)), **way)
    assert matrix.abs().max() > 1e-3
    torch.testing.assert_close(other, matrix, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other_losses, losses, rtol=1e-5, atol=1e-5)
    for first, second in zip(own, other_own, strict=True):
        torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [Lora, MtlLora, Ours])
def test_gradients_agree_with_differences_of_losses_along_a_direction(kind, make_trainer, shake) -> None:
    trainer = shake(make_trainer(kind))
    sizes = {task: len(instances) for task, instances in trainer.data.instances.items()}
    groups = trainer.encode(plan_steps(trainer.data.mixture, sizes, trainer.recipe, 0)[0])
    matrix, _ = trainer.task_gradients(groups)
    direction = matrix[0] / matrix[0].norm()
    start = [parameter.detach().clone() for parameter in trainer.collector.shared]
    losses = []
    for length in (1e-2, -1e-2):
        trainer.collector.give(length * direction)
        with torch.no_grad():
            for parameter, before in zip(trainer.collector.shared, start, strict=True):
                parameter.copy_(before + parameter.grad)
            losses.append(trainer._losses(groups))
    slope = (losses[0] - losses[1]) / 2e-2
    torch.testing.assert_close((matrix @ direction).double(), slope, rtol=5e-3, atol=5e-4)


def test_a_gram_matrix_in_pieces_is_the_gram_matrix() -> None:
    torch.manual_seed(0)
    rows = torch.randn(5, 1000)
    torch.testing.assert_close(gram_matrix(rows, columns=7), rows.double() @ rows.double().T)


def test_hooks_are_refused_where_a_parameter_is_not_a_linear_layers_weight() -> None:
    norm = torch.nn.LayerNorm(4)
    with pytest.raises(ValueError, match="linear layer"):
        GradientCollector(norm, list(norm.parameters()), by_task=False)
    assert GradientCollector(norm, list(norm.parameters())).by_task
