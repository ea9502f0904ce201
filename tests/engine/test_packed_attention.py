"""Attention in two parts, beside the dense mask that it replaces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from snibench.engine.packed_attention import NAME, Layout, packed, shared_prefix_attention
from snibench.engine.packing import block_mask


class Module(nn.Module):
    """What transformers hands to an attention function: how many query heads share a key."""

    def __init__(self, repeats: int) -> None:
        super().__init__()
        self.num_key_value_groups = repeats


def rows_of(sizes: list[tuple[int, list[int]]]) -> torch.Tensor:
    """``[B, L]`` parts of rows with these prefixes and own lengths, padded with -1."""
    rows = [[0] * prefix + [j for j, own in enumerate(owns, 1) for _ in range(own)] for prefix, owns in sizes]
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=-1)


@st.composite
def packed_rows(draw: st.DrawFn) -> list[tuple[int, list[int]]]:
    count = draw(st.integers(1, 4))
    owns = st.lists(st.integers(1, 5), min_size=count, max_size=count)
    return draw(st.lists(st.tuples(st.integers(0, 6), owns), min_size=1, max_size=4))


@settings(deadline=None, max_examples=60)
@given(packed_rows(), st.sampled_from([(2, 1), (2, 2), (6, 2)]), st.integers(0, 9))
def test_the_two_parts_give_what_the_dense_mask_gives_gradients_too(sizes, heads, seed) -> None:
    part = rows_of(sizes)
    real = (part >= 0)[:, :, None, None]
    torch.manual_seed(seed)
    shapes = [(len(part), count, part.shape[1], 4) for count in (heads[0], heads[1], heads[1])]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    weight = torch.randn(len(part), part.shape[1], heads[0], 4, dtype=torch.float64) * real
    found = []
    for layout in (None, Layout.of(part)):
        with packed(layout):
            output, _ = shared_prefix_attention(Module(heads[0] // heads[1]), *inputs, block_mask(part), scaling=0.7)
        found.append([output * real, *torch.autograd.grad((output * weight).sum(), inputs)])
    for dense, parts in zip(*found, strict=True):
        torch.testing.assert_close(dense, parts, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [{"softcap": 5.0}, {"sliding_window": 2}, {"dropout": 0.5}])
def test_what_it_does_not_know_is_left_to_transformers(options, monkeypatch) -> None:
    from transformers.integrations import sdpa_attention

    asked = []
    monkeypatch.setattr(
        sdpa_attention, "sdpa_attention_forward", lambda *_, **given: asked.append(given) or (torch.zeros(1), None)
    )
    part = rows_of([(3, [2, 2])])
    states = torch.randn(1, 2, 7, 4)
    with packed(Layout.of(part)):
        shared_prefix_attention(Module(1), states, states, states, block_mask(part), **options)
    assert options.items() <= asked[0].items()


def test_a_decoder_on_a_cpu_attends_through_it(backbone) -> None:
    assert backbone.model.config._attn_implementation == NAME
