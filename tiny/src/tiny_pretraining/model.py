"""The architecture of model ``tiny`` and its first weights."""

from __future__ import annotations

import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tiny_pretraining.tokenizer import EOS_ID, PAD_ID

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
