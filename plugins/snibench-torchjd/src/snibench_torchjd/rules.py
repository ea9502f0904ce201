"""One rule for each aggregator of TorchJD that a weight per task can express. TorchJD's defaults, where it has some."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
import torchjd.aggregation as torchjd
from torch import Tensor

from snibench.api import Bounds, Count, Needs, Positive, Rule, Share, Step, Weight
from snibench_torchjd.base import TorchjdRule, WeightingRule, drawing_from, vectors_of, weights_within

if TYPE_CHECKING:
    from snibench.api import TaskGradients

# ------------------------------------------------------------------------ functions of the Gram matrix


@dataclass(frozen=True, slots=True)
class AlignedMTLSettings:
    """``scale_mode``: which eigenvalue all others are set to."""

    scale_mode: Literal["min", "median", "rmse"] = "min"


class AlignedMTL(WeightingRule):
    """TorchJD's Aligned-MTL: the principal components of the gradients made equally long."""

    Settings: ClassVar[type] = AlignedMTLSettings

    def make(self) -> Any:
        """The weighting."""
        return torchjd.AlignedMTLWeighting(scale_mode=self.settings.scale_mode)


@dataclass(frozen=True, slots=True)
class CAGradSettings:
    """``c``: radius around the mean gradient, in units of its norm. ``norm_eps``: below it, on the Pareto front."""

    c: Weight = 0.4
    norm_eps: Weight = 0.0001


class CAGrad(WeightingRule):
    """TorchJD's CAGrad: near the mean gradient, what helps the worst-off task most, by a conic solver."""

    Settings: ClassVar[type] = CAGradSettings

    def make(self) -> Any:
        """The weighting."""
        return torchjd.CAGradWeighting(c=self.settings.c, norm_eps=self.settings.norm_eps)


@dataclass(frozen=True, slots=True)
class ConeSettings:
    """Of the projection on the dual cone: ``norm_eps``, the least trace; ``reg_eps``, added to the diagonal."""

    norm_eps: Weight = 0.0001
    reg_eps: Weight = 0.0001


class UPGrad(WeightingRule):
    """TorchJD's UPGrad: each gradient projected on the dual cone of all, then their mean."""

    Settings: ClassVar[type] = ConeSettings

    def make(self) -> Any:
        """The weighting."""
        return torchjd.UPGradWeighting(projector=_projector(self.settings))


class DualProj(WeightingRule):
    """TorchJD's DualProj: the mean gradient projected on the dual cone of all."""

    Settings: ClassVar[type] = ConeSettings

    def make(self) -> Any:
        """The weighting."""
        return torchjd.DualProjWeighting(projector=_projector(self.settings))


def _projector(settings: ConeSettings) -> Any:
    from torchjd.linalg import QuadprogProjector

    return QuadprogProjector(norm_eps=settings.norm_eps, reg_eps=settings.reg_eps)


@dataclass(frozen=True, slots=True)
class FairGradSettings:
    """``alpha``: how much the worst-off counts; TorchJD has no default, 2 is the authors'."""

    alpha: Positive = 2.0


class FairGrad(TorchjdRule):
    """TorchJD's FairGrad: weights with ``M w = w^(-1/alpha)``, by least squares."""

    Settings: ClassVar[type] = FairGradSettings

    def make(self) -> Any:
        """The weighting."""
        return torchjd.FairGradWeighting(alpha=self.settings.alpha)

    def ask(self, gram: Tensor, step: Step) -> Tensor:
        """The weights for M itself: those for ``M / s`` are longer by ``s^(alpha / (1 + alpha))``."""
        alpha = self.settings.alpha
        scale = step.gram.diagonal().mean()
        weights: Tensor = self.made(gram) * scale ** (-alpha / (1 + alpha))
        return weights


@dataclass(frozen=True, slots=True)
class GradVacSettings:
    """``beta``: decay of the similarity targets. ``eps``: added to denominators."""

    beta: Share = 0.5
    eps: Positive = 1e-8


class GradVac(TorchjdRule):
    """TorchJD's GradVac: gradients less alike than their target are turned towards each other.

    Unlike TorchJD, which keeps its targets by row, they are kept by the tasks' names: rows change from step to step.
    """

    Settings: ClassVar[type] = GradVacSettings
    needs = Needs.GRAM | Needs.GENERATOR

    def make(self) -> Any:
        """The weighting, and no targets yet."""
        self._targets: dict[str, dict[str, float]] = {}
        return torchjd.GradVacWeighting(beta=self.settings.beta, eps=self.settings.eps)

    def ask(self, gram: Tensor, step: Step) -> Tensor:
        """The weights, with the targets of this step's tasks."""
        rows = [[self._targets.get(first, {}).get(second, 0.0) for second in step.tasks] for first in step.tasks]
        self.made._phi_t = torch.tensor(rows, dtype=gram.dtype)
        self.made._state_key = (len(gram), gram.dtype)
        weights: Tensor = self.made(gram)
        for first, row in zip(step.tasks, self.made._phi_t.tolist(), strict=True):
            self._targets.setdefault(first, {}).update(zip(step.tasks, row, strict=True))
        return weights

    def state(self) -> Mapping[str, Any]:
        """``{"targets": {task: {other task: target}}}``."""
        return {"targets": {first: dict(row) for first, row in self._targets.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the targets."""
        self._targets = {first: dict(row) for first, row in state["targets"].items()}


class IMTLG(WeightingRule):
    """TorchJD's IMTL-G: equal projections of the update on all gradients' directions."""

    def make(self) -> Any:
        """The weighting."""
        return torchjd.IMTLGWeighting()


@dataclass(frozen=True, slots=True)
class KrumSettings:
    """``byzantine``: how many tasks may be adversarial; TorchJD has no default. ``selected``: tasks that are kept."""

    byzantine: Annotated[int, Bounds(least=0)] = 1
    selected: Count = 1


class Krum(WeightingRule):
    """TorchJD's (Multi-)Krum: the mean of the gradients that lie closest to their neighbours.

    With fewer tasks in the step than ``byzantine + 3`` or ``selected``, no gradient stands out: the mean of all.
    """

    Settings: ClassVar[type] = KrumSettings

    def make(self) -> Any:
        """The weighting."""
        return torchjd.KrumWeighting(n_byzantine=self.settings.byzantine, n_selected=self.settings.selected)

    def ask(self, gram: Tensor, step: Step) -> Tensor:
        """Weights by the wrapped weighting, given enough tasks."""
        count = len(gram)
        if count < max(self.settings.byzantine + 3, self.settings.selected):
            return torch.full((count,), 1 / count, dtype=gram.dtype)
        return super().ask(gram, step)


@dataclass(frozen=True, slots=True)
class MGDASettings:
    """Of the Frank-Wolfe solver: ``epsilon``, where it stops, and ``max_iters``, when."""

    epsilon: Positive = 0.001
    max_iters: Count = 100


class MGDA(WeightingRule):
    """TorchJD's MGDA: the shortest convex combination of the gradients, by Frank-Wolfe."""

    Settings: ClassVar[type] = MGDASettings

    def make(self) -> Any:
        """The weighting."""
        return torchjd.MGDAWeighting(epsilon=self.settings.epsilon, max_iters=self.settings.max_iters)


class PCGrad(WeightingRule):
    """TorchJD's PCGrad: each gradient loses what opposes another; the sum of all, where our pcgrad takes the mean."""

    needs = Needs.GRAM | Needs.GENERATOR

    def make(self) -> Any:
        """The weighting."""
        return torchjd.PCGradWeighting()


# ----------------------------------------------------- functions of the gradients that turn with their space


class ConFIG(TorchjdRule):
    """TorchJD's ConFIG: the direction with equal cosines to all gradients, as long as their projections on it together.

    Source:
        Liu, Chu and Thuerey, ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks (ICLR 2025).
    """

    def make(self) -> Any:
        """The aggregator."""
        return torchjd.ConFIG()

    def ask(self, gram: Tensor, step: Step) -> Tensor:
        """The weights behind the aggregator's update."""
        vectors = vectors_of(gram)
        return weights_within(vectors, self.made(vectors))


@dataclass(frozen=True, slots=True)
class NashMTLSettings:
    """``max_norm``: of the update, 0 = any. ``iterations``: of the convex-concave procedure."""

    max_norm: Weight = 1.0
    iterations: Count = 20


class NashMTL(TorchjdRule):
    """TorchJD's Nash-MTL, which is the authors' code: it may stop early, and it clips the update to norm 1.

    Where it stops depends on the size of the gradients, so it gets them with a mean square of 1. Unlike TorchJD,
    each step is solved from the start: its last weights belong to other tasks.
    """

    Settings: ClassVar[type] = NashMTLSettings
    clipped: ClassVar[bool] = False

    def make(self) -> Any:
        """The way to an aggregator: its number of tasks is fixed, so each step makes one."""
        torchjd.NashMTL(n_tasks=1)  # fails now if its solver is missing
        return torchjd.NashMTL

    def ask(self, gram: Tensor, step: Step) -> Tensor:
        """The weights for M itself: those for ``M / s`` are longer by ``s^(1/2)``, the update is the same."""
        settings, count = self.settings, len(gram)
        if count == 1:  # TorchJD takes two at least; a bargain with oneself is the unit vector
            weights = torch.full((1,), min(1.0, settings.max_norm or 1.0), dtype=gram.dtype)
        else:
            aggregator = self.made(count, max_norm=settings.max_norm, optim_niter=settings.iterations)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="You are solving a parameterized problem that is not DPP")
                weights = aggregator.weighting(vectors_of(gram))
        return weights / step.gram.diagonal().mean().sqrt()


# ----------------------------------------------------------------------------- functions of nothing but K


class _CountRule(Rule):
    """A weighting of TorchJD that only counts the rows: no gradient is computed for it."""

    def weights(self, gradients: TaskGradients) -> Tensor:
        """Weights by the wrapped weighting of K rows; 0 for references."""
        count = len(gradients.tasks)
        with drawing_from(gradients.generator if Needs.GENERATOR in self.needs else None):
            weights = self.make()(torch.zeros(count, 1, dtype=torch.float64))
        return torch.cat([weights, weights.new_zeros(gradients.anchors)])

    def make(self) -> Any:
        """The weighting."""
        raise NotImplementedError


class Mean(_CountRule):
    """TorchJD's Mean: every task weighs ``1/K``."""

    def make(self) -> Any:
        """The weighting."""
        return torchjd.MeanWeighting()


class Sum(_CountRule):
    """TorchJD's Sum: every task weighs 1."""

    def make(self) -> Any:
        """The weighting."""
        return torchjd.SumWeighting()


class Random(_CountRule):
    """TorchJD's Random: softmax of independent standard normal numbers, new in every step."""

    needs = Needs.GENERATOR

    def make(self) -> Any:
        """The weighting."""
        return torchjd.RandomWeighting()
