"""Adapters from TorchJD's aggregators to rules: a scaled Gram matrix, vectors, a generator of their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from snibench.api import GramRule, Needs, PluginError, Step


class TorchjdRule(GramRule):
    """A rule whose weights TorchJD computes.

    TorchJD has absolute floors (below a trace of 1e-4 its UPGrad turns into the mean and its CAGrad into 0), so it is
    given ``M T / tr M``, and what it says is scaled back where its weights depend on the scale.
    """

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        try:
            self.made = self.make()
        except ImportError as error:
            raise PluginError(f"A solver of TorchJD is not installed: {error}") from error

    @abstractmethod
    def make(self) -> Any:
        """TorchJD's weighting or aggregator, with these settings."""

    @abstractmethod
    def ask(self, gram: Tensor, step: Step) -> Tensor:
        """``[T]`` float64 weights for the Gram matrix ``gram [T, T]``, whose mean diagonal is 1."""

    def weigh(self, step: Step) -> Tensor:
        """``[T]`` weights.

        Raises:
            FloatingPointError: If TorchJD gives weights that are not finite.
        """
        with drawing_from(step.generator if Needs.GENERATOR in self.needs else None):
            weights = self.ask(step.gram / step.gram.diagonal().mean(), step)
        if not weights.isfinite().all():
            raise FloatingPointError(f"TorchJD's {type(self).__name__} gives weights that are not finite.")
        return weights.double()


class WeightingRule(TorchjdRule):
    """A weighting of TorchJD that reads the Gram matrix and does not mind its scale."""

    def ask(self, gram: Tensor, step: Step) -> Tensor:
        """Weights by the wrapped weighting."""
        weights: Tensor = self.made(gram)
        return weights


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Inside, torch's default generator, which TorchJD draws from, is seeded by ``generator``, or by 0."""
    seed = 0 if generator is None else int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def vectors_of(gram: Tensor) -> Tensor:
    """``[T, rank]`` float64 rows with the inner products ``gram [T, T]``: the task gradients, up to a rotation.

    An aggregator that turns with the space it works in gives the same weights for these as for the gradients.
    """
    norms = gram.diagonal().sqrt()
    values, turned = torch.linalg.eigh(gram / torch.outer(norms, norms))
    real = values > 1e-12 * len(gram)  # the rest is rounding
    return norms[:, None] * turned[:, real] * values[real].sqrt()


def weights_within(vectors: Tensor, update: Tensor) -> Tensor:
    """``[T]`` smallest weights w, in units of the vectors' lengths, with ``w @ vectors = update``."""
    norms = vectors.norm(dim=1)
    return torch.linalg.pinv((vectors / norms[:, None]).T) @ update / norms
