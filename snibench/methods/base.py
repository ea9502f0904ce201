"""Defaults of every hook: LoRA on all linear layers, mean target NLL, the plain mean of task gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Dropout
from snibench.base.types import ModelInfo, TaskCard
from snibench.contracts import Encode, Method, Rule, Sampler
from snibench.plan.learning_rates import usual_rate
from snibench.rules.mean import Mean
from snibench.samplers.deck import Deck

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """LoRA's own (Hu et al. 2021): ``r`` ranks per layer, update scaled by ``alpha / r``.

    ``rslora``: scaled by ``alpha / sqrt(r)`` instead (Kalajdzievski 2023), so that high ranks learn as low ones do.
    """

    r: Count = 8
    alpha: Count = 16
    dropout: Dropout = 0.0
    rslora: bool = False


class BaseMethod(Method):
    """Plain LoRA; override what differs."""

    Settings: ClassVar[type] = LoraSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with peft's LoRA on every linear layer of its blocks."""
        settings = self.settings
        rslora = getattr(settings, "rslora", False)  # a derived method's settings may have no such field
        return attach_lora(model, settings.r, settings.alpha, settings.dropout, seed, rslora=rslora)

    def base_rate(self, info: ModelInfo, optimizer: str) -> float | None:
        """Usual learning rate of adapters in a model of this size."""
        return usual_rate(info.parameters, "adapters", optimizer)

    def task_parameters(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """No parameter: everything that is trained is shared."""
        return ()

    def sampler(self) -> Sampler:
        """The deck: every task equally often, in the order that all methods share."""
        return Deck()

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]`` mean target NLL per task."""
        from snibench.engine.losses import target_logits, target_nll

        return target_nll(target_logits(model, batch), batch)

    def penalty(self, model: nn.Module, tasks: Sequence[str], instructions: Sequence[str]) -> Tensor | None:
        """No penalty."""
        return None

    def rule(self) -> Rule:
        """The plain mean."""
        return Mean()

    @contextmanager
    def for_prompts(self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]) -> Iterator[None]:
        """Nothing: the prompt is all that the model sees."""
        yield


def attach_all(model: nn.Module) -> nn.Module:
    """``model`` with every parameter trainable, in float32: in bfloat16 a small step would round to none."""
    return model.float().requires_grad_(True)


def attach_lora(model: nn.Module, r: int, alpha: int, dropout: float, seed: int, *, rslora: bool = False) -> nn.Module:
    """``model`` with peft's LoRA on ``adapted_layers``, ``A`` drawn from ``seed``."""
    from peft import LoraConfig, get_peft_model

    from snibench.engine.adapted_layers import adapted_layers
    from snibench.engine.adapters import draw_down_projections, keep_products_in_input_dtype, targets_as_named

    task_type = "SEQ_2_SEQ_LM" if getattr(model.config, "is_encoder_decoder", False) else "CAUSAL_LM"
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        use_rslora=rslora,
        target_modules=adapted_layers(model),
        task_type=task_type,
    )
    with targets_as_named():
        adapted: nn.Module = get_peft_model(model, config)
    keep_products_in_input_dtype(adapted)
    draw_down_projections(adapted, seed)
    return adapted
