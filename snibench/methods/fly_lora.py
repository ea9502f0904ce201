"""FlyLoRA: a frozen sparse random A, of whose ranks every token uses a few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Weight
from snibench.base.errors import UsageError
from snibench.base.lazy import torch
from snibench.base.types import TaskCard
from snibench.contracts import Encode, Group
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snibench.engine.packing import Batch
    from snibench.engine.random_layers import SparseProjectionLayer


@dataclass(frozen=True, slots=True)
class FlyLoraSettings:
    """``top``: how many of the ``r`` ranks a token uses.

    ``bias_ratio``: how fast the biases that even out the ranks' use move, as a multiple of the learning rate; 0: never.
    """

    r: Count = 32
    alpha: Count = 64
    top: Count = 8
    bias_ratio: Weight = 1.0

    def validate(self) -> None:
        """Raises UsageError if a token would use more ranks than there are."""
        if self.top > self.r:
            raise UsageError(f"top must be at most r = {self.r}, but got {self.top}.")


class FlyLora(BaseMethod):
    """LoRA with a sparse random A that is never trained: it finds the few ranks of B that each token uses.

    ``h = W x + (alpha/r) B top_k(A x)``; the ranks where ``A x + d`` is largest are kept, and ``d`` goes down by a
    step for ranks that were kept more often than the others, up for those less often. No router, no task identity.

    Source: Zou et al., FlyLoRA: Boosting Task Decoupling and Parameter Efficiency via Implicit Rank-Wise
    Mixture-of-Experts (NeurIPS 2025), and the layers that its repository experiments with. Unlike there, gradients flow
    through ``A`` to the layers below, and the run's optimizer makes the steps of ``d``, with their sign as gradient.
    """

    Settings: ClassVar[type] = FlyLoraSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with a sparse projection before a trained B on every linear layer of its blocks."""
        from snibench.engine.adapters import insert
        from snibench.engine.random_layers import SparseProjectionLayer, draw_layers
        from snibench.engine.tallies import Tally

        settings = self.settings
        self._tally = Tally()
        insert(
            model,
            lambda base: SparseProjectionLayer(
                base, rank=settings.r, top=settings.top, scale=settings.alpha / settings.r, tally=self._tally
            ),
        )
        draw_layers(model, seed)
        return model

    def task_parameters(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """The biases: no task's own, but no loss has a gradient by them that a rule could combine."""
        return [layer.d for layer in _layers(model)]

    def groups(self, named: Mapping[str, nn.Parameter]) -> Mapping[str, Group]:
        """The biases at their own learning rate."""
        return {name: Group(scale=self.settings.bias_ratio) for name in named if name.endswith(".d")}

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]`` mean target NLL; in a training step it is counted which ranks are kept."""
        if not (model.training and torch.is_grad_enabled()):
            return super().losses(model, batch)
        next(iter(batch.tasks))  # LookupError where tasks have copies of the model each: nothing is counted there
        with self._tally.over(batch):
            return super().losses(model, batch)

    def penalty(self, model: nn.Module, tasks: Sequence[str], instructions: Sequence[str]) -> Tensor | None:
        """Its gradient by a bias is 1 where the rank was kept too often in this step, -1 where too seldom."""
        signs = [(layer.d, layer.excess()) for layer in _layers(model)]
        terms = [(d * sign).sum() for d, sign in signs if sign is not None]
        return torch.stack(terms).sum() if terms else None


def _layers(model: nn.Module) -> list[SparseProjectionLayer]:
    from snibench.engine.random_layers import SparseProjectionLayer

    return [module for module in model.modules() if isinstance(module, SparseProjectionLayer)]
