"""The baseline: one prompt scheme for all tasks, one shared adapter, no task identity anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from snibench.api import Encode
from snibench.errors import UsageError
from snibench.methods.base import BaseMethod, attach_lora
from snibench.types import TaskCard


@dataclass(frozen=True, slots=True)
class UnifiedPromptSettings:
    """``adapter``: "lora" (``r``, ``alpha``, ``dropout``) or "full", which trains every parameter."""

    adapter: Literal["lora", "full"] = "lora"
    r: int = 8
    alpha: int = 16
    dropout: float = 0.0


class UnifiedPrompt(BaseMethod):
    """The plain strong baseline: one prompt scheme, one shared adapter, mean of task gradients.

    Not the method of Jin et al. 2023 that lent the name (learned soft prompts for few-shot NLU), of which only the
    abstract is public to us.
    """

    Settings: ClassVar[type] = UnifiedPromptSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode) -> nn.Module:
        """``model`` with LoRA, or all of it trainable."""
        settings = self.settings
        if settings.adapter == "lora":
            return attach_lora(model, settings.r, settings.alpha, settings.dropout)
        if settings.adapter == "full":
            return model.requires_grad_(True)
        raise UsageError(f"adapter must be 'lora' or 'full', but got '{settings.adapter}'.")
