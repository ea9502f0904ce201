"""Soft tokens in front of every prompt: shared by all instances, or scaled by each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from snibench.base.bounds import Count
from snibench.base.types import ModelInfo, TaskCard
from snibench.contracts import Encode
from snibench.methods.base import BaseMethod
from snibench.models.anatomy import no_place_for_prompt

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snibench.engine.packing import Batch
    from snibench.engine.prompt_vectors import SharedVectors


@dataclass(frozen=True, slots=True)
class SoftPromptSettings:
    """``prompt_tokens``: how many soft tokens stand in front of every prompt."""

    prompt_tokens: Count = 20


class SoftPrompt(BaseMethod):
    """Trainable vectors in front of every prompt, the same for all instances, and nothing else.

    Source: Lester et al., The Power of Scale for Parameter-Efficient Prompt Tuning (EMNLP 2021).
    """

    Settings: ClassVar[type] = SoftPromptSettings

    def unfit(self, info: ModelInfo) -> str | None:
        """Soft tokens have no place where every layer embeds tokens by itself."""
        return no_place_for_prompt(info)

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with soft tokens."""
        from snibench.engine.backbone import base_of
        from snibench.engine.soft_prompts import insert_prompt

        self._prompt = self._vectors(base_of(model), seed)
        insert_prompt(model, self.settings.prompt_tokens, self._prompt)
        return model

    def _vectors(self, base: Any, seed: int) -> SharedVectors:
        from snibench.engine.prompt_vectors import SharedVectors

        return SharedVectors(base, self.settings.prompt_tokens, seed)


class GatedPrompt(SoftPrompt):
    """Trainable vectors in front of every prompt, each in part shared and in part scaled by the instance.

    Our reading of Jin et al. 2023 (learned soft prompts for few-shot NLU), of which only the abstract is public to us.
    """

    shares_prefixes: ClassVar[bool] = False  # an instance's gates are its own

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]`` mean target NLL per task."""
        from snibench.engine.prompt_vectors import prompt_ends

        self._prompt.ends = prompt_ends(batch)
        try:
            return super().losses(model, batch)
        finally:
            self._prompt.ends = None

    def _vectors(self, base: Any, seed: int) -> SharedVectors:
        from snibench.engine.prompt_vectors import GatedVectors

        return GatedVectors(base, self.settings.prompt_tokens, seed)
