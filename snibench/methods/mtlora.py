"""mtLoRA: a routed adapter beside every feed-forward part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Weight
from snibench.base.lazy import torch
from snibench.base.types import ModelInfo, TaskCard
from snibench.contracts import Encode, Losses
from snibench.methods.base import BaseMethod
from snibench.models.anatomy import FEED_FORWARD

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class MtLoraSettings:
    """``experts``: n up-projections for each feed-forward part; ``groups`` of outputs are routed apart.

    ``spectral``: weight of the regularization of the ``B_i``. ``balance``: weight of the experts' uneven use.
    """

    r: Count = 8
    alpha: Count = 16
    experts: Count = 8
    groups: Count = 2
    spectral: Weight = 0.5
    balance: Weight = 0.01


class MtLora(BaseMethod):
    """One low-rank path beside each feed-forward part, whose n up-projections are mixed by token and output dimension.

    ``x' = x + F(LN x) + (alpha/r) sum_i p_i(LN x) o B_i A LN x``: block-level adaptation; p has its own shares for each
    of ``groups`` parts of the output: fine-grained routing; the columns of every B_i are pulled towards orthogonal
    ones, where they are small: spectral-aware regularization. Seen and unseen tasks are answered alike. Another
    method than ``mtl-lora``.

    Source: Tian, Ledent and Sun, Scalable Multi-Task Low-Rank Model Adaptation (ICLR 2026), by its repository,
    doem97/ICLR26_mtLoRA, whose scripts have r = 16, alpha = 64, n = 16, groups of 2048 outputs, and adapt feed-forward
    parts alone. Unlike there, the regularization is taken in every step, not once an epoch, and of all matrices, not of
    64; it is added after rule and clipping. Adapters beside attention are not there.
    """

    Settings: ClassVar[type] = MtLoraSettings

    def unfit(self, info: ModelInfo) -> str | None:
        """A model whose blocks have no feed-forward part of their own."""
        if not info.shapes or any(info.holds(name) for name in FEED_FORWARD):
            return None
        return f"mtlora stands beside feed-forward modules, and a {info.architecture} has none of its own."

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with an adapter beside every feed-forward part."""
        from snibench.engine.block_adapters import insert_block_adapters
        from snibench.engine.tallies import Tally

        settings = self.settings
        self._tally = Tally()
        insert_block_adapters(
            model,
            rank=settings.r,
            experts=settings.experts,
            groups=settings.groups,
            scale=settings.alpha / settings.r,
            tally=self._tally,
            seed=seed,
        )
        return model

    def losses(self, model: nn.Module, batch: Batch) -> Tensor | Losses:  # type: ignore[override]  # as the contract
        """``[K]`` mean target NLL, and as auxiliary loss the mean of the layers' uneven use of experts."""
        if self.settings.balance == 0 or self.settings.experts == 1:
            return super().losses(model, batch)
        with self._tally.over(batch) as uses:
            nll = super().losses(model, batch)
        return Losses(nll, auxiliary=self._tally.mean(uses, self.settings.balance))

    def penalty(self, model: nn.Module, tasks: Sequence[str], instructions: Sequence[str]) -> Tensor | None:
        """The mean over layers and experts of how far ``B_i`` is from orthogonal columns, by ``spectral``."""
        from snibench.engine.block_adapters import BlockAdapter, far_from_orthogonal

        adapters = [module for module in model.modules() if isinstance(module, BlockAdapter)]
        if self.settings.spectral == 0 or not adapters:
            return None
        far: Tensor = torch.stack([far_from_orthogonal(adapter.grams()) for adapter in adapters]).mean()
        penalty: Tensor = self.settings.spectral * far
        return penalty
