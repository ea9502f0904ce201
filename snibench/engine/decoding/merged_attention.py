"""Attention in parts: over several sets of keys one after the other, merged as if they had been one.

A softmax over all keys is a mixture of softmaxes over parts of them, weighted by each part's sum of exponentials. So
a prefix that many rows share is read where it lies, and no row needs a copy beside its own keys.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

Part = tuple[Tensor, Tensor]  # outputs [B, H, L, D], and the log of the sum of exponentials [B, H, L] in float32


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float, *, causal: bool = False, mask: Tensor | None = None
           ) -> Part:  # fmt: skip
    """Attention over one set of keys, with what is needed to merge it with others.

    Args:
        query: ``[B, H, L, D]``.
        key: ``[B, G, M, D]``, each of its G heads serving H / G query heads in a row; ``value`` likewise.
        scale: Factor of the scores.
        causal: Query i sees keys 0 .. i only.
        mask: Additive, broadcast to ``[B, H, L, M]``; every query must see at least one key.
    """
    if query.device.type == "cpu" and _fused_on_cpu():
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        output, total = kernel(query, key, value, 0.0, causal, attn_mask=mask, scale=scale)
        return output, total
    return attend_plainly(query, key, value, scale, causal=causal, mask=mask)


def attend_plainly(
    query: Tensor, key: Tensor, value: Tensor, scale: float, *, causal: bool, mask: Tensor | None
) -> Part:
    """``attend`` as plain matrix products, for devices without a kernel that returns the sums."""
    batch, heads, length, size = query.shape
    groups = key.shape[1]
    grouped = query.reshape(batch, groups, heads // groups, length, size)
    scores = (grouped @ key[:, :, None].transpose(-1, -2)).float() * scale  # [B, G, H/G, L, M]
    scores = scores.view(batch, heads, length, -1)
    if causal:
        future = torch.ones(length, key.shape[2], dtype=torch.bool, device=query.device).triu(1)
        scores = scores.masked_fill(future, -math.inf)
    if mask is not None:
        scores = scores + mask
    total = scores.logsumexp(-1)
    shares = (scores - total[..., None]).exp().to(value.dtype)
    output = shares.view(batch, groups, heads // groups, length, -1) @ value[:, :, None]
    return output.view(batch, heads, length, size), total


@cache
def _fused_on_cpu() -> bool:
    """Whether this torch has the CPU kernel, with grouped heads and the sums that it returns."""
    query, key = torch.ones(1, 2, 1, 8), torch.ones(1, 1, 3, 8)
    try:
        output, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, key, attn_mask=None)
    except (AttributeError, RuntimeError, TypeError):
        return False
    expected = math.log(3) + math.sqrt(8)
    return output.shape == query.shape and bool(torch.isclose(total, torch.tensor(expected)).all())


def merged(one: Part, other: Part) -> Part:
    """Attention over the keys of both parts."""
    (first, first_total), (second, second_total) = one, other
    total = torch.logaddexp(first_total, second_total)
    share = (second_total - total).exp_().to(first.dtype)[..., None]
    return torch.lerp(first, second, share), total
