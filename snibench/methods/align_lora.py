"""Align-LoRA: one LoRA, whose low-rank representations of different tasks are drawn together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Weight
from snibench.base.lazy import torch
from snibench.base.types import TaskCard
from snibench.contracts import Encode, Losses
from snibench.methods.base import BaseMethod, LoraSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snibench.engine.packing import Batch

_SMALLEST = 1e-8  # added to variances, as in the source


@dataclass(frozen=True, slots=True)
class AlignLoraSettings(LoraSettings):
    """``strength``: weight of the alignment loss; the rest as in ``lora``."""

    strength: Weight = 0.2


class AlignLora(BaseMethod):
    """LoRA with an auxiliary loss that makes ``A x`` alike for all tasks of a step, whatever the layer.

    Each task's ``A x`` are taken for a normal distribution with independent coordinates; the loss is the symmetric
    Kullback-Leibler divergence of two tasks', mean over pairs of tasks, then over layers. The control of methods with
    several heads: it claims that what is shared counts. With ``strength=0`` it is ``lora``.

    Source: Liu et al., Align, Don't Divide: Revisiting the LoRA Architecture in Multi-Task Learning (2025), and its
    repository's ``custom.py``, with the weight of its ``train.py``. Unlike there, where sequences are padded to one
    length, a task's distribution is that of all its tokens and not one for each position.
    """

    Settings: ClassVar[type] = AlignLoraSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with LoRA, whose every ``A`` reports what it gives."""
        from snibench.engine.tallies import Tally

        self._tally = Tally()
        self._rows: tuple[Tensor, int] | None = None
        adapted = super().attach(model, cards, encode, seed)
        for name, module in adapted.named_modules():
            if name.endswith(".lora_A.default"):
                module.register_forward_hook(self._report)
        return adapted

    def losses(self, model: nn.Module, batch: Batch) -> Losses:  # type: ignore[override]  # as the contract has it
        """``[K]`` mean target NLL, and as auxiliary loss how far the tasks' representations are apart."""
        self._rows = batch.row_task, len(batch.tasks)
        with self._tally.over(batch) as distances:
            nll = super().losses(model, batch)
        return Losses(nll, auxiliary=self._tally.mean(distances, self.settings.strength))

    def _report(self, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        self._tally.report(output, self._distance)

    def _distance(self, values: Tensor, part: Tensor) -> Tensor:
        from snibench.engine.tallies import task_moments

        assert self._rows is not None
        return divergence(*task_moments(values.float(), part, *self._rows))


def divergence(means: Tensor, variances: Tensor) -> Tensor:
    """Symmetric KL of normal distributions ``[K, r]`` with independent coordinates, mean over pairs; 0 for one."""
    pairs = list(combinations(range(len(means)), 2))
    if not pairs:
        return means.sum() * 0
    one, other = torch.tensor(pairs, device=means.device).T
    wide = variances + _SMALLEST
    apart = (means[one] - means[other]).square()
    # log-determinants cancel in the sum of both directions
    both = (wide[one] + apart) / wide[other] + (wide[other] + apart) / wide[one] - 2
    return both.sum(-1).mean() / 4
