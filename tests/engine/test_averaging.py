"""The mean of the parameters over the last quarter of the steps: values, resumption, and what it leaves alone."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import torch
from small_models import whole_and_resumed
from torch import nn

from snibench.base.types import Recipe
from snibench.engine.averaging import TailMean
from snibench.engine.tuning import Interrupted
from snibench.methods.full import Full
from snibench.methods.lora import Lora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.ours import Ours
from snibench.rules.famo import FAMO
from snibench.rules.loss_weightings import Uncertainty
from snibench.rules.pcgrad import PCGrad
from tests.fixtures.small_models import RECIPE

AVERAGED = replace(RECIPE, schedule="averaged", steps=8)  # the last two of them


@pytest.mark.parametrize(
    ("steps", "taken"), [(8, [6, 7]), (9, [6, 7, 8]), (1, [0]), (2, [1]), (90, list(range(67, 90)))]
)
def test_the_mean_is_that_of_the_parameters_after_the_last_quarter_of_the_steps(steps, taken) -> None:
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.float32))
    mean = TailMean({"p": parameter}, Recipe(steps=steps, schedule="averaged"))
    for step in range(steps):
        parameter.data = torch.tensor([float(step), -(float(step) ** 2)])
        mean.add(step)
        assert parameter.tolist() == [step, -(step**2)]  # the tuning goes on from where it was
    mean.put_in_place()
    assert mean.count == len(taken)
    by_hand = [sum(taken) / len(taken), -sum(step**2 for step in taken) / len(taken)]
    assert parameter.tolist() == pytest.approx(by_hand, rel=1e-6)
    assert parameter.dtype == torch.float32


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_no_other_schedule_keeps_a_mean(schedule) -> None:
    parameter = nn.Parameter(torch.ones(1))
    mean = TailMean({"p": parameter}, Recipe(steps=2, schedule=schedule))
    for step in range(2):
        mean.add(step)
    mean.put_in_place()
    assert (mean.count, mean.values, parameter.item()) == (0, {}, 1.0)


@pytest.mark.parametrize(
    ("method", "rule"),
    [(Lora, None), (Lora, PCGrad), (Lora, Uncertainty), (Lora, FAMO), (MtlLora, None), (Ours, None), (Full, None)],
)
def test_a_tuning_ends_with_the_mean_of_the_steps_that_a_constant_rate_takes(
    method, rule, make_trainer, tmp_path
) -> None:
    def make(schedule: str):
        return make_trainer(method, rule() if rule else None, recipe=replace(AVERAGED, schedule=schedule))

    constant, seen = make("constant"), []

    def look(progress, steps) -> None:
        seen.append([parameter.detach().clone() for parameter in constant.named.values()])

    constant.run(tmp_path / "constant", on_step=look)
    averaged = make("averaged")
    averaged.run(tmp_path / "averaged")
    assert averaged.progress.trace == constant.progress.trace
    assert averaged.rule.state() == constant.rule.state()
    assert averaged.draws.state() == constant.draws.state()
    for got, *last in zip(averaged.named.values(), *seen[-2:], strict=True):
        torch.testing.assert_close(got.detach(), (last[0] + last[1]) / 2)
    assert any(not torch.equal(a, b) for a, b in zip(averaged.named.values(), seen[-1], strict=True))


@pytest.mark.parametrize("method", [Lora, Ours, Full])
@pytest.mark.parametrize("after", [3, 7, 8])
def test_one_that_was_killed_before_in_or_after_the_last_quarter_ends_with_equal_bytes(
    method, after, make_trainer, tmp_path
) -> None:
    whole, resumed = whole_and_resumed(lambda: make_trainer(method, recipe=AVERAGED), tmp_path, after)
    assert resumed.mean.count == whole.mean.count == 2


def test_an_interrupt_on_the_last_step_saves_the_parameters_and_not_their_mean(make_trainer, tmp_path) -> None:
    whole, stopped, resumed = (make_trainer(Lora, recipe=AVERAGED) for _ in range(3))
    whole.run(tmp_path / "whole")

    def on_step(progress, steps) -> None:
        if progress.step == steps:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        stopped.run(tmp_path / "part", on_step=on_step)
    resumed.run(tmp_path / "part")
    assert all(torch.equal(a, b) for a, b in zip(whole.named.values(), resumed.named.values(), strict=True))
