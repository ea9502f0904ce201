"""A base model by its headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A base model as its config and the headers of its weight files describe it; no weight is read.

    ``config``: ``config.json`` as written. ``shapes``: every stored tensor's shape by its name.
    """

    config: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)
    parameters: int  # stored numbers

    @property
    def architecture(self) -> str:
        """The class that wrote the model, such as "LlamaForCausalLM"; its type where no class is named."""
        named = self.config.get("architectures")
        return str(named[0]) if isinstance(named, list) and named else self.model_type

    @property
    def model_type(self) -> str:
        """The family, such as "llama"; empty where the config names none."""
        return str(self.config.get("model_type") or "")

    @property
    def encoder_decoder(self) -> bool:
        """Whether an encoder reads the prompt and a decoder of its own answers."""
        return bool(self.config.get("is_encoder_decoder", self.model_type in _TWO_PARTS))

    @property
    def text(self) -> Mapping[str, Any]:
        """The config of the part that reads text: ``text_config`` where the model has several parts."""
        nested = self.config.get("text_config")
        return nested if isinstance(nested, Mapping) else self.config

    @property
    def learned_positions(self) -> int | None:
        """The longest prompt and answer for which the model has positions; None where they are computed for any.

        Of an encoder-decoder, the longest prompt.
        """
        limit = next((self.text[key] for key in _LIMITS if isinstance(self.text.get(key), int)), None)
        if self.text.get("model_type", self.model_type) in _POSITION_TABLES:
            return limit
        tables = [
            shape[0]
            for name, shape in self.shapes.items()
            if len(shape) == 2
            and _POSITION_NAMES & set(name.split(".")[-2:-1])
            and not (self.encoder_decoder and "decoder." in name)
        ]
        if not tables:
            return None
        return min(tables) if limit is None else min(limit, *tables)

    @property
    def embeddings_per_layer(self) -> bool:
        """Whether every layer looks tokens up in a table of its own, as Gemma-3n does."""
        return bool(self.text.get("hidden_size_per_layer_input")) or any(
            "embed_tokens_per_layer" in name for name in self.shapes
        )

    def holds(self, *projections: str) -> bool:
        """Whether some layer stores a weight for each of ``projections``, such as "k_proj"."""
        return all(any(f".{one}." in name for name in self.shapes) for one in projections)


# Whose configs are encoder-decoders without saying so.
_TWO_PARTS = {"t5", "mt5", "umt5", "longt5", "switch_transformers", "bart", "mbart", "pegasus", "blenderbot", "led"}
# How configs call the longest sequence.
_LIMITS = ("max_encoder_position_embeddings", "max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")
# How models call their learned tables of positions.
_POSITION_NAMES = {"wpe", "embed_positions", "position_embeddings", "positions_embed", "position_embedding"}
# Whose tables are computed and not stored, as long as the config says and no longer.
_POSITION_TABLES = {"gptj", "codegen", "ctrl", "mpt"}
