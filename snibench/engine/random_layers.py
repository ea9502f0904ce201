"""Low-rank layers whose random start is part of the method: it stays as it is, or it is taken off again."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from snibench.base.hashing import derive_seed
from snibench.engine.adapters import LowRankLayer, TokenRoutedLayer
from snibench.engine.backbone import base_of
from snibench.engine.tallies import Tally, appearances


class RandomHeadsLayer(TokenRoutedLayer):
    """R-LoRA: ``W x + scale * (sum_i softmax(R x)_i B_i D_i A x - B_0 A_0 x)``, all ``B_i`` random from the start.

    ``D_i`` is a dropout of its own for every head. ``A_0`` is ``A`` at the start and ``B_0`` the mean of the ``B_i``:
    with equal shares the layer starts as its base. ``A`` and ``B_i`` start normal with standard deviation
    ``r^(1/4) / (sqrt(gamma) sqrt(d))``, d the larger side of the matrix.

    Source: Liu et al., R-LoRA (EMNLP Findings 2025), and its repository's ``peft/tuners/lora.py`` and ``reinit.py``.
    """

    start_A: Tensor
    start_B: Tensor

    def __init__(
        self, base: nn.Module, *, rank: int, scale: float, experts: int, gamma: float, head_dropout: float
    ) -> None:
        super().__init__(base, rank=rank, scale=scale, experts=experts)
        self.gamma = gamma
        self.head_dropout = nn.Dropout(head_dropout)

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw ``A`` and the ``B_i``, and keep what they start as."""
        rank = self.A.out_features
        for weight, longest in ((self.A.weight, self.in_features), (self.B.weight, self.out_features)):
            spread = rank**0.25 / (self.gamma * max(longest, rank)) ** 0.5
            weight.copy_(spread * torch.randn(weight.shape, generator=generator))
        self.register_buffer("start_A", self.A.weight.detach().clone(), persistent=False)
        heads = self.B.weight.detach().unflatten(1, (-1, rank))  # [out, n, r]
        self.register_buffer("start_B", heads.mean(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """As for all, without what the heads give at the start."""
        adapted = super().forward(x)
        if not self.enabled:
            return adapted
        linear = nn.functional.linear
        start = linear(linear(x, self.start_A.to(x.dtype)), self.start_B.to(x.dtype))
        return torch.sub(adapted, start, alpha=self.scale)

    def mix(self, u: Tensor, x: Tensor) -> Tensor:
        """Each token's shares of the heads, each of which drops ranks by itself."""
        share = torch.softmax(self.R(x), dim=-1, dtype=torch.float32)  # [..., n]
        heads = self.head_dropout(u.unsqueeze(-2).expand(*share.shape, -1))  # [..., n, r]
        mixed: Tensor = (share[..., None] * heads).flatten(-2)
        return mixed


class SparseProjectionLayer(LowRankLayer):
    """FlyLoRA: ``W x + scale * B top_k(A x)`` with a sparse random ``A`` that is never trained.

    A token keeps the k ranks where ``A x + d`` is largest; ``d`` starts at zero and evens out how often each rank is
    kept. Every row of ``A`` has a share k / r of entries from a normal distribution with standard deviation 1 / r.

    Source: Zou et al., FlyLoRA (NeurIPS 2025), and its repository's ``peft/src/peft/tuners/lora/layer.py``.
    """

    def __init__(self, base: nn.Module, *, rank: int, top: int, scale: float, tally: Tally) -> None:
        super().__init__(base, rank, rank, scale)
        self.A.weight.requires_grad_(False)
        self.d = nn.Parameter(torch.zeros(rank, device=self.weight.device))
        self.top, self.tally = top, tally
        self.kept: Tensor | None = None  # [r] how often each rank was kept since ``excess`` was asked for

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw ``A``: which entries of each row, then their values."""
        rank, width = self.A.weight.shape
        count = max(1, int(width * self.top / rank))
        fresh = torch.zeros(rank, width)
        for row in fresh:
            row[torch.randperm(width, generator=generator)[:count]] = torch.randn(count, generator=generator) / rank
        self.A.weight.copy_(fresh)

    def mix(self, u: Tensor, x: Tensor) -> Tensor:
        """The ranks that each token keeps; zero for the others."""
        best = (u.detach().float() + self.d.detach()).topk(self.top, dim=-1).indices
        keeps = torch.zeros_like(u).scatter(-1, best, 1.0)
        self.tally.report(keeps.detach().float(), self.count_kept)
        return u * keeps

    def count_kept(self, keeps: Tensor, part: Tensor) -> Tensor:
        """``[r]``: how many tokens kept each rank, where ``keeps [B, L, r]`` is 1 and ``part [B, L]`` is no padding."""
        counts = torch.einsum("bl,blr->r", appearances(part).to(keeps), keeps)
        self.kept = counts if self.kept is None else self.kept + counts
        return counts

    def excess(self) -> Tensor | None:
        """``[r]``: 1 for ranks that were kept more often than the mean, -1 for those less often; then count anew."""
        kept, self.kept = self.kept, None
        return None if kept is None else (kept - kept.mean()).sign()


def draw_layers(model: nn.Module, seed: int) -> None:
    """Draw every layer of this module's classes from ``seed`` and its name."""
    for name, module in base_of(model).named_modules():
        if isinstance(module, RandomHeadsLayer | SparseProjectionLayer):
            cast(Any, module).draw(torch.Generator().manual_seed(derive_seed("A", seed, name)))
