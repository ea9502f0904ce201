"""Tests that other libraries have: wrapped thinly, imported on use, none of them in the default report.

They need ``pip install 'snibench[stats]'``. Why they are not in the report stands in docs/statistics.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from snibench.base.errors import MissingExtra
from snibench.stats.arrays import Floats, rounded
from snibench.stats.power import VarianceComponents

# With fewer runs a side almost stochastic order calls equal methods different (docs/statistics.md).
FEWEST_RUNS = 5


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Posterior probabilities that the difference is below, within or above the region of practical equivalence."""

    worse: float
    equivalent: float
    better: float


def practical_equivalence(
    ours: Floats, theirs: Floats, *, rope: float = 0.01, rng: np.random.Generator, draws: int = 50_000
) -> Equivalence:
    """Bayesian signed-rank test over tasks: is ``ours`` better, worse, or practically the same.

    Args:
        ours: ``[T]`` scores, one per task.
        theirs: ``[T]``, the same tasks in the same order.
        rope: Differences of at most this size count as none.
        rng: Source of the Monte Carlo draws.
        draws: Of the Dirichlet process.

    Raises:
        MissingExtra: If baycomp is not installed.
        ValueError: If the two shapes differ.

    Source:
        Benavoli, Corani, Demsar and Zaffalon, Time for a Change (JMLR 18, 2017), section 4.2; baycomp.
    """
    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"ours has shape {first.shape} but theirs has {second.shape}; one score per task in both.")
    test = _library("baycomp", "practical_equivalence").SignedRankTest
    # baycomp's first probability is that of its first argument being higher.
    better, same, worse = test.probs(
        rounded(first), rounded(second), rope=rope, nsamples=draws, random_state=int(rng.integers(2**31))
    )
    return Equivalence(float(worse), float(same), float(better))


def almost_stochastic_order(ours: Floats, theirs: Floats, *, rng: np.random.Generator, draws: int = 1_000) -> float:
    """The violation ratio epsilon in [0, 1] of "``ours`` is stochastically larger", over runs; below 0.2 speaks for it.

    Args:
        ours: ``[S]`` scores, one per training seed.
        theirs: ``[S']``.
        rng: Source of the bootstrap.
        draws: B.

    Raises:
        MissingExtra: If deepsig is not installed.
        ValueError: With fewer than five runs a side: of two equal methods with three runs each, one in five pairs
            would be called different.

    Source:
        Del Barrio, Cuesta-Albertos and Matran (2018); Dror, Shlomov and Reichart (ACL 2019); deepsig.
    """
    fewest = min(len(ours), len(theirs))
    if fewest < FEWEST_RUNS:
        raise ValueError(f"almost stochastic order needs at least {FEWEST_RUNS} runs a side, but got {fewest}.")
    found = _library("deepsig", "almost_stochastic_order").aso(
        np.asarray(ours, dtype=np.float64).tolist(),
        np.asarray(theirs, dtype=np.float64).tolist(),
        num_bootstrap_iterations=draws,
        seed=int(rng.integers(2**31)),
        show_progress=False,
    )
    return float(found)


def conover(scores: Floats) -> Floats:
    """``[M, M]`` unadjusted p values of Conover's post-hoc test after Friedman's, of ``[T, M]`` scores.

    Raises:
        MissingExtra: If scikit-posthocs is not installed.

    Source:
        Conover, Practical Nonparametric Statistics (1999), section 5.8; scikit-posthocs.
    """
    table = _library("scikit_posthocs", "conover").posthoc_conover_friedman(rounded(scores))
    return np.asarray(table.to_numpy(dtype=np.float64))


def mixed_model_components(scores: Floats) -> VarianceComponents:
    """Variance components of ``[S, T]`` scores by REML, seeds crossed with tasks: an audit of ``variance_components``.

    A component on the edge is 0 and named in ``clipped``. With three seeds the fit is often singular there.

    Raises:
        MissingExtra: If statsmodels is not installed.
        ValueError: With fewer than two seeds or two tasks.

    Source:
        statsmodels ``MixedLM``; crossed effects are variance components of one group that holds all rows.
    """
    import pandas as pd

    values = np.asarray(scores, dtype=np.float64)
    seeds, tasks = values.shape
    if seeds < 2 or tasks < 2:
        raise ValueError(f"variance components need at least two seeds and two tasks, but got {seeds} and {tasks}.")
    seed, task = np.indices(values.shape).reshape(2, -1)
    frame = pd.DataFrame({"score": values.reshape(-1), "seed": seed, "task": task, "all": 1})
    parts = {"seed": "0 + C(seed)", "task": "0 + C(task)"}
    smf = _library("statsmodels.formula.api", "mixed_model_components")
    fit = smf.mixedlm("score ~ 1", frame, groups="all", re_formula="0", vc_formula=parts).fit(reml=True)
    # In the order of the names of the parts, sorted.
    found = dict(zip(sorted(parts), map(float, fit.vcomp), strict=True))
    edge = tuple(name for name, value in sorted(found.items()) if value < 1e-9 * float(fit.scale))
    return VarianceComponents(found["task"], found["seed"], float(fit.scale), edge)


def _library(name: str, purpose: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra(f"stats.borrowed.{purpose}", "stats") from error
