"""Steps that are taken back."""

import pytest
import torch
from torch import nn

from snibench.engine.task_steps import gradients_of, move, rows_by_task
from snibench.methods.lora import Lora


def test_parameters_are_put_back_to_the_bit_also_after_an_error(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Lora))
    batch = trainer.task_losses.batch(trainer.encode([("task1", (0, 1)), ("task3", (4, 5))]))
    before = {name: parameter.detach().clone() for name, parameter in trainer.named.items()}
    starts = []

    def away(own, named):
        starts.append({name: parameter.detach().clone() for name, parameter in named.items()})
        move(named, {name: torch.randn_like(one) for name, one in named.items()}, 0.1)
        if len(starts) == 4:
            raise KeyboardInterrupt
        return dict(named)

    rows = rows_by_task(trainer.model, batch, away)
    assert {name: tuple(one.shape) for name, one in rows.items()} == {n: (2, *p.shape) for n, p in before.items()}
    with pytest.raises(KeyboardInterrupt):
        rows_by_task(trainer.model, batch, away)
    assert len(starts) == 4
    for start in [*starts, trainer.named]:
        assert all(torch.equal(before[name], start[name]) for name in before)


def test_a_parameter_that_the_loss_does_not_reach_has_a_zero_gradient() -> None:
    one, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    found = gradients_of((one**2).sum(), {"one": one, "other": other})
    assert found["one"].tolist() == [2.0, 2.0]
    assert found["other"].tolist() == [0.0, 0.0, 0.0]
