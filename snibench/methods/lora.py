"""LoRA (Hu et al., ICLR 2022) on the mean loss of all tasks."""

from snibench.methods.base import BaseMethod


class Lora(BaseMethod):
    """Low-rank adapters on every linear layer, one set for all tasks, mean of task gradients.

    Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (ICLR 2022), through peft.
    """
