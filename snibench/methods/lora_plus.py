"""LoRA+: B learns faster than A."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Positive
from snibench.base.types import ModelInfo
from snibench.contracts import Group
from snibench.methods.base import BaseMethod, LoraSettings

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class LoraPlusSettings(LoraSettings):
    """``ratio``: B's learning rate as a multiple of A's, which has the run's; the rest as in ``lora``."""

    ratio: Positive = 16.0


class LoraPlus(BaseMethod):
    """LoRA whose B has a higher learning rate than its A: with equal ones, A and B of a wide model do not both learn.

    With ``ratio=1`` it is ``lora``. Where no rate was searched for, A's is LoRA's usual one over the root of the
    ratio and B's that times it, so that their geometric mean is LoRA's; the source searches both.

    Source: Hayou et al., LoRA+: Efficient Low Rank Adaptation of Large Models (ICML 2024).
    """

    Settings: ClassVar[type] = LoraPlusSettings

    def base_rate(self, info: ModelInfo, optimizer: str) -> float | None:
        """A's learning rate: the adapters' usual one over the root of the ratio."""
        usual = super().base_rate(info, optimizer)
        return None if usual is None else usual / math.sqrt(self.settings.ratio)

    def groups(self, named: Mapping[str, nn.Parameter]) -> Mapping[str, Group]:
        """Every B at ``ratio`` times the run's learning rate."""
        return {name: Group(scale=self.settings.ratio) for name in named if ".lora_B." in name}
