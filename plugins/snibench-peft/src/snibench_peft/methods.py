"""DoRA, IA3, prompt tuning and prefix tuning: peft's adapters on the mean loss of all tasks, without task identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from snibench.api import (
    BaseMethod,
    Count,
    Encode,
    LoraSettings,
    ModelInfo,
    NoSettings,
    TaskCard,
    base_of,
    no_place_for_prefix,
    no_place_for_prompt,
)
from snibench_peft.attaching import attach_adapter, encoder_of, no_place_for_factors, words_of


class Dora(BaseMethod):
    """LoRA with the weights' magnitudes apart: each output's norm is learned, the low-rank update turns its direction.

    Source: Liu et al., DoRA: Weight-Decomposed Low-Rank Adaptation (ICML 2024), through peft.
    """

    Settings: ClassVar[type] = LoraSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with DoRA on every linear layer of its blocks."""
        settings = self.settings
        return attach_adapter(
            model,
            "LORA",
            seed,
            use_dora=True,
            r=settings.r,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            use_rslora=settings.rslora,
            target_modules="all-linear",
        )


class IA3(BaseMethod):
    """One learned factor for each output of every linear layer, and for each input of the second feed-forward layer.

    The source scales keys, values and the feed-forward's inner numbers; here every linear layer, as for LoRA.

    Source: Liu et al., Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning
    (NeurIPS 2022), through peft.
    """

    Settings: ClassVar[type] = NoSettings

    def unfit(self, info: ModelInfo) -> str | None:
        """A family whose feed-forward layers peft does not know."""
        return no_place_for_factors(info)

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with factors, all 1, on every linear layer of its blocks."""
        return attach_adapter(model, "IA3", seed, target_modules="all-linear")


@dataclass(frozen=True, slots=True)
class SoftSettings:
    """``tokens``: how many virtual tokens. ``start``: as "words" drawn from the vocabulary, or "random" as peft's."""

    tokens: Count = 20
    start: Literal["words", "random"] = "words"


class PromptTuning(BaseMethod):
    """Learned vectors in place of the embeddings of some tokens before every prompt, the same for all tasks.

    Unlike peft's default, they start as words of the vocabulary, which the source finds better than random ones.

    Source: Lester et al., The Power of Scale for Parameter-Efficient Prompt Tuning (EMNLP 2021), through peft.
    """

    Settings: ClassVar[type] = SoftSettings

    def unfit(self, info: ModelInfo) -> str | None:
        """Virtual tokens need one table of embeddings."""
        return no_place_for_prompt(info)

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with virtual tokens in front."""
        adapted = attach_adapter(
            model, "PROMPT_TUNING", seed, num_virtual_tokens=self.settings.tokens, num_transformer_submodules=1
        )
        if self.settings.start == "words":
            table = base_of(model).get_input_embeddings().weight
            _start(adapted, table[words_of(model, self.settings.tokens)])
        return adapted


class PrefixTuning(BaseMethod):
    """Learned keys and values of every layer for some tokens before every prompt, the same for all tasks.

    Unlike peft's default, they start as those of words of the vocabulary, as the source advises: random ones
    drown the prompt.

    Source: Li and Liang, Prefix-Tuning: Optimizing Continuous Prompts for Generation (ACL 2021), through peft.
    """

    Settings: ClassVar[type] = SoftSettings

    def unfit(self, info: ModelInfo) -> str | None:
        """Keys and values need projections of their own in every layer of a decoder."""
        return no_place_for_prefix(info)

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with virtual tokens in front, whose keys and values are learned."""
        words = words_of(model, self.settings.tokens)
        # Asked before the adapter is in: a model without place for it is refused by attach_adapter.
        start = keys_values_of(model, words) if self.settings.start == "words" and not _two_parts(model) else None
        adapted = attach_adapter(model, "PREFIX_TUNING", seed, num_virtual_tokens=self.settings.tokens)
        if start is not None:
            _start(adapted, start)
        return adapted


@torch.no_grad()
def keys_values_of(model: nn.Module, words: Tensor) -> Tensor:
    """``[n, layers * 2 * W]`` keys and values of the tokens ``words [n]`` read as a text, in peft's order."""
    cache = base_of(model)(input_ids=words[None], use_cache=True).past_key_values
    layers = [
        torch.stack([layer.keys[0], layer.values[0]]).transpose(1, 2).flatten(2)  # [2, n, W]
        for layer in cache.layers
    ]
    return torch.stack(layers).permute(2, 0, 1, 3).flatten(1)


def _two_parts(model: nn.Module) -> bool:
    return bool(getattr(model.config, "is_encoder_decoder", False))


def _start(adapted: nn.Module, values: Tensor) -> None:
    with torch.no_grad():
        encoder_of(adapted).embedding.weight.copy_(values)
