"""LoRAMoE: several LoRAs beside every layer, all of them in use, by shares that differ by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Dropout, Weight
from snibench.base.types import TaskCard
from snibench.contracts import Encode, Losses
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import nn

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class LoraMoeSettings:
    """``experts``: n LoRAs a layer, each of rank ``r``. ``balance``: weight of the balance loss."""

    r: Count = 4
    alpha: Count = 32
    experts: Count = 8
    balance: Weight = 0.1
    dropout: Dropout = 0.0


class LoraMoe(BaseMethod):
    """``h = W x + (alpha/r) sum_i softmax(R x)_i B_i A_i x`` in every adapted layer; no task identity.

    An auxiliary loss keeps shares alike: the squared coefficient of variation of the mean shares that each text gives
    to each expert. Seen and unseen tasks are answered alike. With one expert it is ``lora``.

    Source: Dou et al., LoRAMoE: Alleviating World Knowledge Forgetting in Large Language Models via MoE-Style Plugin
    (ACL 2024). Unlike there, all linear layers are adapted and not the feed-forward ones alone, without dropout, and
    experts are not split between questions of world knowledge and others, which no suite tells apart. Its script has
    the same n, r and alpha, and the balance loss off.
    """

    Settings: ClassVar[type] = LoraMoeSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with experts beside every linear layer of its blocks."""
        from snibench.engine.adapters import draw_down_projections, insert
        from snibench.engine.experts import ExpertsLayer
        from snibench.engine.tallies import Tally

        settings = self.settings
        self._tally = Tally()
        insert(
            model,
            lambda base: ExpertsLayer(
                base,
                rank=settings.r,
                scale=settings.alpha / settings.r,
                experts=settings.experts,
                tally=self._tally,
                dropout=settings.dropout,
            ),
        )
        draw_down_projections(model, seed)
        return model

    def losses(self, model: nn.Module, batch: Batch) -> Losses:  # type: ignore[override]  # as the contract has it
        """``[K]`` mean target NLL, and as auxiliary loss the mean of the layers' imbalances."""
        with self._tally.over(batch) as imbalances:
            nll = super().losses(model, batch)
        return Losses(nll, auxiliary=self._tally.mean(imbalances, self.settings.balance))
