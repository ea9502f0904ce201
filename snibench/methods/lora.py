"""LoRA (Hu et al., ICLR 2022) on the mean loss of all tasks: ``lora``, and as the baseline ``unified-prompt``."""

from snibench.methods.base import BaseMethod


class Lora(BaseMethod):
    """Low-rank adapters on every linear layer, one set for all tasks, mean of task gradients.

    The plain strong baseline: one prompt scheme, one shared adapter, no task identity anywhere. ``unified-prompt``, its
    name as the baseline, is not the method of Jin et al. 2023 (learned soft prompts for few-shot NLU), of which
    ``gated-prompt`` is our reading.

    Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (ICLR 2022), through peft.
    """
