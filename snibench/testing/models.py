"""Models of a few thousand random weights, made from a config: no downloads."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Sizes, by every name that configs have for them.
_SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embed_dim", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "decoder_ffn_dim", "encoder_ffn_dim", "d_ff"), 48),
    **dict.fromkeys(("ffn_hidden_size", "ffn_hidden_dim"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_decoder_layers", "num_encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "num_decoder_attention_heads", "num_encoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "head_dim", "d_kv", "rotary_dim"), 8),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"), 1024),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 32),
    **dict.fromkeys(("initializer_range", "init_std"), 0.3),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "v_head_dim", "qk_nope_head_dim", "qk_rope_head_dim"), 8),
    **dict.fromkeys(("sliding_window", "attention_window_size", "window_size", "attention_chunk_size"), 16),
    **{"num_key_value_heads": 2, "initializer_factor": 1.0, "n_group": 1, "topk_group": 1, "lru_width": 32},
    **{"mamba_d_state": 8, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_ssm": 64, "mamba_expand": 2},
    **{"state_size": 8, "attention_hidden_size": 32, "word_embed_proj_dim": 32, "mamba_n_groups": 1},
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
}
# What else a type needs to be small and to hold each type of its layers.
_ALSO: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "gemma3": {"image_size": 28, "patch_size": 14, "mm_tokens_per_image": 4},
    "dbrx": {
        "attn_config": {"rope_theta": 1e4, "kv_n_heads": 2, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "fsmt": {"pad_token_id": 1},  # a start token that is padding is masked
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8, "num_experts": 4, "moe_topk": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "ministral": {"head_dim": 8},
    "nemotron": {"head_dim": 8, "num_key_value_heads": 2},
    "zamba2": {"attention_hidden_size": 64, "attention_head_dim": 16},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "attention_layers": ["global", "local"]},
}
# What a config derives other values from when it is made, so that it cannot be set afterwards.
_SHARED = {
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
}
_GEMMA = {"hidden_size_per_layer_input": 8, "head_dim": 8, "global_head_dim": 16}
_FROM: dict[str, dict[str, Any]] = {
    "dbrx": {"d_model": 32},
    "hrm_text": {"num_hidden_layers": 2},
    "zamba2": {"hidden_size": 32, "num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "mamba"]},
    "gemma3n_text": {
        **_SHARED,
        "laurel_rank": 4,
        "intermediate_size": [48] * 4,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    "gemma4_text": {**_SHARED, **_GEMMA},
    "gemma4_unified_text": {**_SHARED, **_GEMMA},
}
_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
_MOST = 10_000_000  # parameters: what is larger was not made small by the names above


def save_byte_tokenizer(folder: Path) -> int:
    """Write a tokenizer with one token per byte and an end-of-sequence into ``folder``; the number of its tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {letter: index for index, letter in enumerate(["<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>").save_pretrained(folder)
    return len(letters)


def save_tiny_llama(folder: Path) -> Path:
    """``folder``, holding a Llama of two layers with random weights and a tokenizer of bytes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=save_byte_tokenizer(folder),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.2,  # sharp enough that two prompts do not get the same answer
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def save_tiny(name: str, folder: Path, **changes: Any) -> Path:
    """``folder``, holding a small model of transformers' type ``name`` with random weights and a tokenizer of bytes.

    ``changes`` are of its config, the language model's where a config holds several. A model that continues text, or
    an encoder-decoder.

    Raises:
        ValueError: If its config has sizes under names that are not known here, so that the model would be large.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    made = _FROM.get(name, {})
    config = AutoConfig.for_model(name, **made)
    changes = {**_ALSO.get(name, {}), **changes}
    tokens = dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), save_byte_tokenizer(folder))
    wanted = {**_SIZES, **tokens, **dict.fromkeys(_IDS, 0), **changes}
    wanted = {key: value for key, value in wanted.items() if key in changes or key not in made}
    parts = (getattr(config, "vision_config", None), config, config.get_text_config())
    for part in {id(one): one for one in parts if one is not None}.values():
        latent = {"num_key_value_heads": wanted["num_attention_heads"]} if getattr(part, "kv_lora_rank", None) else {}
        for key, value in (wanted | latent).items():
            _set(part, key, value, always=key in _IDS or key in changes)
        for key in ("layer_types", "mlp_layer_types"):
            if key not in changes | made and isinstance(types := getattr(part, key, None), list):
                _set(part, key, _some_of_each(types, part.num_hidden_layers), always=True)
    auto_class: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        size = sum(one.numel() for one in auto_class.from_config(copy.deepcopy(config)).parameters())
    if size > _MOST:
        raise ValueError(f"A model of type {name} has {size:,} parameters with these sizes.")
    torch.manual_seed(0)
    auto_class.from_config(config).save_pretrained(folder)
    return folder


def _set(config: Any, key: str, value: Any, *, always: bool) -> None:
    try:
        if isinstance(value, dict) and not isinstance(part := getattr(config, key, None), dict):
            for name, inner in value.items():
                setattr(part, name, inner)
        elif always or getattr(config, key, None) is not None:
            setattr(config, key, value)
    except (AttributeError, NotImplementedError, ValueError, RuntimeError):
        pass  # derived from other names, or different for every layer


def _some_of_each(types: Sequence[str], count: int) -> list[str]:
    """``count`` of ``types``, with as many different ones among them as there is room for."""
    different = list(dict.fromkeys(types))
    return [*types[: max(0, count - len(different))], *different][-count:]
