"""Gradient conflict between tasks, estimated without the bias of mini-batch noise.

Pure functions of Gram matrices: NumPy only, and nothing here knows where gradients come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

UNRESOLVED = 0.2  # mean standard error of a cosine above which conflict should not be read
ONE_SIDED = 1.64  # standard errors below zero at which a pair counts as conflicting: one-sided 5 %
_FLOOR = 1e-200  # of squared norms, so that a division by a vanished norm is large but finite


@dataclass(frozen=True)
class ConflictEstimate:
    """Conflict at one point in training. Means are over pairs of tasks, each pair once.

    A pair counts if both gradients stand out from their noise; with none, every mean over pairs is NaN.

    Attributes:
        score: Cross-fitted mean of ``max(0, -cos)``. Around 0 without conflict, so it may be slightly negative.
        score_raw: The plain formula on mean gradients; biased, and dependent on the number of instances.
        mean_cosine: Mean signed cosine.
        rate: Share of pairs whose cosine is negative at the one-sided 5 % level.
        rate_raw: Share of pairs with a negative raw cosine: half of them where there is nothing but noise.
        magnitude_similarity: Mean of ``2 n_t n_u / (n_t^2 + n_u^2)``, 1 for equal norms.
        standard_error: Mean jackknife standard error of a pair's cosine.
        unresolved: The cosines are too noisy to speak of: ``standard_error`` above ``UNRESOLVED``, or no pair counts.
        cosines: ``[T, T]`` noise-corrected cosines in [-1, 1], 1 on the diagonal, NaN for pairs that do not count.
        errors: ``[T, T]`` jackknife standard errors of ``cosines``, 0 on the diagonal, NaN like them.
        squares: ``[T]`` noise-corrected squared norms; not positive where a gradient is lost in its noise.
    """

    score: float
    score_raw: float
    mean_cosine: float
    rate: float
    rate_raw: float
    magnitude_similarity: float
    standard_error: float
    unresolved: bool
    cosines: Array
    errors: Array
    squares: Array


def estimate_conflict(gram: Array) -> ConflictEstimate:
    """Conflict between T tasks, from the gradients of S chunks of each task's probe instances.

    Products of different tasks are unbiased as they are, since their instances are independent. Squared norms
    come from products of different chunks of the task. The score is cross-fitted: one half of the chunks says
    which pairs conflict and the other half by how much, over up to four balanced splits, both ways.

    Args:
        gram: ``[T, S, T, S]``; ``gram[t, s, u, r]`` is the inner product of the mean gradient of task t's chunk s
            with that of task u's chunk r. Chunks are of equal size; S is even, 8 by default.

    Raises:
        ValueError: If the shape is another, T is below 2, or S is odd.
        FloatingPointError: If an inner product is not finite.

    Source:
        Jackknife: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 11. A bootstrap would
        repeat chunks, and so undo the correction of the norms.
    """
    if gram.ndim != 4 or gram.shape[:2] != gram.shape[2:]:
        raise ValueError(f"gram must have shape [T, S, T, S], but got {list(gram.shape)}.")
    count, chunks = gram.shape[:2]
    if count < 2 or chunks % 2 or not chunks:
        raise ValueError(f"Conflict needs two tasks and an even number of chunks, but got T={count} and S={chunks}.")
    if not np.isfinite(gram).all():
        raise FloatingPointError("A probe gradient is not finite (NaN or infinite).")

    pairs = np.triu_indices(count, 1)
    products = gram.mean(axis=(1, 3))  # [T, T] between mean gradients
    squares = _squared_norms(gram)
    counts = (squares[pairs[0]] > 0) & (squares[pairs[1]] > 0)

    cosine = np.where(counts, _cosines(products, squares)[pairs], np.nan)
    raw = _cosines(products, products.diagonal())[pairs]
    error = np.where(counts, _jackknife_errors(gram)[pairs], np.nan)
    norms = np.sqrt(squares.clip(min=_FLOOR))
    scales = norms[:, None] * norms
    similarity = 2 * scales / (norms[:, None] ** 2 + norms**2)
    standard_error = _mean(error[counts])

    cosines, errors = np.eye(count), np.zeros((count, count))
    for square, values in ((cosines, cosine), (errors, error)):
        square[pairs] = values
        square.T[pairs] = values
    return ConflictEstimate(
        score=_mean((_cross_fitted_opposition(gram) / scales)[pairs][counts]),
        score_raw=float(np.maximum(0, -raw).mean()),
        mean_cosine=_mean(cosine[counts]),
        rate=_mean(cosine[counts] < -ONE_SIDED * error[counts]),
        rate_raw=float((raw < 0).mean()),
        magnitude_similarity=_mean(similarity[pairs][counts]),
        standard_error=standard_error,
        unresolved=not standard_error <= UNRESOLVED,
        cosines=cosines,
        errors=errors,
        squares=squares,
    )


def residual_conflict(gram: Array, weights: Array, *, references: int = 0, squares: Array | None = None) -> float:
    """Mean over tasks of ``max(0, -cos(d, g_t))``: how far an applied update d goes against the tasks.

    Args:
        gram: ``[K + R, K + R]`` inner products of the gradients that d is made of, tasks first.
        weights: ``[K + R]``, of which d is the weighted sum.
        references: R, the last rows, which are no tasks.
        squares: ``[K]`` noise-corrected squared norms of the tasks' gradients. Given, d is held against the true
            gradients: without them a task's own noise, which is in d too, hides that d goes against it.

    Returns:
        A number in [0, 1]; 0 where d is zero. A task with a zero gradient adds 0; one whose gradient is lost in its
        noise does not count. NaN if none counts.
    """
    tasks = len(weights) - references
    noisy = gram.diagonal()[:tasks]
    own = noisy if squares is None else squares
    along = (gram @ weights)[:tasks] + weights[:tasks] * (own - noisy)
    scales = np.sqrt(own.clip(min=0) * max(float(weights @ gram @ weights), 0.0))
    against = np.maximum(0, -along / scales.clip(min=_FLOOR)).clip(max=1)
    return _mean(against if squares is None else against[own > 0])


def _squared_norms(gram: Array) -> Array:
    """``[T]`` unbiased squared norms: the mean product of different chunks of one task. May be negative."""
    chunks = gram.shape[1]
    own = np.einsum("tstr->tsr", gram)
    return np.asarray((own.sum(axis=(1, 2)) - np.einsum("tss->t", own)) / (chunks * (chunks - 1)))


def _cosines(products: Array, squares: Array) -> Array:
    """``[T, T]``, clipped to [-1, 1]; where a squared norm vanishes, their limit, which is the product's sign."""
    norms = np.sqrt(squares.clip(min=_FLOOR))
    return np.asarray((products / norms[:, None] / norms).clip(-1, 1))


def _jackknife_errors(gram: Array) -> Array:
    """``[T, T]`` standard errors of the cosines, from leaving out one chunk of every task at a time."""
    chunks = gram.shape[1]
    replicates = []
    for left_out in range(chunks):
        kept = np.delete(np.delete(gram, left_out, axis=1), left_out, axis=3)
        # With two chunks a single one is left, and its norm cannot be corrected.
        squares = _squared_norms(kept) if chunks > 2 else np.einsum("tsts->t", kept)
        replicates.append(_cosines(kept.mean(axis=(1, 3)), squares))
    return np.asarray(np.sqrt((chunks - 1) * np.var(replicates, axis=0)))


def _cross_fitted_opposition(gram: Array) -> Array:
    """``[T, T]`` estimates of ``max(0, -<g_t, g_u>)`` that noise alone leaves at 0."""
    halves = _half_splits(gram.shape[1])  # [splits, S]
    one = np.einsum("hs,tsur,hr->htu", halves, gram, halves)
    other = np.einsum("hs,tsur,hr->htu", 1 - halves, gram, 1 - halves)
    opposition = np.where(one < 0, -other, 0) + np.where(other < 0, -one, 0)
    return np.asarray(opposition.mean(axis=0) / 2 / (gram.shape[1] / 2) ** 2)


def _half_splits(chunks: int) -> Array:
    """``[<= 4, S]`` indicators of half of the chunks by Walsh functions: any two cut each other evenly if S = 2^n."""
    indices = np.arange(chunks)
    signs = [np.bitwise_count(indices & mask) % 2 for mask in range(1, 2 * chunks)]
    balanced = np.unique([sign for sign in signs if 2 * sign.sum() == chunks], axis=0)
    return balanced[:4].astype(np.float64)


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    """The mean; NaN, without a warning, where there is nothing to average."""
    return float(values.mean()) if len(values) else float("nan")
