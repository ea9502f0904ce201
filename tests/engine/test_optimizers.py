"""The optimizers of the recipe: which parameters each moves, and that a checkpoint keeps all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from small_models import whole_and_resumed
from torch import nn

from snibench.base.types import OptimizerName, Recipe
from snibench.engine.optimizers import Together, make_optimizer
from snibench.methods.full import Full
from snibench.methods.lora import Lora
from tests.fixtures.small_models import RECIPE

OTHERS = [name for name in get_args(OptimizerName) if name != "adamw"]


class Words(nn.Module):
    """An embedding, a layer with a bias, and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layer, self.norm = nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3)


def test_muon_moves_matrices_and_adamw_the_rest() -> None:
    model = Words()
    made = make_optimizer(Recipe(1, optimizer="muon"), model, [{"params": list(model.parameters())}])
    assert isinstance(made, Together)
    muon, adamw = made.optimizers
    assert [id(p) for group in muon.param_groups for p in group["params"]] == [id(model.layer.weight)]
    rest = {id(p) for p in model.parameters()} - {id(model.layer.weight)}
    assert {id(p) for group in adamw.param_groups for p in group["params"]} == rest
    assert {type(muon), type(adamw)} == {torch.optim.Muon, torch.optim.AdamW}
    assert {group["weight_decay"] for group in made.param_groups} == {0.0}


def test_sgd_has_momentum_and_follows_the_formula() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    made = make_optimizer(Recipe(1, learning_rate=0.1, optimizer="sgd"), nn.Module(), [{"params": [parameter]}])
    for _ in range(2):
        parameter.grad = torch.tensor([1.0])
        made.step()
    assert parameter.item() == pytest.approx(1 - 0.1 * 1 - 0.1 * 1.9)


def test_a_groups_own_options_reach_both_parts_and_a_new_rate_too() -> None:
    model = Words()
    groups = [{"params": list(model.layer.parameters()), "scale": 2.0, "weight_decay": 0.1}]
    made = make_optimizer(Recipe(1, learning_rate=0.5, optimizer="muon"), model, groups)
    assert [(group["scale"], group["weight_decay"]) for group in made.param_groups] == [(2.0, 0.1)] * 2
    for group in made.param_groups:
        group["lr"] = 0.0
        group["weight_decay"] = 0.0
    before = {name: value.clone() for name, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.step()
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("kind", [Lora, Full])
def test_a_run_resumed_from_a_checkpoint_ends_bit_equal(name, kind, make_trainer, tmp_path) -> None:
    recipe = replace(RECIPE, optimizer=name, steps=4, learning_rate=1e-3)
    whole, resumed = whole_and_resumed(lambda: make_trainer(kind, recipe=recipe), tmp_path, after=2)
    assert resumed.progress.trace == whole.progress.trace


def test_optimizers_lead_to_different_parameters(make_trainer, tmp_path) -> None:
    ends = []
    for name in get_args(OptimizerName):
        trainer = make_trainer(Lora, recipe=replace(RECIPE, optimizer=name, steps=2, learning_rate=1e-3))
        trainer.run(tmp_path / name)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in trainer.named.values()]))
    assert not torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])
