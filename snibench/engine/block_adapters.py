"""Adapters beside whole feed-forward parts, not inside of their layers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.errors import UsageError
from snibench.base.hashing import derive_seed
from snibench.engine.adapted_layers import sizes_of
from snibench.engine.adapters import MixedLinear
from snibench.engine.backbone import base_of
from snibench.engine.experts import feed_forward_parts
from snibench.engine.tallies import Tally, token_mean


class BlockAdapter(nn.Module):
    """``F(x) + scale * sum_i p_i(x) o B_i A x`` in place of a feed-forward part F: n ``B_i`` and one ``A``.

    The output is cut into ``groups`` of equal width, and each has its own shares p of the experts, a softmax over
    ``R x`` in float32. Of each group, the rows of all ``B_i`` stand side by side in one linear layer. ``A`` and ``R``
    start Kaiming uniform (a = sqrt 5), every ``B_i`` at zero.

    Source: Tian et al., mtLoRA (ICLR 2026), and its repository's ``peft/tuners/block_adapters.py``.
    """

    def __init__(
        self, block: nn.Module, *, width: int, rank: int, experts: int, groups: int, scale: float, tally: Tally
    ) -> None:
        super().__init__()
        self.block = block
        self.rank, self.experts, self.groups, self.scale, self.tally = rank, experts, groups, scale, tally
        options: dict[str, Any] = {"bias": False, "device": next(block.parameters()).device, "dtype": torch.float32}
        self.A = MixedLinear(width, rank, **options)
        self.B = nn.ModuleList(MixedLinear(experts * rank, width // groups, **options) for _ in range(groups))
        for parameter in self.B.parameters():
            nn.init.zeros_(parameter)
        self.R = MixedLinear(width, experts * groups, **options) if experts > 1 else None

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        """``[..., H] -> [..., H]``."""
        plain: Tensor = self.block(x, *others, **named)
        u = self.A(x)  # [..., r]
        mixed = [u] * self.groups
        if self.R is not None:
            share = torch.softmax(self.R(x).unflatten(-1, (self.groups, self.experts)), dim=-1, dtype=torch.float32)
            self.tally.report(share.mean(-2), uneven)
            mixed = [(share[..., group, :, None].to(u) * u[..., None, :]).flatten(-2) for group in range(self.groups)]
        parts: list[Tensor] = [up(one) for up, one in zip(self.B, mixed, strict=True)]
        update = torch.cat(parts, dim=-1)
        return torch.add(plain, update.to(plain), alpha=self.scale)

    def grams(self) -> Tensor:
        """``[n, r, r]``: ``B_i' B_i`` of every expert, over all groups."""
        columns = torch.cat(list(self.B.parameters())).unflatten(1, (self.experts, self.rank))  # [H, n, r]
        return torch.einsum("hna,hnb->nab", columns, columns)


def uneven(share: Tensor, part: Tensor) -> Tensor:
    """Squared coefficient of variation of the experts' mean shares: 0 where all are in equal use."""
    each = token_mean(share, part)
    return each.var() / (each.mean().square() + 1e-10)


def far_from_orthogonal(gram: Tensor) -> Tensor:
    """Mean distance of the columns of matrices with ``gram [..., r, r]`` from orthogonal ones of one length.

    ``|| w w' o (B'B - s^2 I) ||_F^2``, s^2 the mean squared length of a column, w = exp(-sigma / mean(sigma)) by the
    singular values sigma of B in falling order; s and w are constants for the gradient.

    Source: mtLoRA's repository, ``utils/hydralora_trainer.py``. There, too, the singular values weigh columns by their
    place, not singular directions.
    """
    fixed = gram.detach()
    sigma = torch.linalg.eigvalsh(fixed).clamp_min(0).sqrt().flip(-1)
    weights = torch.exp(-sigma / (sigma.mean(-1, keepdim=True) + 1e-8))
    scale = fixed.diagonal(dim1=-2, dim2=-1).mean(-1).sqrt() + 1e-8
    apart = gram - torch.eye(gram.shape[-1]).to(gram) * scale.square()[..., None, None]
    return (apart * weights[..., None] * weights[..., None, :]).square().sum((-1, -2)).mean()


def insert_block_adapters(
    model: nn.Module, *, rank: int, experts: int, groups: int, scale: float, tally: Tally, seed: int
) -> list[BlockAdapter]:
    """Put an adapter beside every feed-forward part, drawn from ``seed``; all else is frozen.

    Raises:
        UsageError: If a part's width cannot be cut into ``groups``.
    """
    base = base_of(model)
    adapters = []
    for name, layers in feed_forward_parts(model).items():
        width = sizes_of(base.get_submodule(layers[0]))[0]
        if width % groups:
            raise UsageError(f"groups must divide the model's width of {width}, but got {groups}.")
        parent, _, attribute = name.rpartition(".")
        adapter = BlockAdapter(
            base.get_submodule(name), width=width, rank=rank, experts=experts, groups=groups, scale=scale, tally=tally
        )
        for part, layer in (("A", adapter.A), ("R", adapter.R)):
            if layer is not None:
                _draw(layer.weight, derive_seed(part, seed, name))
        setattr(base.get_submodule(parent), attribute, adapter)
        adapters.append(adapter)
    return adapters


def _draw(weight: Tensor, seed: int) -> None:
    fresh = torch.empty(weight.shape)
    nn.init.kaiming_uniform_(fresh, a=math.sqrt(5), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weight.copy_(fresh)
