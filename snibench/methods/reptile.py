"""Reptile: towards where a few steps on each task lead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from snibench.base.bounds import Count, Dropout, Positive
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class ReptileSettings:
    """``inner``: steps of gradient descent on each task, ``inner_rate`` their learning rate; one step is LoRA."""

    inner: Count = 2
    inner_rate: Positive = 0.02
    r: Count = 8
    alpha: Count = 16
    dropout: Dropout = 0.0


class Reptile(BaseMethod):
    """LoRA by first-order meta-learning: the pseudo-gradient of a task points to where ``inner`` steps on it lead.

    Task t's instances are dealt to the inner steps in equal parts (in turns where they cannot be), theta_0 = theta, and
    its row is (theta - theta_inner) / (inner inner_rate): the mean of the gradients along the way, so that one learning
    rate serves LoRA and Reptile. Rule, clipping and optimizer take it for a gradient, which the source allows. Inner
    steps are plain gradient descent, without a state of their own. To second order, several of them ask that the
    gradients of a task's parts agree with each other, which the mean loss does not.

    Source:
        Nichol, Achiam and Schulman, On First-Order Meta-Learning Algorithms (2018).
    """

    Settings: ClassVar[type] = ReptileSettings

    def gradients(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``[K, *shape]``: for each task, the mean gradient along its inner steps."""
        from snibench.engine.task_steps import gradients_of, move, rows_by_task

        steps, rate = self.settings.inner, self.settings.inner_rate

        def row(own: Batch, named: Mapping[str, nn.Parameter]) -> Mapping[str, Tensor]:
            count = len(own.groups[0][1])
            total: dict[str, Tensor] = {}
            for part in inner_parts(count, steps):
                gradient = gradients_of(self.losses(model, own.select(instances=part))[0], named)
                total = {name: one + total[name] if total else one for name, one in gradient.items()}
                move(named, gradient, -rate)
            return {name: one / steps for name, one in total.items()}

        return rows_by_task(model, batch, row)


def inner_parts(count: int, steps: int) -> list[list[int]]:
    """For each step, which of ``count`` instances it is taken on: equal parts, or one after another in turns."""
    each = max(1, count // steps)
    return [[(step * each + place) % count for place in range(each)] for step in range(steps)]
