"""R-LoRA: HydraLoRA whose heads differ from the start and drop ranks each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Dropout, Positive
from snibench.base.types import TaskCard
from snibench.contracts import Encode
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class RLoraSettings:
    """``experts``: n heads ``B_i`` that share one ``A``. ``head_dropout``: of each head's ranks.

    ``gamma``: the larger, the closer to zero ``A`` and the heads start.
    """

    r: Count = 8
    alpha: Count = 16
    experts: Count = 3
    head_dropout: Dropout = 0.1
    gamma: Positive = 64.0


class RLora(BaseMethod):
    """One A and several B that start at random values, mixed by a router for each token; no task identity.

    ``h = W x + (alpha/r) (sum_i softmax(R x)_i B_i D_i A x - B_0 A_0 x)``: ``D_i`` drops ranks for each head by
    itself, ``B_0 A_0`` is the mean product at the start. Seen and unseen tasks are answered alike.

    Source: Liu et al., R-LoRA: Randomized Multi-Head LoRA for Efficient Multi-Task Learning (EMNLP Findings 2025).
    Unlike there, layers, rank, scale and the number of heads are those of ``hydralora`` here, so that the random
    start and the dropout are what differs; and what the heads start with is taken off in the forward pass, not from
    the base weights.
    """

    Settings: ClassVar[type] = RLoraSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with random heads on every linear layer of its blocks."""
        from snibench.engine.adapters import insert
        from snibench.engine.random_layers import RandomHeadsLayer, draw_layers

        settings = self.settings
        insert(
            model,
            lambda base: RandomHeadsLayer(
                base,
                rank=settings.r,
                scale=settings.alpha / settings.r,
                experts=settings.experts,
                gamma=settings.gamma,
                head_dropout=settings.head_dropout,
            ),
        )
        draw_layers(model, seed)
        return model
