"""A forward pass of Llama-shaped models that leaves attention to the caller and moves less memory.

Matrix products are a third of what a small model's reference path costs on a CPU; norms, rotary products and
copies are the rest. This one does the same arithmetic in place, knows that only one position's logits are wanted, and
calls every linear layer through its own module, whatever adapter sits there. It serves models that it
knows by structure, and only after it has given the reference pass's logits on a real prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from snibench.engine.backbone import base_of

# Families with plain norms, rotary positions, gated feed-forward and nothing else.
_FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
# Rotary frequencies that do not depend on the length of the sequence.
_ROTARY = frozenset({"default", "linear", "llama3", "yarn"})

# (layer, queries [B, L, H, D], keys [B, L, G, D], values) -> [B, L, H * D]; fewer queries than keys in the last layer
Attention = Callable[[int, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of a cache of keys and values: per token, ``layers * 2 * key_heads * head_size`` numbers."""

    layers: int
    key_heads: int
    head_size: int
    dtype: torch.dtype

    @property
    def bytes_per_token(self) -> int:
        """Bytes of one token's keys and values, all layers together."""
        return 2 * self.layers * self.key_heads * self.head_size * self.dtype.itemsize


def why_not_fast(model: nn.Module) -> str:
    """Why the fast pass does not serve ``model``; empty if its structure is one that it knows."""
    base = base_of(model)
    config = getattr(base, "config", None)
    family = getattr(config, "model_type", type(base).__name__)
    if family not in _FAMILIES:
        return f"models of type {family} are not among {', '.join(sorted(_FAMILIES))}"
    home = f"transformers.models.{family}."
    if not type(base).__module__.startswith(home) or _altered(base):
        return f"{type(base).__name__} is not transformers' own"
    if getattr(config, "sliding_window", None) and _only(getattr(config, "layer_types", ())) != "full_attention":
        return "the model attends to a window only"
    rotary = getattr(getattr(base.base_model, "rotary_emb", None), "rope_type", "default")
    if rotary not in _ROTARY:
        return f"its rotary positions are of type {rotary}"
    for name, module in base.named_modules():
        kept = name.rpartition(".")[2] in {"self_attn", "mlp", "norm", "input_layernorm", "post_attention_layernorm"}
        kept = kept or module is base.base_model or name.rpartition(".")[0].endswith("layers")
        if kept and (not type(module).__module__.startswith(home) or _altered(module)):
            return f"'{name}' is not transformers' own"
    return ""


def _only(types: Any) -> str:
    distinct = set(types or ())
    return distinct.pop() if len(distinct) == 1 else ""


def _altered(module: nn.Module) -> bool:
    """Whether something listens to the module's calls, which the fast pass does not make."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


class FastModel:
    """The fast forward pass of one model."""

    def __init__(self, model: nn.Module) -> None:
        base = base_of(model)
        self._body: Any = base.base_model
        self._head: Any = base.get_output_embeddings()
        self._layers: list[Any] = list(self._body.layers)
        first = self._layers[0].self_attn
        self.scale: float = first.scaling
        weight = self._body.embed_tokens.weight if hasattr(self._body.embed_tokens, "weight") else self._head.weight
        self.shape = Shape(len(self._layers), base.config.num_key_value_heads, first.head_dim, weight.dtype)

    def read(self, ids: Tensor, positions: Tensor, attention: Attention, last: Tensor | None = None) -> Tensor:
        """``[B, V]`` logits at column ``last[b]`` of each row, the only one if it is None.

        ``ids [B, L]``; ``positions [B, L]`` of the rotary embedding. ``attention`` is called once per layer, in the
        last one with the queries of the column wanted alone.
        """
        return self.logits(self._states(ids, positions, attention, last)[:, 0])

    def fill(self, ids: Tensor, positions: Tensor, attention: Attention) -> None:
        """A pass for its keys and values alone: in the last layer ``attention`` is given no queries."""
        self._states(ids, positions, attention, "none")

    def states(self, ids: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """``[B, L, E]`` final states at every column; ``logits`` makes logits of them."""
        return self._states(ids, positions, attention, None)

    def logits(self, states: Tensor) -> Tensor:
        """``[..., V]`` from final states ``[..., E]``."""
        logits: Tensor = self._head(states)
        return logits

    def _states(
        self, ids: Tensor, positions: Tensor, attention: Attention, kept: Tensor | Literal["none"] | None
    ) -> Tensor:
        x: Tensor = self._body.embed_tokens(ids)
        cos, sin = self._body.rotary_emb(x, position_ids=positions)
        half = cos.shape[-1] // 2
        cos, sin = cos[:, :, None, :half], sin[:, :, None, :half]  # both halves are the same
        for index, layer in enumerate(self._layers):
            attend = layer.self_attn
            h = _normed(x, layer.input_layernorm)
            key = _heads(attend.k_proj(h), attend.head_dim, getattr(attend, "k_norm", None))
            value = _heads(attend.v_proj(h), attend.head_dim, None)
            _rotate(key, cos, sin)
            if index == len(self._layers) - 1 and kept is not None:
                if isinstance(kept, str):
                    attention(index, key[:, :0], key, value)
                    break
                rows = torch.arange(len(x), device=x.device)
                x, h, cos, sin = (one[rows, kept][:, None] for one in (x, h, cos, sin))
            query = _heads(attend.q_proj(h), attend.head_dim, getattr(attend, "q_norm", None))
            _rotate(query, cos, sin)
            x = attend.o_proj(attention(index, query, key, value)).add_(x)
            feed = layer.mlp
            h = _normed(x, layer.post_attention_layernorm)
            gate, up = feed.gate_proj(h), feed.up_proj(h)
            gate = nn.functional.silu(gate, inplace=True) if _is_silu(feed.act_fn) else feed.act_fn(gate)
            x = x.add_(feed.down_proj(gate.mul_(up)))
        return _normed(x, self._body.norm)


def _heads(flat: Tensor, size: int, norm: Any) -> Tensor:
    """``[B, L, H * D] -> [B, L, H, D]``, each head normed where the model does so."""
    split = flat.view(*flat.shape[:-1], -1, size)
    if norm is None:
        return split
    whole: Tensor = norm(split) if _altered(norm) else _normed(split, norm)
    return whole


def _normed(x: Tensor, norm: Any) -> Tensor:
    """Root-mean-square norm over the last axis, its statistics in float32."""
    width: int = x.shape[-1]
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    factor = length.square_().mul_(1 / width).add_(norm.variance_epsilon).rsqrt_()
    scaled: Tensor = (x * factor).to(x.dtype).mul_(norm.weight)
    return scaled


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Turn ``x [B, L, H, D]`` by its positions, in place."""
    first, second = x.chunk(2, dim=-1)
    turned = first * sin
    first.mul_(cos).addcmul_(second, sin, value=-1)
    second.mul_(cos).add_(turned)


def _is_silu(function: Any) -> bool:
    return type(function).__name__ in {"SiLU", "SiLUActivation"}
