"""ORPO: the answer, and away from a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Dropout, Weight
from snibench.base.lazy import nn, torch
from snibench.base.types import Instance, TaskCard
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class OrpoSettings:
    """``weight``: lambda, of the preference beside the likelihood; 0 is LoRA."""

    weight: Weight = 0.1
    r: Count = 8
    alpha: Count = 16
    dropout: Dropout = 0.0


class Orpo(BaseMethod):
    """LoRA whose loss also asks that the odds of the answer exceed those of a wrong one, drawn anew in every step.

    An instance's loss is NLL + weight softplus(log odds(wrong) - log odds(right)), odds = p / (1 - p), p the geometric
    mean of the token probabilities. A wrong answer is another label of a task with a closed set of them, else the
    output of one of the task's negative examples; an instance without either has its NLL alone.

    The source has a preferred and a rejected response for each prompt, from people or models; where wrong answers come
    from is ours. The wrong answer stands behind the same shared prompt, so that it costs only its own tokens.

    Source:
        Hong et al., ORPO: Monolithic Preference Optimization without Reference Model (EMNLP 2024),
        equation 6.
    """

    Settings: ClassVar[type] = OrpoSettings

    def targets(self, card: TaskCard, instance: Instance, rng: Random) -> Sequence[str]:
        """The reference, and a wrong answer where there is one."""
        candidates = card.labels or tuple(example.output for example in card.negative)
        wrong = sorted({text for text in candidates if text.strip() and text not in instance.outputs})
        return [instance.outputs[0], *([rng.choice(wrong)] if wrong else [])]

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]``: mean target NLL, and the mean preference over the task's instances, by ``weight``."""
        from snibench.engine.losses import target_log_likelihoods, target_logits, target_nll

        logits = target_logits(model, batch)
        nll = target_nll(logits, batch)
        scores = target_log_likelihoods(logits, batch, per_token=True)  # [K * m, 1 or 2]
        if self.settings.weight == 0 or scores.shape[1] == 1:
            return nll
        paired = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
        paired[batch.target_instance[batch.target_choice == 1]] = True
        odds = log_odds(scores)
        against = torch.where(paired, nn.functional.softplus(odds[:, 1] - odds[:, 0]), 0.0)
        loss: Tensor = nll + self.settings.weight * against.view(len(batch.tasks), -1).mean(1)
        return loss


def log_odds(log_probabilities: Tensor) -> Tensor:
    """``log(p / (1 - p))``, of probabilities that are at most 1 - 1e-6."""
    below_one = log_probabilities.clamp(max=-1e-6)
    odds: Tensor = below_one - torch.log(-torch.expm1(below_one))
    return odds
