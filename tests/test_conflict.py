"""The conflict estimator against gradients whose true conflict is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snibench.conflict import estimate_conflict, residual_conflict


def chunk_gram(true: np.ndarray, noise: float, chunks: int, rng: np.random.Generator) -> np.ndarray:
    """``[T, S, T, S]`` of chunk gradients: the true ``[T, P]`` plus noise of that length per chunk."""
    tasks, size = true.shape
    seen = true[:, None] + noise * rng.standard_normal((tasks, chunks, size)) / np.sqrt(size)
    flat = seen.reshape(tasks * chunks, size)
    return (flat @ flat.T).reshape(tasks, chunks, tasks, chunks)


def orthogonal(tasks: int, size: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((size, tasks)))[0].T


def simulate(true: np.ndarray, noise: float, runs: int = 200):
    rng = np.random.default_rng(0)
    return [estimate_conflict(chunk_gram(true, noise, 8, rng)) for _ in range(runs)]


def test_without_noise_the_score_is_the_plain_formula() -> None:
    true = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -2.0]])
    estimate = estimate_conflict(chunk_gram(true, 0.0, 8, np.random.default_rng(0)))
    half = 1 / np.sqrt(2)
    np.testing.assert_allclose(estimate.cosines, [[1, -half, 0], [-half, 1, -half], [0, -half, 1]], atol=1e-12)
    assert estimate.score == pytest.approx(2 * half / 3)
    assert estimate.score_raw == pytest.approx(2 * half / 3)
    assert estimate.mean_cosine == pytest.approx(-2 * half / 3)
    assert estimate.standard_error == pytest.approx(0, abs=1e-6)
    assert not estimate.unresolved


@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_where_there_is_no_conflict_the_score_is_zero_and_the_raw_score_is_not(noise: float) -> None:
    rng = np.random.default_rng(1)
    estimates = simulate(orthogonal(8, 60, rng), noise)
    assert np.mean([one.score for one in estimates]) == pytest.approx(0, abs=0.01)
    assert np.mean([one.score_raw for one in estimates]) > 0.015


def test_where_there_is_conflict_the_score_comes_closer_than_the_raw_score() -> None:
    rng = np.random.default_rng(2)
    base = orthogonal(8, 200, rng)
    # Two camps that oppose each other by a cosine of -0.3 in 16 of 28 pairs: true score 0.3 * 16 / 28 = 0.171.
    camp = np.repeat([1.0, -1.0], 4)[:, None]
    common = orthogonal(1, 200, rng)
    common -= common @ base.T @ base
    common /= np.linalg.norm(common)
    true = np.sqrt(0.7) * base + np.sqrt(0.3) * camp * common
    cosines = true @ true.T
    expected = np.maximum(0, -cosines[np.triu_indices(8, 1)]).mean()
    assert expected == pytest.approx(0.3 * 16 / 28, rel=1e-6)
    estimates = simulate(true, 3.0)
    score = np.mean([one.score for one in estimates])
    raw = np.mean([one.score_raw for one in estimates])
    assert abs(score - expected) < 0.03
    assert abs(raw - expected) > 2 * abs(score - expected)


def test_the_jackknife_error_is_the_spread_of_the_cosines() -> None:
    estimates = simulate(orthogonal(4, 60, np.random.default_rng(3)), 1.0, runs=400)
    spread = np.std([one.cosines[0, 1] for one in estimates])
    assert np.mean([one.standard_error for one in estimates]) == pytest.approx(spread, rel=0.25)


def test_few_pairs_without_conflict_count_as_in_conflict() -> None:
    estimates = simulate(orthogonal(8, 60, np.random.default_rng(4)), 2.0)
    assert np.mean([one.rate for one in estimates]) < 0.1
    assert np.mean([one.rate_raw for one in estimates]) > 0.4


def test_pure_noise_is_unresolved() -> None:
    assert all(one.unresolved for one in simulate(np.zeros((4, 500)), 1.0, runs=5))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_scale_and_order_of_tasks_do_not_matter(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    gram = chunk_gram(rng.standard_normal((4, 30)), 1.0, 8, rng)
    order = rng.permutation(4)
    before = estimate_conflict(gram)
    after = estimate_conflict(factor * gram[order][:, :, order])
    np.testing.assert_allclose(after.cosines, before.cosines[np.ix_(order, order)], rtol=1e-9)
    for field in ("score", "score_raw", "mean_cosine", "rate", "magnitude_similarity", "standard_error"):
        assert getattr(after, field) == pytest.approx(getattr(before, field))


def test_residual_conflict_by_hand() -> None:
    vectors = np.array([[1.0, 0.0], [-1.0, 1.0]])
    gram = vectors @ vectors.T
    # d = g1 + 0.2 g2 = (0.8, 0.2): cos with g2 = -0.6 / (|d| sqrt 2)
    expected = 0.6 / (np.hypot(0.8, 0.2) * np.sqrt(2)) / 2
    assert residual_conflict(gram, np.array([1.0, 0.2])) == pytest.approx(expected)
    assert residual_conflict(gram, np.zeros(2)) == 0


def test_it_refuses_other_shapes_and_numbers_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="T >= 2"):
        estimate_conflict(np.zeros((1, 8, 1, 8)))
    with pytest.raises(ValueError, match="even S"):
        estimate_conflict(np.zeros((2, 5, 2, 5)))
    with pytest.raises(FloatingPointError, match="not finite"):
        estimate_conflict(np.full((2, 8, 2, 8), np.nan))
