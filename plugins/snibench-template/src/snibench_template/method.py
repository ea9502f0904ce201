"""A method: derive from ``BaseMethod``, which is plain LoRA, and override what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snibench.api import BaseMethod, LoraSettings, Weight


@dataclass(frozen=True, slots=True)
class AnchoredSettings(LoraSettings):
    """LoRA's settings, and ``anchor``: the weight of the pull. Each field is a ``--set`` key."""

    anchor: Weight = 0.01


class AnchoredLora(BaseMethod):
    """LoRA whose up-projections B are pulled back to zero, that is, the model to its base.

    Source: L2-SP (Li, Grandvalet and Davoine, ICML 2018), with the adapter's start, B = 0, as starting point.
    """

    Settings = AnchoredSettings

    def penalty(self, model: nn.Module, tasks: Sequence[str], instructions: Sequence[str]) -> Tensor | None:
        """``anchor`` times the sum of squares of every B; it stays out of the gradients that a rule combines."""
        squares = [p.square().sum() for name, p in model.named_parameters() if "lora_B" in name]
        return self.settings.anchor * torch.stack(squares).sum()
