"""Minimum detectable difference of a run, and of another design."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import isnan, nan, pi, sqrt

import numpy as np
from scipy import special

from snibench.stats.arrays import Floats
from snibench.stats.estimates import Estimate, t_quantile
from snibench.stats.scopes import MeanSquares, Sample, seed_variance

POWER = 0.8
_NODES = 400  # of the integral over the noise of a standard error
_COARSE = (25, 100)  # nodes that say, for a hundredth of the time, about where the solution is
_CLOSE = 1e-7  # a step of Newton's that leaves an error of about its square
_RUNS = 4_000  # simulated experiments of a planned design


def minimum_detectable_effect(estimate: Estimate, *, power: float = POWER, level: float = 0.95) -> float:
    """The true difference that runs like this one find with probability ``power``; NaN without an interval or noise.

    A run's standard error is itself noisy: where it came out small by chance, so does the effect. The factor is
    therefore chosen so that the power is ``power`` on average over that noise. An estimate, good to about a fifth.
    """
    if isnan(estimate.df) or estimate.noiseless:
        return nan
    return estimate.se * run_factor(round(estimate.df, 2), power=power, level=level)


@cache
def run_factor(df: float, *, power: float = POWER, level: float = 0.95) -> float:
    """The effect, in standard errors as a run with ``df`` degrees of freedom estimates them, found with ``power``.

    Solves E[P(|T'(k c)| > t)] = power for k, where c = sqrt(chi2_df / df) is the noise of the estimated standard
    error, and T' the noncentral t of another run.
    """
    factor = 2.0
    for nodes in (*_COARSE, _NODES):
        factor = _run_root(df, power, level, nodes=nodes, start=factor)
    return factor


def _run_root(df: float, power: float, level: float, *, nodes: int, start: float) -> float:
    """The root of ``run_factor`` with so many nodes: Newton's method, kept inside a bracket."""
    quantiles, noise = _grid(df, level, nodes)
    low, high, factor = 0.0, np.inf, start
    for _ in range(200):
        shift = factor * noise[:, None]
        near, far = shift - quantiles, -shift - quantiles
        lacking = float((special.ndtr(near) + special.ndtr(far)).mean()) - power
        low, high = (factor, high) if lacking < 0.0 else (low, factor)
        slope = float((noise[:, None] * (np.exp(-0.5 * near**2) - np.exp(-0.5 * far**2))).mean()) / sqrt(2.0 * pi)
        before, factor = factor, factor - lacking / slope if slope > 0.0 else nan
        if not low < factor < high:
            factor = 2.0 * before if high == np.inf else 0.5 * (low + high)
        if abs(factor - before) <= _CLOSE * before:
            return factor
    return factor


@cache
def design_factor(df: float, *, power: float = POWER, level: float = 0.95) -> float:
    """The effect, in TRUE standard errors, that a t test with ``df`` finds with ``power``: noncentral t."""
    from scipy import optimize

    quantiles, _ = _grid(df, level, _NODES)

    def lacking(factor: float) -> float:
        return float(_power(np.array([factor]), quantiles)[0]) - power

    return float(optimize.brentq(lacking, 0.01, 2_000.0))


def _grid(df: float, level: float, nodes: int) -> tuple[Floats, Floats]:
    """Critical values in true standard errors at equally likely values of the estimated one, and those values."""
    shares = (np.arange(nodes) + 0.5) / nodes
    noise = np.sqrt(2.0 * special.gammaincinv(df / 2.0, shares) / df)  # quantiles of chi-squared
    return t_quantile(df, level) * noise, noise


def _power(effects: Floats, cuts: Floats) -> Floats:
    """``[K]`` chance to pass a critical value drawn from ``cuts``, for effects ``[K]`` in true standard errors."""
    shift = effects[:, None]
    return np.asarray((special.ndtr(shift - cuts) + special.ndtr(-shift - cuts)).mean(axis=1))


# ------------------------------------------------------------------------------- another design


@dataclass(frozen=True, slots=True)
class Design:
    """Size of a design: ``tasks``, ``instances`` of each, ``seeds`` of each method, ``methods`` of one recipe."""

    tasks: int
    instances: float
    seeds: int
    methods: int = 2


@dataclass(frozen=True, slots=True)
class Components:
    """Variances that a difference between two methods is made of; those of the two methods are added.

    ``task``: method x task; ``instance``: method x instance; ``seed``: the shift of all tasks by a seed; ``cell``: task
    x seed; ``answer``: seed x instance. ``clipped`` names those whose estimate was negative and stands as 0.
    """

    task: float
    instance: float
    seed: float
    cell: float
    answer: float
    clipped: tuple[str, ...] = ()

    def variances(self, design: Design) -> dict[str, float]:
        """Expected value of every mean square in another design."""
        tasks, instances, seeds = design.tasks, design.instances, design.seeds
        res = self.answer / (seeds * instances * tasks)
        inst = self.instance / (instances * tasks) + res
        cell = self.cell / (seeds * tasks) + res
        return {
            "task": self.task / tasks + inst + cell - res,
            "inst": inst,
            "cell": cell,
            "res": res,
            "seed": self.seed / seeds + cell,
        }


def components(squares: MeanSquares, ours: Sample, theirs: Sample) -> Components:
    """Components of variance by the method of moments, from a run in which both methods have equally many seeds.

    Raises:
        ValueError: If seeds differ in number, or there is one, or single instances are not known.
    """
    if squares.inst is None or squares.res is None or ours.seeds != theirs.seeds or ours.seeds < 2:
        raise ValueError("components need as many seeds of both methods, at least two, and the scores of instances.")
    seeds, tasks = ours.seeds, ours.sides[0].table.shape[1]
    sizes = [task.shape[1] for task in ours.sides[0].instances]
    instances = len(sizes) / sum(1.0 / size for size in sizes)  # tasks weigh equally
    seed = seed_variance(ours).value + seed_variance(theirs).value
    raw = {
        "task": (squares.task.value - squares.inst.value - squares.cell.value + squares.res.value) * tasks,
        "instance": (squares.inst.value - squares.res.value) * instances * tasks,
        "seed": (seed - squares.cell.value) * seeds,
        "cell": (squares.cell.value - squares.res.value) * seeds * tasks,
        "answer": squares.res.value * seeds * instances * tasks,
    }
    clipped = tuple(name for name, value in raw.items() if value < 0.0)
    return Components(**{name: max(0.0, value) for name, value in raw.items()}, clipped=clipped)


def planned_effect(
    parts: Components,
    design: Design,
    *,
    scope: str = "tasks like these",
    power: float = POWER,
    level: float = 0.95,
    runs: int = _RUNS,
) -> float:
    """The true difference that a run of ``design`` finds with probability ``power``, by simulation.

    Mean squares are drawn from their chi-squared distributions and go through the rule of ``scopes.compare``: the
    pair's seeds pooled, or with four methods or more those of all. NaN with one seed. The generator is fixed: equal
    input, equal output.
    """
    if design.seeds < 2 or design.tasks < 3:
        return nan
    from scipy import optimize

    like_these = scope == "tasks like these"
    expected = parts.variances(design)
    base, twice = ("task", "cell") if like_these else ("inst", "res")
    free = {
        "task": design.tasks - 1.0,
        "cell": 2.0 * (design.seeds - 1) * (design.tasks - 1),
        "inst": max(1.0, design.tasks * (design.instances - 1)),
        "res": max(1.0, 2.0 * design.tasks * (design.instances - 1) * (design.seeds - 1)),
        "seed": float((design.methods if design.methods > 3 else 2) * (design.seeds - 1)),
    }
    rng = np.random.default_rng(0)
    drawn = {name: expected[name] * rng.chisquare(free[name], runs) / free[name] for name in (base, "seed", twice)}
    value = np.maximum(drawn[base] + drawn["seed"] - drawn[twice], np.maximum(drawn[base], drawn["seed"]))
    with np.errstate(invalid="ignore", divide="ignore"):
        df = value**2 / sum(drawn[name] ** 2 / free[name] for name in drawn)
    cuts = special.stdtrit(np.maximum(1.0, np.nan_to_num(df, nan=1.0)), 0.5 + level / 2.0) * np.sqrt(value)
    true_se = sqrt(expected[base] + expected["seed"] - expected[twice])
    if true_se == 0.0:
        return 0.0

    def lacking(effect: float) -> float:
        return float(_power(np.array([effect]), np.asarray(cuts / true_se, np.float64))[0]) - power

    return true_se * float(optimize.brentq(lacking, 0.0, 2_000.0))
