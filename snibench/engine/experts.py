"""Layers with several whole LoRAs, of which a router takes some for every token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.hashing import derive_seed
from snibench.engine.adapted_layers import adapted_layers, is_expert_part, sizes_of
from snibench.engine.adapters import LowRankLayer, MixedLinear, draw_down_projections, insert
from snibench.engine.backbone import base_of
from snibench.engine.tallies import Tally, text_means, token_mean
from snibench.models.anatomy import FEED_FORWARD


class PlainLayer(LowRankLayer):
    """LoRA: ``W x + scale * B A x``."""

    def __init__(self, base: nn.Module, *, rank: int, scale: float, dropout: float = 0.0) -> None:
        super().__init__(base, rank, rank, scale, dropout)

    def mix(self, u: Tensor, x: Tensor) -> Tensor:
        """``u`` as it is."""
        return u


class ExpertsLayer(LowRankLayer):
    """``W x + scale * sum_i p_i B_i A_i x``: n LoRAs, the shares p of each token a softmax over ``R x``.

    The ``A_i`` stand one below the other in one linear layer, the ``B_i`` side by side in another. ``R`` (Kaiming
    uniform as ``A``, no bias) and the ``A_i`` differ by expert from the start. Softmax in float32.

    Source: Dou et al., LoRAMoE (ACL 2024), and its repository's ``peft/tuners/lora.py``.
    """

    def __init__(
        self, base: nn.Module, *, rank: int, scale: float, experts: int, tally: Tally, dropout: float = 0.0
    ) -> None:
        super().__init__(base, rank * experts, rank * experts, scale, dropout)
        self.experts, self.tally = experts, tally
        self.R = MixedLinear(self.in_features, experts, bias=False, device=self.weight.device, dtype=torch.float32)
        nn.init.kaiming_uniform_(self.R.weight, a=math.sqrt(5))

    def mix(self, u: Tensor, x: Tensor) -> Tensor:
        """Each expert's ranks by the token's share of it."""
        share = torch.softmax(self.R(x), dim=-1, dtype=torch.float32)  # [..., n]
        self.tally.report(share, importance)
        mixed: Tensor = (u.unflatten(-1, (self.experts, -1)) * share[..., None]).flatten(-2)
        return mixed


def importance(share: Tensor, part: Tensor) -> Tensor:
    """Squared coefficient of variation of every text's mean shares of every expert: 0 where all are alike."""
    each = text_means(share, part).flatten()
    return each.var() / (each.mean().square() + 1e-10) if len(each) > 1 else each.sum() * 0


class ChosenExpertLayer(LowRankLayer):
    """``W x + scale * B_i A_i x``, i the expert that ``choice`` names for each token."""

    def __init__(
        self, base: nn.Module, *, rank: int, scale: float, experts: int, choice: Choice, dropout: float = 0.0
    ) -> None:
        super().__init__(base, rank * experts, rank * experts, scale, dropout)
        self.experts, self.choice = experts, choice

    def mix(self, u: Tensor, x: Tensor) -> Tensor:
        """The chosen expert's ranks; zero for the others'."""
        assert self.choice.expert is not None
        chosen = nn.functional.one_hot(self.choice.expert.view(u.shape[:-1]), self.experts).to(u)
        mixed: Tensor = (u.unflatten(-1, (self.experts, -1)) * chosen[..., None]).flatten(-2)
        return mixed


class Choice:
    """The expert of every token that a feed-forward part reads, for the layers inside."""

    def __init__(self) -> None:
        self.expert: Tensor | None = None


class ExpertsBlock(nn.Module):
    """A feed-forward part as n experts, one LoRA in each of its layers apart: ``sum_i p_i E_i(x)`` over the k chosen.

    ``p`` is the softmax of ``R x`` in float32, made to sum to 1 over the k experts with the largest shares. Every token
    is read k times, once as each of its experts. ``R`` starts normal with standard deviation 0.02.

    Source: Li et al., MixLoRA (2024), and TUDB-Labs/MoE-PEFT, ``moe_peft/adapters/mixlora/model.py``.
    """

    def __init__(self, block: nn.Module, *, width: int, experts: int, top: int, choice: Choice, tally: Tally) -> None:
        super().__init__()
        self.block = block
        self.experts, self.top, self.choice, self.tally = experts, top, choice, tally
        device = next(block.parameters()).device
        self.R = MixedLinear(width, experts, bias=False, device=device, dtype=torch.float32)

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        """``[..., H] -> [..., H]``; further tensors of tokens (a residual that the block adds) go along."""
        share = torch.softmax(self.R(x), dim=-1, dtype=torch.float32)  # [..., n]
        top, expert = share.topk(self.top, dim=-1)  # [..., k]
        self.tally.report(share, lambda by_token, part: load(by_token, part, self.top))

        def repeated(value: Any) -> Any:
            if not isinstance(value, Tensor) or value.shape[:-1] != x.shape[:-1]:
                return value
            return value.unsqueeze(-2).expand(*x.shape[:-1], self.top, -1).flatten(-3, -2)

        self.choice.expert = expert.flatten(-2)
        try:
            read = self.block(repeated(x), *map(repeated, others), **{key: repeated(one) for key, one in named.items()})
        finally:
            self.choice.expert = None
        weights = (top / top.sum(-1, keepdim=True)).to(read.dtype)
        mixed: Tensor = torch.einsum("...kh,...k->...h", read.unflatten(-2, (-1, self.top)), weights)
        return mixed


def load(share: Tensor, part: Tensor, top: int) -> Tensor:
    """``n sum_i F_i P_i``: F the share of tokens that expert i is chosen for, P its mean share; ``top`` if balanced."""
    experts = share.shape[-1]
    chosen = nn.functional.one_hot(share.topk(top, dim=-1).indices, experts).sum(-2).to(share)  # [B, L, n]
    return experts * (token_mean(chosen, part) * token_mean(share, part)).sum()


def feed_forward_parts(model: nn.Module) -> dict[str, list[str]]:
    """The feed-forward parts of ``model`` that are modules of their own, each with its adapted layers.

    A mixture of experts is none: which experts its router takes is the base model's affair. Its shared experts are.
    """
    base = base_of(model)
    layers = adapted_layers(model)
    parts: dict[str, list[str]] = {}
    for name, module in base.named_modules():
        if name.rpartition(".")[2] not in FEED_FORWARD or any(is_expert_part(one) for one, _ in module.named_modules()):
            continue
        inside = [layer for layer in layers if layer.startswith(f"{name}.")]
        if inside and not any(name.startswith(f"{outer}.") for outer in parts):
            parts[name] = inside
    return parts


def insert_expert_blocks(
    model: nn.Module, *, rank: int, scale: float, experts: int, top: int, tally: Tally, dropout: float, seed: int
) -> None:
    """Make every feed-forward part n experts, and give the layers outside of them a LoRA each.

    ``A`` and ``R`` are drawn from ``seed``; with one expert all is as in LoRA.
    """
    base = base_of(model)
    parts = feed_forward_parts(model)
    widths = {name: sizes_of(base.get_submodule(layers[0]))[0] for name, layers in parts.items()}
    choices = {name: Choice() for name in parts}
    owners: Mapping[int, Choice] = {
        id(base.get_submodule(layer)): choices[name] for name, layers in parts.items() for layer in layers
    }

    def make(layer: nn.Module) -> LowRankLayer:
        if id(layer) not in owners:
            return PlainLayer(layer, rank=rank, scale=scale, dropout=dropout)
        return ChosenExpertLayer(
            layer, rank=rank, scale=scale, experts=experts, choice=owners[id(layer)], dropout=dropout
        )

    insert(model, make)
    draw_down_projections(model, seed)  # before names change
    for name in parts:
        parent, _, attribute = name.rpartition(".")
        block = ExpertsBlock(
            base.get_submodule(name), width=widths[name], experts=experts, top=top, choice=choices[name], tally=tally
        )
        generator = torch.Generator().manual_seed(derive_seed("R", seed, name))
        with torch.no_grad():
            block.R.weight.copy_(0.02 * torch.randn(block.R.weight.shape, generator=generator))
        setattr(base.get_submodule(parent), attribute, block)
