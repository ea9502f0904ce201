"""Helpers of rules: which tasks count in a step, and small exact numerics on Gram matrices.

Everything here works in float64 on the CPU: a Gram matrix has a few dozen numbers.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from snibench.base.lazy import torch
from snibench.contracts import Needs, Rule

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients


@dataclass(frozen=True, slots=True)
class Step:
    """The tasks of one step whose gradient is not zero: what a Gram rule combines.

    ``gram`` is ``[T, T]`` float64 on the CPU, in the order of ``tasks``. ``layer``: whose gradients these are, for a
    rule that combines each layer by itself; empty for whole gradients. Losses and the generator raise unless the rule's
    ``needs`` name them.
    """

    tasks: tuple[str, ...]  # T
    gram: Tensor
    layer: str
    live: Tensor  # [K] bool: which of the step's tasks these are
    gradients: TaskGradients

    @property
    def losses(self) -> Tensor:
        """``[T]`` float64 losses on the CPU."""
        return self.gradients.losses.detach().to("cpu", torch.float64)[self.live]

    @property
    def generator(self) -> torch.Generator:
        """The step's own."""
        return self.gradients.generator


class GramRule(Rule):
    """A rule that reads the Gram matrix of the task gradients.

    A task with a zero gradient gets weight 0 and is left out, as though it were not in the step; so are
    anchors. A rule that needs ``LAYERS`` is asked to combine each layer by itself.
    """

    needs = Needs.GRAM

    @final
    def weights(self, gradients: TaskGradients) -> Tensor:
        """``[K + R]`` float64 weights on the CPU; zero for zero gradients and for anchors. By layer: ``[Q, K + R]``.

        Raises:
            FloatingPointError: If a gradient, or a loss that the rule needs, is not finite; names the tasks.
        """
        if Needs.LOSSES in self.needs:
            finite_losses(gradients)
        if Needs.LAYERS not in self.needs:
            return self._weights_of(gradients, gradients.gram, "")
        each = [self._weights_of(gradients, gram, layer) for layer, gram in gradients.layers.items()]
        return torch.stack(each)

    def _weights_of(self, gradients: TaskGradients, gram: Tensor, layer: str) -> Tensor:
        count = len(gradients.tasks)
        gram = gram[:count, :count].detach().to("cpu", torch.float64)
        # One bad gradient spoils its row and its column; the diagonal says whose it is.
        _require_finite(gradients.tasks, gram.diagonal().isfinite(), "gradient")
        _require_finite(gradients.tasks, gram.isfinite().all(dim=1), "product with another gradient")
        weights = gram.new_zeros(count)
        live = gram.diagonal() > 0
        if live.any():
            tasks = tuple(task for task, alive in zip(gradients.tasks, live.tolist(), strict=True) if alive)
            step = Step(tasks, gram[live][:, live], layer, live, gradients)
            weights[live] = self.weigh(step)
        return without_anchors(weights, gradients)

    @abstractmethod
    def weigh(self, step: Step) -> Tensor:
        """``[T]`` float64 weights of the tasks in ``step``."""


def without_anchors(weights: Tensor, gradients: TaskGradients) -> Tensor:
    """``[K + R]``: ``weights`` of the K tasks, then a zero for each of the R anchor gradients."""
    return torch.cat([weights, weights.new_zeros(gradients.anchors)])


def finite_losses(gradients: TaskGradients) -> Tensor:
    """``[K]`` float64 losses on the CPU.

    Raises:
        FloatingPointError: If one is not finite; names its task.
    """
    losses = gradients.losses.detach().to("cpu", torch.float64)
    _require_finite(gradients.tasks, losses.isfinite(), "loss")
    return losses


def finite_grams(gradients: TaskGradients) -> Tensor:
    """``[Q, K, K]`` float64 on the CPU: the tasks' Gram matrices by layer or by tensor, without anchors.

    Raises:
        FloatingPointError: If a gradient is not finite; names its task.
    """
    count = len(gradients.tasks)
    grams = torch.stack([gram[:count, :count].detach().to("cpu", torch.float64) for gram in gradients.layers.values()])
    _require_finite(gradients.tasks, grams.diagonal(dim1=1, dim2=2).isfinite().all(0), "gradient")
    _require_finite(gradients.tasks, grams.isfinite().all(2).all(0), "product with another gradient")
    return grams


def positive(losses: Tensor) -> Tensor:
    """``losses``, at least 1e-8, so that a task that is learned to the end divides nothing by zero (FAMO's floor)."""
    return losses.clamp_min(1e-8)


def _require_finite(tasks: tuple[str, ...], finite: Tensor, quantity: str) -> None:
    if not finite.all():
        bad = ", ".join(task for task, fine in zip(tasks, finite.tolist(), strict=True) if not fine)
        raise FloatingPointError(f"The {quantity} is not finite (NaN or infinite) for: {bad}. Lower the learning rate.")


def project_conflicting(gram: Tensor, generator: torch.Generator, kappa: Tensor | None = None) -> Tensor:
    """``[..., K, K]`` coefficients: row t holds ``g_t' = sum_u c_tu g_u``, task t's gradient after PCGrad.

    Each gradient meets the others' original gradients in a random order of its own, and loses its component
    along every one that it opposes at that moment.

    Args:
        gram: ``[..., K, K]`` float64 inner products of the task gradients, in further dimensions of several parts of
            the parameters, each projected by itself; zero gradients oppose nothing.
        generator: Source of the orders. Nothing else in this function is random.
        kappa: ``[K, K]`` shares of the opposing component to take away; None = all of it.

    Source:
        Yu et al., Gradient Surgery for Multi-Task Learning (NeurIPS 2020), Algorithm 1.
    """
    count = gram.shape[-1]
    squares = gram.diagonal(dim1=-2, dim2=-1)  # [..., K]
    coefficients = torch.eye(count, dtype=gram.dtype).expand_as(gram).clone()
    products = gram.clone()  # [..., K, K] <g_t', g_u>
    orders = torch.rand(gram.shape, generator=generator, dtype=torch.float64).argsort(dim=-2)
    for met in orders.unbind(-2):  # [..., K] each: whom each task meets now
        column = met[..., None]
        dots, square = products.gather(-1, column), squares.gather(-1, met)[..., None]
        opposes = (dots < 0) & (column != torch.arange(count)[:, None]) & (square > 0)
        shares = torch.where(opposes, dots / square, 0.0)
        if kappa is not None:
            shares = shares * kappa.expand_as(gram).gather(-1, column)
        coefficients.scatter_add_(-1, column, -shares)
        products -= shares * gram.gather(-2, column.expand_as(gram))
    return coefficients


def random_orders(count: int, generator: torch.Generator) -> Tensor:
    """``[K, K]``: column t is the order in which task t meets all K tasks, itself included."""
    return torch.rand(count, count, generator=generator, dtype=torch.float64).argsort(dim=0)
