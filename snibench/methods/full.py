"""Full fine-tuning: every parameter of the base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from snibench.base.types import ModelInfo, TaskCard
from snibench.contracts import Encode
from snibench.methods.base import BaseMethod, attach_all
from snibench.plan.learning_rates import usual_rate


@dataclass(frozen=True, slots=True)
class FullSettings:
    """There is nothing to set."""


class Full(BaseMethod):
    """Every parameter is tuned, in float32, on the mean of task gradients.

    What adapters are measured against. It wants far lower learning rates than they do (docs/recipe.md), and with a rule
    that needs task gradients, memory for K copies of the model's gradient.
    """

    Settings: ClassVar[type] = FullSettings

    def base_rate(self, info: ModelInfo, optimizer: str) -> float | None:
        """What whole models of this size are tuned with."""
        return usual_rate(info.parameters, "everything")

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model``, all of it trainable."""
        return attach_all(model)
