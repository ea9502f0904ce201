"""Vectors of soft prompts: shared by all instances, or scaled by each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.hashing import derive_seed
from snibench.engine.packing import Batch


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


def prompt_ends(batch: Batch) -> Tensor:
    """``[B]`` columns where each row's prompt ends and its answer begins; one instance a row."""
    if batch.decoder_ids is not None:
        return batch.mask.sum(1)
    rows, columns = batch.target_index.unbind(1)
    ends = torch.full((len(batch.input_ids),), batch.input_ids.shape[1], device=rows.device)
    return ends.scatter_reduce(0, rows, columns + 1, "amin")
