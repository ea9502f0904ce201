"""Places in a model that methods need, as its headers show them: answers for ``Method.unfit``."""

from __future__ import annotations

from snibench.base.types import ModelInfo

# What model families call the feed-forward part of a block, where it is a module of its own.
FEED_FORWARD = ("mlp", "feed_forward", "ffn", "DenseReluDense", "shared_expert", "shared_experts", "shared_mlp")


def no_place_for_prompt(info: ModelInfo) -> str | None:
    """Why a model takes no virtual tokens, for ``Method.unfit``; None where it does."""
    if info.embeddings_per_layer:
        return (
            f"soft prompts need one table of embeddings, and every layer of a {info.architecture} looks tokens up in "
            "one of its own."
        )
    return None


def no_place_for_prefix(info: ModelInfo) -> str | None:
    """Why a model takes no learned keys and values (``insert_prefix``), for ``Method.unfit``; None where it does."""
    if info.encoder_decoder:
        return f"prefix-tuning is for decoders here, and a {info.architecture} is an encoder-decoder."
    if info.text.get("num_kv_shared_layers"):
        return f"prefix-tuning needs keys and values in every layer, and layers of a {info.architecture} share them."
    if info.shapes and not info.holds("k_proj", "v_proj"):
        return f"prefix-tuning needs attention with k_proj and v_proj, and a {info.architecture} has none."
    return no_place_for_prompt(info)
