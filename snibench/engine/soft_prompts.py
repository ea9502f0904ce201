"""Soft prompts: learned vectors, or learned keys and values, that stand before every prompt.

A virtual token is an id beyond the vocabulary. A method inserts n of them in ``attach``; ``batches.Encoder`` finds them
in the model and puts the ids ``V .. V + n - 1`` in front of every prompt, and an embedding that knows them gives the
learned vectors. To everything between, packing, shared prefixes, caches, decoding, they are tokens like others.
They are not counted as tokens of the data and never dropped for length.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from snibench.base.errors import ModelError
from snibench.engine.backbone import base_of

# (ids [B, L], their plain [B, L, H] embeddings) -> [n, H], or [B, n, H] where rows differ.
Vectors = Callable[[Tensor, Tensor], Tensor]


class VirtualEmbedding(nn.Module):
    """An input embedding of V ids with ``virtual_tokens`` further ones; ids below V get what they got before.

    After a forward pass ``virtual`` says which places of its rows hold virtual tokens, None if none does, and ``index``
    which of them: both ``[B, L]``.
    """

    def __init__(self, base: nn.Module, count: int, vectors: Vectors | None) -> None:
        super().__init__()
        self.base_layer = base
        self.num_embeddings = int(cast(Any, base).num_embeddings)
        self.virtual_tokens = count
        self.vectors = vectors  # registered with its parameters if it is a module
        self.virtual: Tensor | None = None
        self.index: Tensor | None = None
        self.started: Callable[[], None] = lambda: None  # called when a pass has virtual tokens

    @property
    def weight(self) -> Tensor:
        """The base embedding's weight, which the output embedding may share."""
        return cast(Tensor, self.base_layer.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """``[B, L] -> [B, L, H]``."""
        virtual = ids >= self.num_embeddings
        plain: Tensor = self.base_layer(ids.clamp(max=self.num_embeddings - 1))
        if not virtual.any():
            self.virtual = self.index = None
            return plain
        self.virtual, self.index = virtual, (ids - self.num_embeddings).clamp(min=0)
        self.started()
        if self.vectors is None:
            return plain
        learned = self.vectors(ids, plain).to(plain.dtype)
        if learned.dim() == 2:
            placed = learned[self.index]
        else:
            if len(learned) != len(ids):
                raise ValueError(f"soft prompts for {len(learned)} rows, but the pass has {len(ids)}")
            placed = learned.gather(1, self.index[..., None].expand(-1, -1, learned.shape[-1]))
        return torch.where(virtual[..., None], placed, plain)


def insert_prompt(model: nn.Module, count: int, vectors: Vectors) -> VirtualEmbedding:
    """Give ``model`` ``count`` virtual tokens whose input embeddings are ``vectors(ids, plain)``; the new embedding.

    Called in ``Method.attach``, before or after peft wraps the model. ``vectors`` is asked once for every forward pass
    that has virtual tokens, with its ``ids [B, L]`` (virtual ones from V = ``embedding.num_embeddings`` on) and their
    ``plain [B, L, H]`` embeddings (at virtual tokens without meaning). It returns ``[n, H]``, or ``[B, n, H]`` where
    rows differ. If it is a module, its parameters become the model's.

    A method whose vectors depend on the row's own tokens sets ``shares_prefixes = False``: then every row is one whole
    prompt, padded on the left where it is answered, and in training followed by its answer, which ``vectors``
    must not read.
    """
    return _insert(model, count, vectors)


def insert_prefix(model: nn.Module, count: int, keys_values: Callable[[], Tensor]) -> VirtualEmbedding:
    """Give ``model`` ``count`` virtual tokens whose keys and values are learned in every layer (prefix-tuning).

    ``keys_values()`` is asked once for every forward pass that has virtual tokens and returns ``[layers, 2, n, W]``,
    W numbers for a token's keys (0) or values (1) of all key-value heads, head by head. Keys are as attention reads
    them, after rotary position embedding and key norm: what peft's prefix encoder holds and stores.

    Raises:
        ModelError: If the model is an encoder-decoder, or its layers have no key and value projections to replace.

    Source: Li and Liang, Prefix-Tuning (ACL 2021). Exactly that, by another way: the outputs of the projections are
    replaced at virtual tokens, so no cache has to be handed in, and real tokens start at position n as they do in peft.
    """
    base = base_of(model)
    name = type(base).__name__
    layers = [module for module in base.modules() if hasattr(module, "k_proj") and hasattr(module, "v_proj")]
    if getattr(base.config, "is_encoder_decoder", False) or not layers:
        raise ModelError(
            f"Prefix-tuning needs a decoder whose attention has k_proj and v_proj, but the model is a {name}."
        )
    before_rotation = _inverse_rotation(base, layers[0], count)
    embedding = _insert(model, count, None)
    learned: list[Tensor] = []  # of the pass under way

    def start() -> None:
        learned[:] = [before_rotation(keys_values())]

    def replace(layer: int, side: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            if embedding.virtual is None or embedding.index is None:
                return output
            placed = learned[0][layer, side].to(output.dtype)[embedding.index]  # [B, L, W]
            return torch.where(embedding.virtual[..., None], placed, output.flatten(2)).view_as(output)

        return hook

    embedding.started = start
    for number, layer in enumerate(layers):
        # A norm of the keys, where there is one, stands behind their projection.
        cast(Any, getattr(layer, "k_norm", None) or layer.k_proj).register_forward_hook(replace(number, 0))
        cast(Any, layer.v_proj).register_forward_hook(replace(number, 1))
    return embedding


def _insert(model: nn.Module, count: int, vectors: Vectors | None) -> VirtualEmbedding:
    base = base_of(model)
    embedding = VirtualEmbedding(base.get_input_embeddings(), count, vectors)
    base.set_input_embeddings(embedding)
    return embedding


def _inverse_rotation(base: Any, attention: Any, count: int) -> Callable[[Tensor], Tensor]:
    """Inverse rotation of ``[layers, 2, n, W]`` keys and values: once rotated, their keys are the given ones.

    Raises:
        ModelError: If rotating does not give them back: the model rotates in a way that is not known here.
    """
    rotary = getattr(base.base_model, "rotary_emb", None)
    if rotary is None:
        return lambda table: table
    rotate = getattr(sys.modules[type(attention).__module__], "apply_rotary_pos_emb", None)
    unknown = ModelError(
        f"Prefix-tuning cannot place keys in a {type(base).__name__}: its rotary embedding is not known."
    )
    device = base.get_input_embeddings().weight.device
    try:
        places = torch.arange(count, device=device)[None]
        cos, sin = rotary(torch.zeros(1, 1, 1, device=device), position_ids=places)
        size, scale = cos.shape[-1], cos.square() + sin.square()

        def turned(keys: Tensor, sine: Tensor) -> Tensor:
            split = keys.unflatten(-1, (-1, size)).transpose(1, 2)  # [layers, heads, n, D]
            whole: Tensor = cast(Any, rotate)(split, split, cos, sine)[1]
            return whole

        def before(table: Tensor) -> Tensor:
            keys = (turned(table[:, 0].float(), -sin) / scale[:, None]).transpose(1, 2).flatten(2)
            return torch.stack([keys, table[:, 1].float()], dim=1)

        width = base.config.num_key_value_heads * attention.head_dim
        sample = torch.linspace(-1, 1, count * width, device=device).reshape(1, 1, count, width).repeat(1, 2, 1, 1)
        again = turned(before(sample)[:, 0], sin).transpose(1, 2).flatten(2)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise unknown from error
    if size != attention.head_dim or not torch.allclose(again, sample[:, 0], atol=1e-4):
        raise unknown
    return before
