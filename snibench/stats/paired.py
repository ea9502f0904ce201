"""Tests of one method against another, and the correction for many of them.

The unit is a task (or a source): instances of one task are not independent of each other. Only McNemar's test is
about instances, and only within one task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from snibench.stats.arrays import Floats, rounded, unit_codes

EXACT_UNITS = 16  # up to here all 2^16 sign patterns are counted

Zeros = Literal["zsplit", "pratt", "wilcox"]


@dataclass(frozen=True, slots=True)
class TestResult:
    """A test's statistic and two-sided p; ``n`` units went in; ``method`` names the variant used."""

    __test__ = False  # not a test case of pytest

    statistic: float
    p: float
    n: int
    method: str


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
    """The smallest p that ``sign_flip_p`` can return with so many units."""
    return 2.0 ** (1 - units) if units <= EXACT_UNITS else 1.0 / (draws + 1)


def _all_signs(n: int) -> Floats:
    """The 2^(n-1) sign patterns that start with +; their mirrors have the same absolute sum."""
    patterns = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)
    return np.asarray(1.0 - 2.0 * (patterns & 1))[:, ::-1]


def wilcoxon(differences: Floats, *, zeros: Zeros = "zsplit") -> TestResult:
    """Wilcoxon's signed-rank test of paired differences, two-sided, through SciPy.

    Tests the pseudo-median, not the mean. Differences are rounded to 12 decimals before they are ranked. The
    policy on zeros changes the statistic: "zsplit" shares their ranks (Demsar 2006), "pratt" ranks and then
    drops them, "wilcox" drops them first.

    Returns:
        The smaller of the two rank sums; p is 1 if all differences are 0.
    """
    values = rounded(differences)
    method = f"Wilcoxon signed rank, zeros {zeros}"
    if not values.any():
        return TestResult(0.0, 1.0, len(values), method)
    result = stats.wilcoxon(values, zero_method=zeros)
    return TestResult(float(result.statistic), float(result.pvalue), len(values), method)


def sign_test(differences: Floats, *, ties: Literal["split", "drop"] = "split", rope: float = 0.0) -> TestResult:
    """The sign test of wins against losses, two-sided, through SciPy's binomial test.

    Args:
        differences: ``[T]``.
        ties: "split" gives each side half of the ties and ignores an odd one (Demsar 2006); "drop" drops all.
        rope: Differences of at most this size are ties.
    """
    wins, tied, losses = win_tie_loss(differences, rope=rope)
    shared = tied // 2 if ties == "split" else 0
    n = wins + losses + 2 * shared
    p = float(stats.binomtest(wins + shared, n).pvalue) if n else 1.0
    return TestResult(float(wins + shared), p, n, f"sign test, ties {'dropped' if ties == 'drop' else ties}")


def win_tie_loss(differences: Floats, *, rope: float = 0.0) -> tuple[int, int, int]:
    """How many differences are above ``rope``, within it (ends included), and below ``-rope``."""
    values = rounded(differences)
    wins, losses = int((values > rope).sum()), int((values < -rope).sum())
    return wins, len(values) - wins - losses, losses


def mcnemar(
    only_ours: int, only_theirs: int, *, method: Literal["auto", "exact", "mid-p", "chi2"] = "auto"
) -> TestResult:
    """McNemar's test on the instances of ONE task that exactly one of two methods got right.

    Pooled over tasks it is wrong: instances of a task hang together; use ``sign_flip_p`` over tasks there.

    Args:
        only_ours: Instances that only our method got right.
        only_theirs: Instances that only the other got right.
        method: "auto" is mid-p below 25 discordant instances, else chi-squared without continuity correction.

    Source:
        Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13 (2013).
    """
    n = only_ours + only_theirs
    if method == "auto":
        method = "mid-p" if n < 25 else "chi2"
    if n == 0:
        return TestResult(0.0, 1.0, 0, f"McNemar, {method}")
    if method == "chi2":
        statistic = (only_ours - only_theirs) ** 2 / n
        return TestResult(statistic, float(stats.chi2.sf(statistic, 1)), n, "McNemar, chi2")
    fewer = min(only_ours, only_theirs)
    p = min(1.0, 2.0 * float(stats.binom.cdf(fewer, n, 0.5)))
    if method == "mid-p":
        p = 2.0 * float(stats.binom.cdf(fewer, n, 0.5)) - float(stats.binom.pmf(fewer, n, 0.5))
    return TestResult(float(fewer), p, n, f"McNemar, {method}")


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
