"""Every architecture of transformers that answers, read by the engine and held against transformers itself.

For each a tiny model with random weights is built from its config, saved with a tokenizer of bytes, and loaded as a run
would load it. The engine then either refuses it in a sentence, or its loss and greedy answers, untuned and under methods,
are compared with what transformers' own forward pass and ``generate`` give on prompts of this script's own.
Exit code 1 if any differs without a refusal.

    python scripts/architectures.py                      # all, as a table
    python scripts/architectures.py llama mamba          # some
    python scripts/architectures.py --write docs/models.md
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from snibench.base.errors import SnibenchError
from snibench.base.types import FitSpec, Mixture, ModelRef, Prompt, Recipe, Segment, SuiteRequest, TaskCard
from snibench.engine.backbone import Backbone, base_of, load_backbone
from snibench.engine.check import check_method, check_model
from snibench.engine.decoding import Answerer, Asked
from snibench.engine.embeddings import InstructionEncoder
from snibench.engine.packing import make_batch
from snibench.engine.tokens import Encoded, Encoder
from snibench.methods.lora import Lora
from snibench.methods.ours import Ours
from snibench.models.find import find_model, quiet_transformers
from snibench.testing.models import save_byte_tokenizer

# Sizes, by every name that configs have for them.
_WIDTH, _INNER, _LAYERS, _HEADS, _LENGTH = 32, 48, 2, 4, 1024
_SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embed_dim", "word_embed_proj_dim"), _WIDTH),
    **dict.fromkeys(
        ("intermediate_size", "ffn_dim", "n_inner", "decoder_ffn_dim", "encoder_ffn_dim", "d_ff", "d_inner"), _INNER
    ),
    **dict.fromkeys(
        (
            *("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers"),
            *("num_decoder_layers", "num_encoder_layers"),
        ),
        _LAYERS,
    ),
    **dict.fromkeys(
        (
            *("num_attention_heads", "n_head", "num_heads", "n_heads", "decoder_attention_heads"),
            *("encoder_attention_heads", "num_decoder_attention_heads", "num_encoder_attention_heads"),
        ),
        _HEADS,
    ),
    **dict.fromkeys(("num_key_value_heads", "multi_query_group_num"), 2),
    **dict.fromkeys(("head_dim", "d_kv"), 8),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length", "max_encoder_position_embeddings"),
        _LENGTH,
    ),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 32),
    **dict.fromkeys(("initializer_range", "init_std", "initializer_factor"), 0.3),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 8),
}
_MOST = 10_000_000  # parameters
# Latent attention: parts of a head's size.
_LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 16}
# What else an architecture needs to be small, or to show what is its own.
_SPECIAL: dict[str, dict[str, Any]] = {
    "qwen3_next": {"num_hidden_layers": 4, "layer_types": None},
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": 64, "num_hidden_layers": 3},
    "reformer": {"is_decoder": True},
}
# Encoder-decoders come second in their auto class: names that both have are built as encoder-decoders.
@dataclass(frozen=True)
class Result:
    """One row of the table."""

    name: str
    model: str
    verdict: str  # "equal", "refused", "differs", "not built"
    how: str = ""  # the paths, or the sentence
    loss: float = float("nan")  # largest relative difference
    methods: str = ""


def architectures() -> list[str]:
    """All model types whose auto class answers text, those of a decoder first."""
    from transformers.models.auto import modeling_auto as auto

    return list(dict.fromkeys([*auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES]))


def build(name: str, folder: Path) -> Any:
    """A tiny model of this type with random weights, saved into ``folder`` with a tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = AutoConfig.for_model(name)
    vocabulary = save_byte_tokenizer(folder)
    for part in {id(one): one for one in (config, config.get_text_config())}.values():
        wanted = {**_SIZES, "vocab_size": vocabulary, **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0)}
        wanted |= {"decoder_start_token_id": 0} if config.is_encoder_decoder else {}
        for key, value in wanted.items():
            try:
                if getattr(part, key, None) is not None or key in ("decoder_start_token_id", "pad_token_id"):
                    setattr(part, key, value)
            except (AttributeError, NotImplementedError, ValueError):
                pass  # a name that stands for another, or differs between layers
        for key, value in _SPECIAL.get(name, {}).items():
            setattr(part, key, value)
        for key in ("layer_types", "mlp_layer_types"):
            if isinstance(types := getattr(part, key, None), list):
                setattr(part, key, _both(types, part.num_hidden_layers))
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        size = sum(one.numel() for one in kind.from_config(copy.deepcopy(config)).parameters())
    if size > _MOST:
        raise ValueError(f"{size:,} parameters")
    torch.manual_seed(0)
    model = kind.from_config(config)
    model.save_pretrained(folder)
    return model


def _both(types: Sequence[str], count: int) -> list[str]:
    """``count`` layer types with as many kinds among them as there is room for."""
    kinds = list(dict.fromkeys(types))
    return [*types[: max(0, count - len(kinds))], *kinds][-count:]


def main() -> int:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    quiet_transformers()
    for name in given.names or architectures():
        with tempfile.TemporaryDirectory() as folder:
            try:
                model = build(name, Path(folder))
            except Exception as error:
                print(f"{name}: NOT BUILT {type(error).__name__} {str(error)[:150]}", flush=True)
                continue
            size = sum(p.numel() for p in model.parameters())
            if size > 2e6:
                print(f"{name}: BIG {size}", flush=True)
            if size > 3e7: continue
            del model
            try:
                found = check_model(find_model(folder))
                print(f"{name}: {found.paths} {found.notes}", flush=True)
            except SnibenchError as error:
                print(f"{name}: REFUSED {error}", flush=True)
            except Exception as error:
                import traceback; traceback.print_exc()
                print(f"{name}: CRASH {type(error).__name__} {str(error)[:200]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
