"""GradDrop: every coordinate is moved by the gradients of one sign, drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from snibench.base.bounds import Share
from snibench.base.lazy import torch
from snibench.contracts import Needs, Rule

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients


@dataclass(frozen=True, slots=True)
class GradDropSettings:
    """``leak``: share of a masked gradient that passes all the same, in [0, 1]; 1 is the mean rule."""

    leak: Share = 0.0


@final
class GradDrop(Rule):
    """The mean of task gradients, in each coordinate of those of one sign alone.

    The positive sign purity ``P = (1 + sum_t g_t / sum_t |g_t|) / 2`` is the probability that positive gradients pass
    and negative ones do not. Unlike the source, which masks the gradient of a shared layer's activations with one
    draw for all examples, parameters' gradients are masked, and averaged, not summed; the leak is one for all tasks.

    Source:
        Chen et al., Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout (NeurIPS 2020),
        Algorithm 1, with f the identity.
    """

    Settings: ClassVar[type] = GradDropSettings
    needs = Needs.ROWS | Needs.GENERATOR

    def combine(self, gradients: TaskGradients) -> Mapping[str, Tensor]:
        """Every parameter's masked mean."""
        return {name: self._masked(rows, gradients.generator) for name, rows in gradients.rows()}

    def _masked(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """``[*shape]`` of ``[K, *shape]``."""
        total, size = rows.sum(0), rows.abs().sum(0)
        purity = (1 + torch.where(size > 0, total / size, 0.0)) / 2
        drawn = torch.rand(purity.shape, generator=generator, dtype=torch.float32).to(purity)
        passes = torch.where(purity > drawn, rows > 0, rows < 0)
        masked: Tensor = rows * (self.settings.leak + (1 - self.settings.leak) * passes)
        return masked.mean(0)
