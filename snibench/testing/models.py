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
# What else a type needs to be small and to hold each of its kinds of layers.
_ALSO: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "gemma3": {"image_size": 28, "patch_size": 14, "mm_tokens_per_image": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "attention_layers": ["global", "local"]},
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

    config = AutoConfig.for_model(name)
    changes = {**_ALSO.get(name, {}), **changes}
    wanted = {**_SIZES, "vocab_size": save_byte_tokenizer(folder), **dict.fromkeys(_IDS, 0), **changes}
    parts = (getattr(config, "vision_config", None), config, config.get_text_config())
    for part in {id(one): one for one in parts if one is not None}.values():
        for key, value in wanted.items():
            _set(part, key, value, always=key in _IDS or key in changes)
        for key in ("layer_types", "mlp_layer_types"):
            if key not in changes and isinstance(types := getattr(part, key, None), list):
                _set(part, key, _some_of_each(types, part.num_hidden_layers), always=True)
    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        size = sum(one.numel() for one in kind.from_config(copy.deepcopy(config)).parameters())
    if size > _MOST:
        raise ValueError(f"A model of type {name} has {size:,} parameters with these sizes.")
    torch.manual_seed(0)
    kind.from_config(config).save_pretrained(folder)
    return folder


def _set(config: Any, key: str, value: Any, *, always: bool) -> None:
    try:
        if always or getattr(config, key, None) is not None:
            setattr(config, key, value)
    except (AttributeError, NotImplementedError, ValueError):
        pass  # derived from other names, or different for every layer


def _some_of_each(types: Sequence[str], count: int) -> list[str]:
    """``count`` of ``types``, with as many different ones among them as there is room for."""
    different = list(dict.fromkeys(types))
    return [*types[: max(0, count - len(different))], *different][-count:]
