"""The spread of one task's accuracy over formats, beside the spread that noise alone would give."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np
from scipy import special

from snibench.stats.arrays import Floats


@dataclass(frozen=True, slots=True)
class Spread:
    """Observed max - min of accuracy over formats, and its null.

    ``null`` is the mean under the null, ``null_high`` its 95% quantile, ``p`` one-sided.
    """

    observed: float
    null: float
    null_high: float
    p: float


def spread_null(scores: Floats, *, rng: np.random.Generator, draws: int = 1_000) -> Spread:
    """The spread over F formats, and the spread if the format did not matter.

    Under the null the F scores of an instance are exchangeable, so they are permuted within each instance. That
    keeps how hard each instance is, which independent errors would not.

    Args:
        scores: ``[F, n]``, one score (or seed mean) per format and instance, without NaN.
        rng: Source of the permutations.
        draws: Number of permutations; p is (b + 1)/(draws + 1).

    Raises:
        ValueError: With fewer than two formats or no instance.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2 or values.shape[1] == 0:
        raise ValueError(f"scores must be [at least 2 formats, at least 1 instance], but has shape {values.shape}.")
    observed = float(np.ptp(values.mean(axis=1)))
    shuffled = rng.permuted(np.broadcast_to(values, (draws, *values.shape)), axis=1)  # [B, F, n]
    null = np.ptp(shuffled.mean(axis=2), axis=1)
    p = (int((null >= observed - 1e-9).sum()) + 1) / (draws + 1)
    return Spread(observed, float(null.mean()), float(np.quantile(null, 0.95)), p)


@cache
def expected_range(n: int) -> float:
    """Expected max - min of n independent standard normals: the d2 of control charts.

    Source:
        Tippett, Biometrika 17 (1925).
    """

    nodes, weights = np.polynomial.legendre.leggauss(200)  # over [-1, 1]; the integrand is smooth
    below = special.ndtr(12.0 * nodes)
    return float(12.0 * weights @ (1.0 - below**n - (1.0 - below) ** n))


def independent_spread(accuracy: float, instances: int, formats: int) -> float:
    """Spread over formats if every answer were an independent coin: the upper bound of the noise."""
    return expected_range(formats) * sqrt(accuracy * (1.0 - accuracy) / instances)
