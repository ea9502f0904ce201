"""Random heads and sparse projections: what they start as, and each token by hand."""

from __future__ import annotations

import pytest
import torch

from snibench.engine.random_layers import RandomHeadsLayer, SparseProjectionLayer
from snibench.engine.tallies import Tally
from snibench.methods.fly_lora import FlyLora
from snibench.methods.r_lora import RLora


def first(trainer, kind):
    return next(module for module in trainer.model.modules() if isinstance(module, kind))


def test_with_equal_shares_random_heads_start_as_their_base(make_trainer) -> None:
    layer = first(make_trainer(RLora), RandomHeadsLayer).eval()
    x = torch.randn(2, 3, layer.in_features)
    assert not torch.allclose(layer(x), layer.base_layer(x), rtol=0, atol=1e-6)
    with torch.no_grad():
        layer.R.weight.zero_()
    torch.testing.assert_close(layer(x), layer.base_layer(x), rtol=1e-4, atol=1e-6)


def test_heads_differ_and_have_the_spread_of_the_source(make_trainer) -> None:
    layer = first(make_trainer(RLora, r=16, experts=5, gamma=4.0), RandomHeadsLayer)
    wide, heads = layer.in_features, layer.B.weight.chunk(5, dim=1)
    assert layer.A.weight.std().item() == pytest.approx(16**0.25 / (4 * max(wide, 16)) ** 0.5, rel=0.1)
    assert layer.B.weight.std().item() == pytest.approx(16**0.25 / (4 * max(layer.out_features, 16)) ** 0.5, rel=0.1)
    assert not torch.allclose(heads[0], heads[1])


def test_each_token_goes_through_its_own_mixture_of_heads_minus_the_start(make_trainer, shake) -> None:
    trainer = make_trainer(RLora)
    layer = first(trainer, RandomHeadsLayer)
    began = layer.A.weight.detach().clone(), torch.stack(layer.B.weight.detach().clone().chunk(3, dim=1)).mean(0)
    shake(trainer)
    layer.eval()
    x = torch.randn(1, 2, layer.in_features)
    for place, token in enumerate(x[0]):
        share = torch.softmax(layer.R.weight @ token, dim=0)
        update = sum(p * b @ layer.A.weight @ token for p, b in zip(share, layer.B.weight.chunk(3, dim=1), strict=True))
        expected = layer.base_layer.weight @ token + 2 * (update - began[1] @ began[0] @ token)
        torch.testing.assert_close(layer(x)[0, place], expected, rtol=1e-4, atol=1e-5)


def test_every_head_drops_ranks_by_itself(make_trainer) -> None:
    layer = first(make_trainer(RLora, head_dropout=0.5), RandomHeadsLayer).train()
    mixed = layer.mix(torch.ones(1, 50, 8), torch.randn(1, 50, layer.in_features)).unflatten(-1, (3, 8))
    dropped = mixed == 0
    assert 0.3 < dropped.float().mean() < 0.7
    assert not torch.equal(dropped[..., 0, :], dropped[..., 1, :])
    layer.eval()
    assert layer.mix(torch.ones(1, 50, 8), torch.randn(1, 50, layer.in_features)).all()


def test_a_projection_is_sparse_and_its_rows_have_equally_many_entries(make_trainer) -> None:
    layer = first(make_trainer(FlyLora, r=16, top=4), SparseProjectionLayer)
    assert (layer.A.weight != 0).sum(1).tolist() == [layer.in_features // 4] * 16
    assert layer.A.weight[layer.A.weight != 0].std().item() == pytest.approx(1 / 16, rel=0.2)
    assert not layer.A.weight.requires_grad


def test_a_token_uses_the_ranks_where_its_projection_plus_bias_is_largest(make_trainer, shake) -> None:
    layer = first(shake(make_trainer(FlyLora, r=8, alpha=16, top=2)), SparseProjectionLayer)
    x = torch.randn(1, 3, layer.in_features)
    for place, token in enumerate(x[0]):
        u = layer.A.weight @ token
        kept = (u + layer.d).topk(2).indices.tolist()
        expected = layer.base_layer.weight @ token + 2 * sum(u[i] * layer.B.weight[:, i] for i in kept)
        torch.testing.assert_close(layer(x)[0, place], expected, rtol=1e-4, atol=1e-5)


def test_ranks_that_were_kept_too_often_are_counted_apart_from_those_kept_too_seldom() -> None:
    layer = SparseProjectionLayer(torch.nn.Linear(4, 4), rank=3, top=1, scale=1.0, tally=Tally())
    assert layer.excess() is None
    part = torch.tensor([[0, 1, 2, -1]])  # the shared token counts twice
    keeps = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0], [0, 0, 1.0]]])
    assert layer.count_kept(keeps, part).tolist() == [2, 2, 0]
    assert layer.excess().tolist() == [1, 1, -1]
    assert layer.excess() is None
