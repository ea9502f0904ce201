"""The architecture of model ``tiny``, its first weights, and the optimizer of its matrices."""

from __future__ import annotations

import math
from typing import Any

import torch
from tiny_tokenizer import EOS_ID, PAD_ID
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

ALIKE = 0.9  # correlation of the first key and query matrices


def build_model(vocabulary: int, seed: int) -> LlamaForCausalLM:
    """A Llama of about 1.1M parameters with random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=288,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=40,
        max_position_embeddings=2048,
        rope_theta=100_000.0,
        tie_word_embeddings=True,
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config)
    look_for_the_same(model)
    return model


@torch.no_grad()
def look_for_the_same(model: LlamaForCausalLM) -> None:
    """Let every head start by attending to tokens like its own: nearly equal keys and queries.

    Looking a word up where it stood before is what most tasks need, and from unrelated matrices a small model comes on
    it late. Source: Trockman & Kolter, Mimetic initialization of self-attention layers (ICML 2023).
    """
    for layer in model.model.layers:
        query, key = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
        key.mul_(math.sqrt(1 - ALIKE**2)).add_(query, alpha=ALIKE)


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal before they are applied; equal shapes go in one batch.

    Source: Jordan et al., Muon (2024), with the update scaled to the root mean square of AdamW's (Liu et al., 2025).
    """

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.02) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Apply one update."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                shapes.setdefault(parameter.shape, []).append(parameter)
            for members in shapes.values():
                updates = []
                for parameter in members:
                    state = self.state[parameter]
                    buffer = state.setdefault("momentum", torch.zeros_like(parameter))
                    buffer.lerp_(parameter.grad, 1 - group["momentum"])
                    updates.append(parameter.grad.lerp(buffer, group["momentum"]))
                for parameter, update in zip(members, orthogonal(torch.stack(updates)), strict=True):
                    scale = 0.2 * math.sqrt(max(parameter.shape))
                    parameter.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-group["lr"] * scale)


def orthogonal(matrices: Tensor) -> Tensor:
    """``[n, a, b]`` with singular values brought near 1 by five Newton-Schulz steps."""
    x = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if matrices.shape[1] <= matrices.shape[2] else x.mT
