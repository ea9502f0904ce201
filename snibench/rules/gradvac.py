"""Gradient Vaccine: PCGrad with a learned target for each pair of tasks instead of "no conflict"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from snibench.base.bounds import Share
from snibench.base.lazy import torch
from snibench.contracts import Needs
from snibench.rules._gram import GramRule, Step, random_orders

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class GradVacSettings:
    """``beta``: how fast a pair's target follows its cosine, in [0, 1]. ``per_layer``: turn each layer by itself."""

    beta: Share = 0.01
    per_layer: bool = False


@final
class GradVac(GramRule):
    """The mean of the task gradients after each was turned until its cosine with the others meets their target.

    A pair's target is the moving average of its cosines, 0 at first; ordered pairs have one each. One target covers
    all shared parameters; ``per_layer`` keeps one for each layer, as the source does. Unlike the source, the turned
    gradients are averaged, not summed.

    Source:
        Wang et al., Gradient Vaccine (ICLR 2021), section 3.
    """

    Settings: ClassVar[type] = GradVacSettings
    needs = Needs.GRAM | Needs.GENERATOR

    def __init__(self, settings: GradVacSettings | None = None) -> None:
        super().__init__(settings)
        self._targets: dict[str, dict[str, dict[str, float]]] = {}  # layer -> task -> other task
        if self.settings.per_layer:
            self.needs = self.needs | Needs.LAYERS

    def weigh(self, step: Step) -> Tensor:
        """Column means of the turned coefficient rows; moves the targets of the step's pairs."""
        beta, gram, norms = self.settings.beta, step.gram, step.gram.diagonal().sqrt()
        count = len(gram)
        rows = torch.arange(count)
        targets = self._targets_of(step)  # [T, T]
        coefficients = torch.eye(count, dtype=torch.float64)
        products = gram.clone()  # [T, T] <g_t', g_u>
        for others in random_orders(count, step.generator):  # [T] each: whom each task meets now
            own = (coefficients * products).sum(dim=1).clamp_min(0).sqrt()
            scales = own * norms[others]
            cosines = torch.where(scales > 0, products[rows, others] / scales, 0.0).clamp(-1, 1)
            wanted = targets[rows, others]
            sine = (1 - cosines**2).sqrt()
            wanted_sine = (1 - wanted**2).clamp_min(1e-12).sqrt()
            added = own * (wanted * sine - cosines * wanted_sine) / (norms[others] * wanted_sine)
            added = torch.where((cosines < wanted) & (others != rows), added, 0.0)
            coefficients[rows, others] += added
            products += added[:, None] * gram[others]
            targets[rows, others] = (1 - beta) * wanted + beta * cosines
        self._keep_targets(step, targets)
        return coefficients.mean(dim=0)

    def state(self) -> Mapping[str, Any]:
        """``{"targets": {layer: {task: {other: target}}}}``; the layer is "" where one target covers them all."""
        layers = self._targets.items()
        return {"targets": {layer: {task: dict(row) for task, row in rows.items()} for layer, rows in layers}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the targets."""
        layers = state["targets"].items()
        self._targets = {layer: {task: dict(row) for task, row in rows.items()} for layer, rows in layers}

    def _targets_of(self, step: Step) -> Tensor:
        kept = self._targets.get(step.layer, {})
        rows = [kept.get(task, {}) for task in step.tasks]
        return torch.tensor([[row.get(other, 0.0) for other in step.tasks] for row in rows], dtype=torch.float64)

    def _keep_targets(self, step: Step, targets: Tensor) -> None:
        kept = self._targets.setdefault(step.layer, {})
        for task, row in zip(step.tasks, targets.tolist(), strict=True):
            others = {other: target for other, target in zip(step.tasks, row, strict=True) if other != task}
            kept.setdefault(task, {}).update(others)
