"""The base model as it is: row 0 of every table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from snibench.api import Encode
from snibench.methods.base import BaseMethod
from snibench.types import TaskCard


@dataclass(frozen=True, slots=True)
class UntunedSettings:
    """None."""


class Untuned(BaseMethod):
    """No tuning: the base model answers as it is, once for all seeds."""

    Settings: ClassVar[type] = UntunedSettings
    trains = False

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode) -> nn.Module:
        """``model`` itself."""
        return model
