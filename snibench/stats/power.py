"""How large a difference a design can see, and how large a design a difference needs."""

from __future__ import annotations

from math import ceil, inf, nan, sqrt

from scipy import optimize, stats


def t_power(effect: float, se: float, df: float, *, level: float = 0.95) -> float:
    """Power of the two-sided t test if the true difference is ``effect`` and its standard error ``se``."""
    critical = float(stats.t.isf((1.0 - level) / 2.0, df))
    shift = abs(effect) / se
    return float(stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift))


def minimum_detectable_effect(se: float, df: float, *, power: float = 0.8, level: float = 0.95) -> float:
    """The true difference that the two-sided t test finds with probability ``power``.

    For T paired tasks without seed noise pass ``se = sd / sqrt(T)`` and ``df = T - 1``; with seed noise, those of
    ``difference_interval``.

    Returns:
        In the unit of ``se``; 0 if ``se`` is 0, NaN if ``se`` or ``df`` is NaN or ``df`` is below 1.
    """
    if se == 0.0:
        return 0.0
    if not (se > 0.0 and df >= 1.0):
        return nan

    def lacking(effect: float) -> float:
        return t_power(effect, 1.0, df, level=level) - power

    # The critical value plus the normal quantile of the power is near the root for every df.
    guess = float(stats.t.isf((1.0 - level) / 2.0, df) + stats.t.ppf(power, df))
    return se * float(optimize.brentq(lacking, 0.0, 2.0 * guess))


def questions_needed(
    effect: float,
    *,
    between: float,
    within_ours: float = 0.0,
    within_theirs: float = 0.0,
    samples_ours: float = inf,
    samples_theirs: float = inf,
    power: float = 0.8,
    level: float = 0.95,
) -> int:
    """Questions that a paired comparison needs to find a true difference ``effect``.

    Args:
        effect: Difference of mean scores.
        between: Variance over questions of the difference of expected scores (omega squared).
        within_ours: Mean variance of our answers to one question (sigma squared); 0 for greedy decoding.
        within_theirs: The same for theirs.
        samples_ours: Answers per question of ours (K).
        samples_theirs: The same for theirs.
        power: Probability of finding the difference.
        level: One minus the two-sided alpha.

    Source:
        Miller, Adding Error Bars to Evals (2024), equation 9.
    """
    z = float(stats.norm.isf((1.0 - level) / 2.0) + stats.norm.ppf(power))
    variance = between + within_ours / samples_ours + within_theirs / samples_theirs
    return ceil(z * z * variance / effect**2)


def detectable_dz(tasks: int, *, power: float = 0.8, level: float = 0.95) -> float:
    """The standardised paired difference that so many tasks detect."""
    return minimum_detectable_effect(1.0 / sqrt(tasks), tasks - 1, power=power, level=level)
