"""Effect sizes and robust aggregates."""

from __future__ import annotations

from math import exp, log, nan, sqrt

import numpy as np
from scipy import special, stats

from snibench.stats.arrays import Floats, rounded


def rank_biserial(differences: Floats) -> float:
    """Matched-pairs rank-biserial correlation: the share of rank sum that favours us, minus the rest.

    Zeros keep their ranks and favour nobody. 1 if every difference is positive, 0 if all are zero.

    Source:
        Kerby, Comprehensive Psychology 3 (2014), the simple difference formula.
    """
    values = rounded(differences)
    if not values.any():
        return 0.0
    weights = stats.rankdata(np.abs(values))
    return float((np.sign(values) * weights).sum() / weights.sum())


def cohen_dz(differences: Floats) -> float:
    """Mean of paired differences over their SD; NaN with fewer than two, or if they do not vary."""
    values = rounded(differences)
    if len(values) < 2 or np.ptp(values) == 0.0:
        return nan
    return float(values.mean() / values.std(ddof=1))


def hedges_g(ours: Floats, theirs: Floats) -> float:
    """Standardised difference of two independent samples (seeds), with the exact small-sample correction.

    NaN with fewer than two values a side, or if neither side varies.

    Source:
        Hedges, Journal of Educational Statistics 6 (1981), equation 6e.
    """
    a, b = rounded(ours), rounded(theirs)
    df = len(a) + len(b) - 2
    if min(len(a), len(b)) < 2 or (np.ptp(a) == 0.0 and np.ptp(b) == 0.0):
        return nan
    pooled = sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / df)
    correction = exp(float(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) - 0.5 * log(df / 2))
    return float((a.mean() - b.mean()) / pooled * correction)


def a12(ours: Floats, theirs: Floats) -> float:
    """Probability that a value of ours is higher than one of theirs, ties counted half.

    Source:
        Vargha and Delaney, Journal of Educational and Behavioral Statistics 25 (2000).
    """
    pairs = np.sign(rounded(ours)[:, None] - rounded(theirs)[None, :])
    return float(0.5 + pairs.mean() / 2.0)


def cliffs_delta(ours: Floats, theirs: Floats) -> float:
    """Cliff's delta, 2 ``a12`` - 1.

    With three seeds a side it has ten values, and +-1 comes up one time in ten for equal methods: no word for
    its size there.
    """
    return 2.0 * a12(ours, theirs) - 1.0


def probability_of_improvement(ours: Floats, theirs: Floats) -> float:
    """Mean over tasks of ``a12`` over seeds, from ``[S, T]`` and ``[S', T]``.

    Source:
        Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice (NeurIPS 2021).
    """
    pairs = np.sign(rounded(ours)[:, None, :] - rounded(theirs)[None, :, :])
    return float(0.5 + pairs.mean() / 2.0)


def interquartile_mean(scores: Floats) -> float:
    """Mean of the middle half of all ``[S, T]`` scores, pooled.

    Source:
        Agarwal et al. (NeurIPS 2021).
    """
    return trimmed_mean(scores, cut=0.25)


def trimmed_mean(scores: Floats, *, cut: float) -> float:
    """Mean without the lowest and the highest share ``cut`` of all scores, pooled."""
    return float(stats.trim_mean(np.asarray(scores, dtype=np.float64), cut, axis=None))


def performance_profile(scores: Floats, thresholds: Floats) -> Floats:
    """``[K]`` shares of all ``[S, T]`` scores that lie above each of ``[K]`` thresholds: the score distribution.

    One method's profile above another's everywhere means that it is better at every level of difficulty.

    Source:
        Agarwal et al. (NeurIPS 2021), section 4.2.
    """
    pooled = np.sort(rounded(scores).reshape(-1))
    return np.asarray(1.0 - np.searchsorted(pooled, rounded(thresholds), side="right") / len(pooled))
