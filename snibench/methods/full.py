"""Full fine-tuning: every parameter of the base model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from snibench.base.types import TaskCard
from snibench.contracts import Encode
from snibench.methods.base import BaseMethod, attach_all


@dataclass(frozen=True, slots=True)
class FullSettings:
    """None."""


class Full(BaseMethod):
    """Every parameter is tuned, in float32, on the mean of task gradients.

    What adapters are measured against. It wants far lower learning rates than they do (docs/recipe.md), and with a rule
    that needs task gradients, memory for K copies of the model's gradient.
    """

    Settings: ClassVar[type] = FullSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode) -> nn.Module:
        """``model``, all of it trainable."""
        return attach_all(model)
