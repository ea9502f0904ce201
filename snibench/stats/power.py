"""How large a difference a design can see, and how large a design a difference needs."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, nan, sqrt

import numpy as np
from scipy import optimize, stats

from snibench.stats.arrays import Floats


def t_power(effect: float, se: float, df: float, *, level: float = 0.95) -> float:
    """Power of the two-sided t test if the true difference is ``effect`` and its standard error ``se``."""
    critical = float(stats.t.isf((1.0 - level) / 2.0, df))
    shift = abs(effect) / se
    other_side = np.nan_to_num(stats.nct.cdf(-critical, df, shift))  # SciPy gives NaN where it is below 1e-15
    return float(stats.nct.sf(critical, df, shift) + other_side)


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


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Variances of scores between tasks, between seeds (a shift of all tasks), and of the rest.

    ``clipped`` names the components whose estimate was negative and is shown as 0.
    """

    task: float
    seed: float
    residual: float
    clipped: tuple[str, ...]

    def planned_se(self, *, seeds: int, tasks: int) -> float:
        """The standard error of the mean score in another design: shows which budget to raise."""
        return sqrt(self.task / tasks + self.seed / seeds + self.residual / (seeds * tasks))


def variance_components(scores: Floats) -> VarianceComponents:
    """Variance components of ``[S, T]`` scores with seeds crossed with tasks, by the method of moments.

    For an audit, not for a test: with three seeds the seed component is hardly known.

    Raises:
        ValueError: With fewer than two seeds or two tasks.

    Source:
        Searle, Casella and McCulloch, Variance Components (1992), section 4.3.
    """
    values = np.asarray(scores, dtype=np.float64)
    seeds, tasks = values.shape
    if seeds < 2 or tasks < 2:
        raise ValueError(f"variance components need at least two seeds and two tasks, but got {seeds} and {tasks}.")
    by_seed, by_task = values.mean(axis=1), values.mean(axis=0)
    rest = values - by_seed[:, None] - by_task[None, :] + values.mean()
    residual = float((rest**2).sum()) / ((seeds - 1) * (tasks - 1))
    raw = {
        "task": float(by_task.var(ddof=1)) - residual / seeds,
        "seed": float(by_seed.var(ddof=1)) - residual / tasks,
    }
    clipped = tuple(name for name, value in raw.items() if value < 0.0)
    return VarianceComponents(max(0.0, raw["task"]), max(0.0, raw["seed"]), residual, clipped)
