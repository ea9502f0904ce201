"""Tests of one method against another, and the correction for many of them.

The unit is a task (or a source): instances of one task are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
import numpy.typing as npt

from snibench.stats.arrays import Floats, average_ranks, rounded, unit_codes

EXACT_UNITS = 16  # up to here all 2^16 sign patterns are counted


def sign_flip_p(
    differences: Floats,
    *,
    rng: np.random.Generator,
    clusters: Sequence[str] | None = None,
    draws: int = 9_999,
) -> Floats:
    """Two-sided p of the sign-flip permutation test that paired differences are symmetric about 0.

    The statistic is the absolute sum. All tasks of a source are flipped together. Exact if there are at most 16
    units; else (b + 1)/(draws + 1), the observed signs counted as one of the draws. The same sign patterns serve
    every row, so equal rows get equal p. The test is conditional on these checkpoints.

    Args:
        differences: ``[T]`` or ``[R, T]``, rows tested separately.
        rng: Source of the sign patterns; not used by the exact test.
        clusters: The source of each task.
        draws: Number of Monte Carlo sign patterns.

    Returns:
        ``[]`` or ``[R]``; 1 for a row of zeros.

    Source:
        Fisher, The Design of Experiments (1935), section 21; Phipson and Smyth (2010) for the + 1.
    """
    rows = np.atleast_2d(rounded(differences))
    codes = unit_codes(clusters, rows.shape[1])
    units = rows @ np.eye(int(codes.max()) + 1)[codes]  # [R, C]
    observed = np.abs(units.sum(axis=1))
    slack = 1e-9 * np.abs(units).sum(axis=1)  # float noise must not break ties with the observed sum
    n = units.shape[1]
    exact = n <= EXACT_UNITS
    signs = _all_signs(n) if exact else rng.integers(0, 2, size=(draws, n)) * 2.0 - 1.0  # [B, C]
    as_extreme = (np.abs(units @ signs.T) >= (observed - slack)[:, None]).sum(axis=1)
    p = as_extreme / len(signs) if exact else (as_extreme + 1) / (draws + 1)
    return np.asarray(p.reshape(np.shape(differences)[:-1]), dtype=np.float64)


def smallest_sign_flip_p(units: int, draws: int) -> float:
    """The smallest p that ``sign_flip_p`` can return with that number of units."""
    return 2.0 ** (1 - units) if units <= EXACT_UNITS else 1.0 / (draws + 1)


def _all_signs(n: int) -> Floats:
    """The 2^(n-1) sign patterns that start with +; their mirrors have the same absolute sum."""
    patterns = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)
    return np.asarray(1.0 - 2.0 * (patterns & 1))[:, ::-1]


def win_tie_loss(differences: Floats, *, rope: float = 0.0) -> tuple[int, int, int]:
    """Numbers of differences above ``rope``, within it (ends included), and below ``-rope``."""
    values = rounded(differences)
    wins, losses = int((values > rope).sum()), int((values < -rope).sum())
    return wins, len(values) - wins - losses, losses


def rank_biserial(differences: Floats) -> float:
    """Matched-pairs rank-biserial correlation: the share of rank sum that favours us, minus the rest.

    Zeros keep their ranks and favour nobody. 1 if every difference is positive, 0 if all are zero.

    Source:
        Kerby, Comprehensive Psychology 3 (2014), the simple difference formula.
    """
    values = rounded(differences)
    if not values.any():
        return 0.0
    weights = average_ranks(np.abs(values))
    return float((np.sign(values) * weights).sum() / weights.sum())


def holm(p: npt.ArrayLike) -> Floats:
    """Holm's adjusted p values, in the order given; NaN stays NaN and does not count in the family.

    Source:
        Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    values = np.asarray(p, dtype=np.float64)
    adjusted = np.full(values.shape, nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted
