"""MixLoRA: feed-forward parts as sparse mixtures of LoRA experts, LoRA elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Dropout, Weight
from snibench.base.errors import UsageError
from snibench.base.types import ModelInfo, TaskCard
from snibench.contracts import Encode, Losses
from snibench.methods.base import BaseMethod
from snibench.models.anatomy import FEED_FORWARD

if TYPE_CHECKING:
    from torch import nn

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class MixLoraSettings:
    """``experts`` for each feed-forward part, a token takes ``top``. ``balance``: weight of the balance loss."""

    r: Count = 8
    alpha: Count = 16
    experts: Count = 8
    top: Count = 2
    balance: Weight = 0.01
    dropout: Dropout = 0.0

    def validate(self) -> None:
        """Raises UsageError if a token would take more experts than there are."""
        if self.top > self.experts:
            raise UsageError(f"top must be at most experts = {self.experts}, but got {self.top}.")


class MixLora(BaseMethod):
    """Every feed-forward part as n experts that share its frozen weights and differ by a LoRA in each of its layers.

    A router takes ``top`` of them for each token; the layers outside (attention) have one LoRA each. An auxiliary
    loss, n sum_i F_i P_i, keeps experts in equal use: F_i is the share of tokens that take expert i, P_i its mean
    probability. Seen and unseen tasks are answered alike. With one expert it is ``lora``.

    Source: Li et al., MixLoRA: Enhancing Large Language Models Fine-Tuning with LoRA-based Mixture of Experts (2024).
    Unlike there, all attention layers are adapted, without dropout, as in the baseline, and the balance loss is taken
    layer by layer.
    """

    Settings: ClassVar[type] = MixLoraSettings

    def unfit(self, info: ModelInfo) -> str | None:
        """A model whose blocks have no feed-forward part of their own."""
        if not info.shapes or any(info.holds(name) for name in FEED_FORWARD):
            return None
        return f"mixlora makes experts of feed-forward modules, and a {info.architecture} has none of its own."

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with experts for feed-forward parts and LoRA on all other linear layers of its blocks."""
        from snibench.engine.experts import insert_expert_blocks
        from snibench.engine.tallies import Tally

        settings = self.settings
        self._tally = Tally()
        insert_expert_blocks(
            model,
            rank=settings.r,
            scale=settings.alpha / settings.r,
            experts=settings.experts,
            top=settings.top,
            tally=self._tally,
            dropout=settings.dropout,
            seed=seed,
        )
        return model

    def losses(self, model: nn.Module, batch: Batch) -> Losses:  # type: ignore[override]  # as the contract has it
        """``[K]`` mean target NLL, and as auxiliary loss the mean of the layers' imbalances."""
        with self._tally.over(batch) as loads:
            nll = super().losses(model, batch)
        return Losses(nll, auxiliary=self._tally.mean(loads, self.settings.balance))
