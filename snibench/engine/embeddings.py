"""Embedding of a text by the frozen base model: the mean of its last hidden states."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snibench.engine.adapters import adapters_off
from snibench.engine.backbone import Backbone, base_of


class InstructionEncoder:
    """Embeds texts with the base model, adapters off; every text once.

    Source: the joint instruction representation of docs/methods.md. Methods may use it for instructions only.
    """

    def __init__(self, backbone: Backbone, max_tokens: int) -> None:
        self._backbone = backbone
        self._max_tokens = max_tokens
        self._known: dict[str, Tensor] = {}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """``[n, H]`` float32, no gradient. Texts beyond the token limit are embedded by their beginning."""
        # One text a row and no padding, so that an embedding does not depend on its neighbours' lengths.
        for text in texts:
            if text not in self._known:
                self._known[text] = self._embed(text)
        return torch.stack([self._known[text] for text in texts])

    @torch.no_grad()
    def _embed(self, text: str) -> Tensor:
        backbone = self._backbone
        base = base_of(backbone.model)
        ids = backbone.tokenizer(text, truncation=True, max_length=self._max_tokens, return_tensors="pt").input_ids
        body: nn.Module = base.get_encoder() if backbone.encoder_decoder else base.base_model
        with adapters_off(base):
            if body is base:  # a model of one piece: its head's output has no name for them
                states: Tensor = base(input_ids=ids.to(backbone.device), output_hidden_states=True).hidden_states[-1]
            else:
                states = body(input_ids=ids.to(backbone.device)).last_hidden_state
        return states[0].float().mean(0)
