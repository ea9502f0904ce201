"""HydraLoRA: one shared down-projection, several up-projections, routed by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Dropout
from snibench.base.types import TaskCard
from snibench.contracts import Encode
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class HydraLoraSettings:
    """``experts``: n up-projections ``B_i`` that share one ``A``; the rest as in ``lora``."""

    r: Count = 8
    alpha: Count = 16
    experts: Count = 3
    dropout: Dropout = 0.0


class HydraLora(BaseMethod):
    """Low-rank adapters with one A and several B, mixed by a learned router for each token; no task identity.

    ``h = W x + (alpha/r) sum_i softmax(R x)_i B_i A x``. Seen and unseen tasks are answered alike.

    Source: Tian et al., HydraLoRA: An Asymmetric LoRA Architecture for Efficient Fine-Tuning (NeurIPS 2024). Its script
    has n = 4, r = 4, alpha = 32, dropout 0.05 and adapts the MLP alone; here n = 3 and the baseline's layers, rank,
    scale and dropout, so that the router is what differs.
    """

    Settings: ClassVar[type] = HydraLoraSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with a token-routed layer in place of every linear one."""
        from snibench.engine.adapters import TokenRoutedLayer, draw_down_projections, insert

        settings = self.settings
        insert(
            model,
            lambda base: TokenRoutedLayer(
                base,
                rank=settings.r,
                scale=settings.alpha / settings.r,
                experts=settings.experts,
                dropout=settings.dropout,
            ),
        )
        draw_down_projections(model, seed)
        return model
