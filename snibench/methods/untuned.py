"""The base model as it is: row 0 of every table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from snibench.base.bounds import Bounds
from snibench.base.errors import UsageError
from snibench.base.types import TaskCard
from snibench.contracts import Encode
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class UntunedSettings:
    """``shots``: how many of the task's positive examples stand in every prompt; 0 is zero-shot."""

    shots: Annotated[int, Bounds(least=0)] = 0


class Untuned(BaseMethod):
    """No tuning: the base model answers as it is, once for all seeds.

    With ``shots`` the first k positive examples stand in the prompt of every format: behind the instruction (in front
    of everything where there is none before the input), ahead of what the format shows by itself. An example whose
    input is the asked one is passed over; those that do not fit the input limit are dropped from the last.
    """

    Settings: ClassVar[type] = UntunedSettings
    trains = False
    control = True

    def __init__(self, settings: UntunedSettings | None = None) -> None:
        super().__init__(settings)
        if self.settings.shots < 0:
            raise UsageError(f"shots must be at least 0, but got {self.settings.shots}.")
        self.shots = self.settings.shots

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` itself."""
        return model
