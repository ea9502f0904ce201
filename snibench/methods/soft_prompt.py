"""Soft tokens in front of every prompt: shared by all instances, or scaled by each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snibench.base.errors import UsageError
from snibench.base.hashing import derive_seed
from snibench.base.types import ModelInfo, TaskCard
from snibench.contracts import Encode
from snibench.engine.backbone import base_of
from snibench.engine.packing import Batch
from snibench.engine.soft_prompts import insert_prompt, no_place_for_prompt
from snibench.methods.base import BaseMethod


class SharedVectors(nn.Module):
    """``P [n, H]``, drawn from the embeddings of the vocabulary: the "sampled vocabulary" of Lester et al. (2021)."""

    ends: Tensor | None = None  # [B] columns where the rows' prompts end, in training

    def __init__(self, base: Any, count: int, seed: int) -> None:
        super().__init__()
        table: Tensor = base.get_input_embeddings().weight.detach()
        generator = torch.Generator().manual_seed(derive_seed("soft prompt", seed))
        drawn = torch.randint(len(table), (count,), generator=generator)
        self.P = nn.Parameter(table[drawn.to(table.device)].float().clone())

    def forward(self, ids: Tensor, plain: Tensor) -> Tensor:
        """``[n, H]``, the same for every row."""
        return self.P


class GatedVectors(SharedVectors):
    """Soft token j is ``(a + (1 - a) sigmoid(<P_j, K x>)) P_j``: in part shared, in part scaled by the instance.

    ``x``: mean input embedding of the prompt. ``a``: sigmoid of a learned scalar, 1/2 at the start. ``K [H, H]``
    starts at zero, so that every gate starts at 1/2.
    """

    def __init__(self, base: Any, count: int, seed: int) -> None:
        super().__init__(base, count, seed)
        width = self.P.shape[1]
        self.K = nn.Linear(width, width, bias=False, device=self.P.device)
        nn.init.zeros_(self.K.weight)
        self.a = nn.Parameter(self.P.new_zeros(()))
        self.padding = base.config.pad_token_id if getattr(base.config, "is_encoder_decoder", False) else None
        self.vocabulary = len(base.get_input_embeddings().weight)

    def forward(self, ids: Tensor, plain: Tensor) -> Tensor:
        """``[B, n, H]``."""
        virtual = ids >= self.vocabulary
        read = (virtual.cumsum(1) == len(self.P)) & ~virtual  # what follows the virtual tokens
        if self.ends is not None:
            read &= torch.arange(ids.shape[1], device=ids.device) < self.ends[:, None]
        elif self.padding is not None:  # an encoder's rows are padded on the right
            read &= ids != self.padding
        x = (plain.float() * read[..., None]).sum(1) / read.sum(1).clamp(min=1)[:, None]
        gates = torch.sigmoid(self.K(x) @ self.P.T)  # [B, n]
        share = torch.sigmoid(self.a)
        return (share + (1 - share) * gates)[..., None] * self.P


def _prompt_ends(batch: Batch) -> Tensor:
    """``[B]`` columns where each row's prompt ends and its answer begins; one instance a row."""
    if batch.decoder_ids is not None:
        return batch.mask.sum(1)
    rows, columns = batch.target_index.unbind(1)
    ends = torch.full((len(batch.input_ids),), batch.input_ids.shape[1], device=rows.device)
    return ends.scatter_reduce(0, rows, columns + 1, "amin")


@dataclass(frozen=True, slots=True)
class SoftPromptSettings:
    """``prompt_tokens``: how many soft tokens stand in front of every prompt."""

    prompt_tokens: int = 20

    def validate(self) -> None:
        """Raises UsageError unless there is at least one token."""
        if self.prompt_tokens < 1:
            raise UsageError(f"prompt_tokens must be at least 1, but got {self.prompt_tokens}.")


class SoftPrompt(BaseMethod):
    """Trainable vectors in front of every prompt, the same for all instances, and nothing else.

    Source: Lester et al., The Power of Scale for Parameter-Efficient Prompt Tuning (EMNLP 2021).
    """

    Settings: ClassVar[type] = SoftPromptSettings
    _vectors: ClassVar[type[SharedVectors]] = SharedVectors

    def unfit(self, info: ModelInfo) -> str | None:
        """Soft tokens have no place where every layer embeds tokens by itself."""
        return no_place_for_prompt(info)

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with soft tokens."""
        self._prompt = self._vectors(base_of(model), self.settings.prompt_tokens, seed)
        insert_prompt(model, self.settings.prompt_tokens, self._prompt)
        return model


class GatedPrompt(SoftPrompt):
    """Trainable vectors in front of every prompt, each in part shared and in part scaled by the instance.

    Our reading of Jin et al. 2023 (learned soft prompts for few-shot NLU), of which only the abstract is public to us.
    """

    _vectors: ClassVar[type[SharedVectors]] = GatedVectors
    shares_prefixes: ClassVar[bool] = False  # an instance's gates are its own

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]`` mean target NLL per task."""
        self._prompt.ends = _prompt_ends(batch)
        try:
            return super().losses(model, batch)
        finally:
            self._prompt.ends = None
