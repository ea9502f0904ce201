"""Experts beside layers and for feed-forward parts: values worked out one token at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from snibench.engine.experts import (
    ChosenExpertLayer,
    ExpertsBlock,
    ExpertsLayer,
    PlainLayer,
    feed_forward_parts,
    importance,
    load,
)
from snibench.methods.loramoe import LoraMoe
from snibench.methods.mixlora import MixLora

ONE_TEXT = torch.ones(1, 4, dtype=torch.long)


def first(model, kind):
    return next(module for module in model.modules() if isinstance(module, kind))


def test_each_token_has_its_own_shares_of_whole_experts(make_trainer, shake) -> None:
    layer = first(shake(make_trainer(LoraMoe, experts=3)).model, ExpertsLayer)
    x = torch.randn(1, 2, layer.in_features)
    ups, downs = layer.B.weight.chunk(3, dim=1), layer.A.weight.chunk(3, dim=0)
    for place, token in enumerate(x[0]):
        share = torch.softmax(layer.R.weight @ token, dim=0)
        update = sum(p * b @ a @ token for p, b, a in zip(share, ups, downs, strict=True))
        expected = layer.base_layer.weight @ token + 8 * update
        torch.testing.assert_close(layer(x)[0, place], expected, rtol=1e-4, atol=1e-5)


def test_a_token_is_answered_by_its_two_best_experts_each_a_whole_feed_forward_part(make_trainer, shake) -> None:
    block = first(shake(make_trainer(MixLora, experts=4)).model, ExpertsBlock)
    x = torch.randn(2, 3, block.R.in_features)
    got = block(x)

    def project(layer: ChosenExpertLayer, expert: int, token):
        a, b = layer.A.weight.chunk(4, dim=0)[expert], layer.B.weight.chunk(4, dim=1)[expert]
        return layer.base_layer.weight @ token + 2 * b @ a @ token

    mlp = block.block
    for row, column in [(0, 0), (1, 2)]:
        token = x[row, column]
        share = torch.softmax(block.R.weight @ token, dim=0)
        best = share.topk(2)
        expected = torch.zeros_like(token)
        for p, expert in zip(best.values / best.values.sum(), best.indices.tolist(), strict=True):
            inner = nn.functional.silu(project(mlp.gate_proj, expert, token)) * project(mlp.up_proj, expert, token)
            expected = expected + p * project(mlp.down_proj, expert, inner)
        torch.testing.assert_close(got[row, column], expected, rtol=1e-4, atol=1e-5)


def test_rows_that_a_model_has_flattened_are_answered_alike(make_trainer, shake) -> None:
    block = first(shake(make_trainer(MixLora)).model, ExpertsBlock)
    x = torch.randn(2, 3, block.R.in_features)
    torch.testing.assert_close(block(x.flatten(0, 1)), block(x).flatten(0, 1), rtol=1e-5, atol=1e-6)


def test_a_residual_that_the_part_adds_itself_goes_along_once() -> None:
    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.Linear(4, 4, bias=False)

        def forward(self, x, residual):
            return self.up(x) + residual

    from snibench.engine.experts import Choice
    from snibench.engine.tallies import Tally

    inner = Adds()
    block = ExpertsBlock(inner, width=4, experts=3, top=2, choice=Choice(), tally=Tally())
    x, residual = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    torch.testing.assert_close(block(x, residual), inner(x, residual), rtol=1e-5, atol=1e-6)


def test_attention_has_one_lora_and_feed_forward_parts_are_found(make_trainer) -> None:
    trainer = make_trainer(MixLora)
    layers = trainer.model.config.num_hidden_layers
    assert sum(isinstance(module, ExpertsBlock) for module in trainer.model.modules()) == layers
    assert sum(isinstance(module, PlainLayer) for module in trainer.model.modules()) == 4 * layers
    found = feed_forward_parts(make_trainer(LoraMoe).backbone.model)
    assert list(found) == [f"model.layers.{number}.mlp" for number in range(layers)]


# ------------------------------------------------------------------------------------- balance


def test_the_load_of_experts_in_equal_use_is_the_number_that_a_token_takes() -> None:
    even = torch.softmax(10 * torch.eye(4)[None], dim=-1)  # every token another expert, ever so sure
    assert load(even, ONE_TEXT, 1).item() == pytest.approx(1)
    one_for_all = torch.softmax(10 * torch.eye(4)[:1].expand(1, 4, 4), dim=-1)
    assert load(one_for_all, ONE_TEXT, 1).item() == pytest.approx(4, rel=1e-2)


def test_the_load_by_hand_for_two_experts_of_three() -> None:
    share = torch.tensor([[[0.5, 0.3, 0.2], [0.1, 0.7, 0.2]]])
    # chosen: {0, 1} and {1, 2}; F = (1/2, 1, 1/2), P = (0.3, 0.5, 0.2)
    assert load(share, torch.ones(1, 2, dtype=torch.long), 2).item() == pytest.approx(3 * (0.15 + 0.5 + 0.1))


def test_importance_is_the_squared_coefficient_of_variation_over_texts_and_experts() -> None:
    share = torch.tensor([[[0.8, 0.2], [0.6, 0.4], [0.1, 0.9], [0.1, 0.9]]])
    part = torch.tensor([[1, 1, 2, 2]])
    each = torch.tensor([0.7, 0.3, 0.1, 0.9])
    assert importance(share, part).item() == pytest.approx((each.var() / each.mean() ** 2).item(), rel=1e-5)
    assert importance(torch.full((1, 4, 2), 0.5), ONE_TEXT).item() == 0
