"""The gradient conflict between tasks, estimated from gradients of small chunks of probe instances.

The plain formula on mini-batch gradients is badly biased: noise lengthens every gradient and makes signs of small
cosines a coin toss, so that tasks without conflict seem to have some. Chunks that are independent of one another
give unbiased norms, and one half of them can judge the sign that the other half is scored on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

HALF_SPLITS = 4
# One-sided 5% point of the normal distribution: a pair counts as in conflict if its cosine is that far below zero.
_CRITICAL = 1.645
# Cosines known no better than this say nothing about conflict.
_UNRESOLVED = 0.2


@dataclass(frozen=True)
class ConflictEstimate:
    """Conflict between T tasks. Means are over pairs of tasks whose norms could be told from noise.

    ``score``: mean of max(0, -cos), cross-fitted; may leave [0, 1] a little. ``score_raw``: the plain formula, biased.
    ``rate``: share of pairs whose cosine is negative beyond its noise; ``rate_raw``: share of negative plain cosines.
    ``standard_error``: mean over pairs of the cosine's jackknife error; ``unresolved``: it is above 0.2.
    ``cosines [T, T]``: noise-corrected, 1 on the diagonal, NaN where a norm is lost in noise.
    """

    score: float
    score_raw: float
    mean_cosine: float
    rate: float
    rate_raw: float
    magnitude_similarity: float
    standard_error: float
    unresolved: bool
    cosines: Floats


def estimate_conflict(gram: Floats) -> ConflictEstimate:
    """The conflict that chunk gradients show.

    Args:
        gram: ``[T, S, T, S]`` inner products: ``gram[t, s, u, r]`` of task t's s-th chunk gradient with task u's r-th.
            Chunks are of one size and share no instance. T >= 2, S >= 4 and even.

    Raises:
        ValueError: If the shape is another.
        FloatingPointError: If an inner product is not finite.
    """
    tasks, chunks = gram.shape[:2]
    if gram.shape != (tasks, chunks, tasks, chunks) or tasks < 2 or chunks < 4 or chunks % 2:
        raise ValueError(f"gram must be [T, S, T, S] with T >= 2 and even S >= 4, but is {list(gram.shape)}.")
    if not np.isfinite(gram).all():
        raise FloatingPointError("A probe gradient is not finite (NaN or infinite). Lower the learning rate.")
    every = np.ones(chunks, dtype=bool)
    first, second = np.triu_indices(tasks, 1)
    mean = _mean_products(gram, every)
    plain = np.sqrt(mean.diagonal())
    with np.errstate(invalid="ignore", divide="ignore"):
        norms = _norms(gram, every)
        raw = (mean / np.outer(plain, plain))[first, second]
        cosines = _cosines(gram, every)
        pairs = cosines[first, second]
        scale = np.outer(norms, norms)[first, second]
        likeness = (2 * np.outer(norms, norms) / np.add.outer(norms**2, norms**2))[first, second]
        error = _jackknife(gram)[first, second]
        score = _mean(np.mean([_halves(gram, half)[first, second] for half in _half_splits(chunks)], axis=0) / scale)
    known = np.isfinite(pairs) & np.isfinite(error)
    spread = _mean(error)
    np.fill_diagonal(cosines, 1.0)
    return ConflictEstimate(
        score=score,
        score_raw=_mean(np.maximum(0.0, -raw)),
        mean_cosine=_mean(pairs),
        rate=float((pairs < -_CRITICAL * error)[known].mean()) if known.any() else float("nan"),
        rate_raw=_mean(np.where(np.isfinite(raw), raw < 0, np.nan)),
        magnitude_similarity=_mean(likeness),
        standard_error=spread,
        unresolved=not spread <= _UNRESOLVED,
        cosines=cosines,
    )


def residual_conflict(gram: Floats, weights: Floats) -> float:
    """Mean over tasks of max(0, -cos(d, g_t)) for the update d = sum_t w_t g_t; 0 if d is zero.

    ``gram [T, T]``: inner products of the task gradients; ``weights [T]``. The plain formula: d is made of the same
    gradients that it is compared with.
    """
    products = gram @ weights  # [T] <d, g_t>
    length = float(np.sqrt(max(weights @ products, 0.0)))
    norms = np.sqrt(gram.diagonal())
    usable = norms > 0
    if length == 0 or not usable.any():
        return 0.0
    return float(np.maximum(0.0, -products[usable] / (length * norms[usable])).mean())


def _mean_products(gram: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """``[T, T]`` inner products of the mean gradients over the chosen chunks; unbiased off the diagonal."""
    mean: Floats = gram[:, chosen][:, :, :, chosen].mean(axis=(1, 3))
    return mean


def _norms(gram: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """``[T]`` norms from products of different chunks alone, hence unbiased squares; NaN if one is not positive."""
    count = int(chosen.sum())
    square = np.array([gram[t, :, t][np.ix_(chosen, chosen)].sum() for t in range(len(gram))])
    own = np.array([gram[t, :, t].diagonal()[chosen].sum() for t in range(len(gram))])
    unbiased = (square - own) / (count * (count - 1))
    return np.sqrt(np.where(unbiased > 0, unbiased, np.nan))


def _cosines(gram: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """``[T, T]`` noise-corrected cosines, clipped to [-1, 1]."""
    norms = _norms(gram, chosen)
    return np.clip(_mean_products(gram, chosen) / np.outer(norms, norms), -1.0, 1.0)


def _jackknife(gram: Floats) -> Floats:
    """``[T, T]`` standard errors of the cosines, leaving out one chunk of every task at a time.

    A bootstrap would draw chunks twice and so undo the correction of the norms.
    """
    chunks = gram.shape[1]
    without = np.array([_cosines(gram, np.arange(chunks) != left) for left in range(chunks)])
    deviations = without - without.mean(axis=0)
    return np.sqrt((chunks - 1) / chunks * (deviations**2).sum(axis=0))


def _half_splits(chunks: int) -> list[npt.NDArray[np.bool_]]:
    """Halves of the chunks, the same for every method."""
    rng = np.random.default_rng(0)
    return [np.isin(np.arange(chunks), rng.permutation(chunks)[: chunks // 2]) for _ in range(HALF_SPLITS)]


def _halves(gram: Floats, half: npt.NDArray[np.bool_]) -> Floats:
    """``[T, T]``: one half says whether a pair conflicts, the other how much; both ways."""
    one, other = _mean_products(gram, half), _mean_products(gram, ~half)
    return -((one < 0) * other + (other < 0) * one) / 2


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
