import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snibench.stats.conflict import estimate_conflict, residual_conflict

TASKS, CHUNKS = 6, 8


def chunk_gradients(rng, cosine, *, noise, size=400, norms=None, chunks=CHUNKS):
    """``[T, S, P]``: true unit gradients with one cosine between any two, plus noise of ``noise`` times their norm."""
    cosines = np.full((TASKS, TASKS), cosine) + (1 - cosine) * np.eye(TASKS)
    axes = np.linalg.qr(rng.standard_normal((size, TASKS)))[0].T
    truth = np.linalg.cholesky(cosines) @ axes
    noisy = truth[:, None] + noise / np.sqrt(size) * rng.standard_normal((TASKS, chunks, size))
    return noisy if norms is None else noisy * np.asarray(norms)[:, None, None]


def chunk_gram(gradients):
    return np.einsum("tsp,urp->tsur", gradients, gradients)


def simulate(cosine, *, noise, size=400, repeats=100):
    """Estimates of independent probes of the same kind."""
    rng = np.random.default_rng(0)
    return [estimate_conflict(chunk_gram(chunk_gradients(rng, cosine, noise=noise, size=size))) for _ in range(repeats)]


def average(estimates, name):
    return np.mean([getattr(estimate, name) for estimate in estimates])


# ---------------------------------------------------------------------- simulation with known true gradients


@pytest.mark.parametrize("noise", [1.0, 2.0, 4.0])
def test_without_conflict_the_score_is_zero_where_the_raw_one_is_not(noise):
    estimates = simulate(0.0, noise=noise, size=100)
    assert average(estimates, "score") == pytest.approx(0, abs=0.006)
    assert average(estimates, "score_raw") > 0.015
    assert average(estimates, "mean_cosine") == pytest.approx(0, abs=0.01)
    assert average(estimates, "rate_raw") == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("noise", [1.0, 2.0, 4.0])
def test_true_conflict_is_kept_where_the_raw_score_is_diluted(noise):
    estimates = simulate(-0.15, noise=noise)
    assert 0.10 <= average(estimates, "score") <= 0.155
    assert average(estimates, "score_raw") < average(estimates, "score") - 0.005
    assert average(estimates, "mean_cosine") == pytest.approx(-0.15, abs=0.01)


def test_where_only_some_pairs_conflict_the_score_comes_closer_than_the_raw_one():
    # Two camps that oppose each other by a cosine of -0.3 in 16 of 28 pairs.
    rng = np.random.default_rng(2)
    axes = np.linalg.qr(rng.standard_normal((200, 9)))[0].T
    truth = np.sqrt(0.7) * axes[:8] + np.sqrt(0.3) * np.repeat([1.0, -1.0], 4)[:, None] * axes[8]
    estimates = [
        estimate_conflict(chunk_gram(truth[:, None] + 3 / np.sqrt(200) * rng.standard_normal((8, CHUNKS, 200))))
        for _ in range(150)
    ]
    expected = 0.3 * 16 / 28
    miss = abs(average(estimates, "score") - expected)
    assert miss < 0.03
    assert abs(average(estimates, "score_raw") - expected) > 2 * miss


def test_without_noise_every_number_is_the_plain_one():
    estimate = estimate_conflict(chunk_gram(chunk_gradients(np.random.default_rng(0), -0.15, noise=0.0)))
    for name in ("score", "score_raw"):
        assert getattr(estimate, name) == pytest.approx(0.15)
    assert estimate.mean_cosine == pytest.approx(-0.15)
    assert (estimate.rate, estimate.rate_raw) == (1.0, 1.0)
    assert estimate.magnitude_similarity == pytest.approx(1)
    assert estimate.standard_error == pytest.approx(0, abs=1e-6)
    assert not estimate.unresolved
    assert estimate.cosines == pytest.approx(np.full((TASKS, TASKS), -0.15) + 1.15 * np.eye(TASKS))


def test_the_jackknife_error_is_the_spread_over_independent_probes():
    estimates = simulate(-0.15, noise=1.5, size=100, repeats=200)
    spread = np.std([estimate.cosines[0, 1] for estimate in estimates])
    assert average(estimates, "standard_error") == pytest.approx(spread, rel=0.2)


def test_the_rate_without_conflict_is_the_level_of_its_test():
    estimates = simulate(0.0, noise=2.0, repeats=150)
    assert 0.02 <= average(estimates, "rate") <= 0.09


def test_the_rate_finds_clear_conflict():
    assert average(simulate(-0.15, noise=1.0, repeats=30), "rate") > 0.95


def test_nothing_but_noise_is_unresolved():
    rng = np.random.default_rng(0)
    estimate = estimate_conflict(chunk_gram(rng.standard_normal((TASKS, CHUNKS, 200))))
    assert estimate.unresolved
    assert np.isfinite(estimate.score_raw)


def test_corrected_norms_tell_magnitudes_through_noise():
    rng = np.random.default_rng(0)
    norms = [1, 1, 1, 3, 3, 3]  # 2 * 3 / (1 + 9) for 9 of 15 pairs, else 1
    estimates = [
        estimate_conflict(chunk_gram(chunk_gradients(rng, 0.2, noise=1.0, norms=norms))).magnitude_similarity
        for _ in range(30)
    ]
    assert np.mean(estimates) == pytest.approx((9 * 0.6 + 6) / 15, abs=0.01)


def test_the_error_of_a_pair_stands_beside_its_cosine():
    estimates = simulate(-0.15, noise=1.5, size=100, repeats=100)
    errors = np.mean([estimate.errors for estimate in estimates], axis=0)
    spread = np.std([estimate.cosines for estimate in estimates], axis=0)
    pairs = np.triu_indices(TASKS, 1)
    assert errors[pairs] == pytest.approx(spread[pairs], rel=0.4)
    assert estimates[0].errors == pytest.approx(estimates[0].errors.T)
    assert estimates[0].standard_error == pytest.approx(estimates[0].errors[pairs].mean())


# ------------------------------------------------------------------------------------------------ properties


@st.composite
def some_gram(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(2, 5)), draw(st.sampled_from([2, 4, 6, 8])), draw(st.integers(1, 12))
    return chunk_gram(rng.standard_normal(shape) + draw(st.floats(0, 3)) * rng.standard_normal((shape[0], 1, shape[2])))


@settings(max_examples=60, deadline=None)
@given(gram=some_gram())
def test_shares_lie_between_0_and_1_and_cosines_between_minus_1_and_1(gram):
    estimate = estimate_conflict(gram)
    for name in ("score_raw", "rate", "rate_raw", "magnitude_similarity"):
        value = getattr(estimate, name)
        assert np.isnan(value) or 0 <= value <= 1
    assert (np.isnan(estimate.cosines) | (np.abs(estimate.cosines) <= 1)).all()
    assert estimate.cosines == pytest.approx(estimate.cosines.T, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(gram=some_gram(), scale=st.floats(1e-3, 1e3))
def test_the_size_of_all_gradients_does_not_matter(gram, scale):
    one, other = estimate_conflict(gram), estimate_conflict(scale**2 * gram)
    for name in ("score", "score_raw", "mean_cosine", "standard_error", "magnitude_similarity"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-6, abs=1e-9, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(gram=some_gram(), data=st.data())
def test_the_order_of_tasks_does_not_matter(gram, data):
    order = np.array(data.draw(st.permutations(range(len(gram)))))
    one, other = estimate_conflict(gram), estimate_conflict(gram[order][:, :, order])
    assert other.score == pytest.approx(one.score, rel=1e-6, abs=1e-9, nan_ok=True)
    assert other.cosines == pytest.approx(one.cosines[order][:, order], nan_ok=True)


def test_a_task_whose_gradient_is_lost_in_noise_counts_in_no_pair():
    gradients = chunk_gradients(np.random.default_rng(0), -0.15, noise=0.1)
    half = np.random.default_rng(1).standard_normal((CHUNKS // 2, gradients.shape[2]))
    gradients[0] = np.vstack([half, -half])  # the chunks of task 0 cancel
    estimate = estimate_conflict(chunk_gram(gradients))
    assert np.isnan(estimate.cosines[0, 1:]).all()
    assert np.isfinite(estimate.cosines[1:, 1:]).all()
    assert estimate.score == pytest.approx(0.15, abs=0.01)


@pytest.mark.filterwarnings("error")
def test_zero_gradients_leave_no_pair_and_no_warning():
    estimate = estimate_conflict(np.zeros((3, 8, 3, 8)))
    assert np.isnan([estimate.score, estimate.mean_cosine, estimate.rate, estimate.standard_error]).all()
    assert estimate.unresolved
    assert (estimate.score_raw, estimate.rate_raw) == (0, 0)


def test_it_refuses_a_gram_of_another_shape():
    with pytest.raises(ValueError, match=r"shape \[T, S, T, S\], but got \[2, 4, 2, 6\]"):
        estimate_conflict(np.zeros((2, 4, 2, 6)))
    with pytest.raises(ValueError, match="got T=1 and S=8"):
        estimate_conflict(np.zeros((1, 8, 1, 8)))
    with pytest.raises(ValueError, match="got T=3 and S=5"):
        estimate_conflict(np.zeros((3, 5, 3, 5)))


def test_it_refuses_gradients_that_are_not_finite():
    gram = np.ones((2, 2, 2, 2))
    gram[0, 0, 1, 1] = np.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        estimate_conflict(gram)


# ------------------------------------------------------------------------------------------ residual conflict


def test_residual_conflict_is_that_of_the_update_with_each_task():
    gradients = np.array([[1.0, 0.0], [-3.0, 4.0], [0.0, 2.0]])
    weights = np.array([1 / 3, 1 / 3, 1 / 3])
    update = gradients.mean(axis=0)  # (-2/3, 2): only the first task is opposed
    expected = -(update @ gradients[0]) / np.linalg.norm(update) / 3
    assert residual_conflict(gradients @ gradients.T, weights) == pytest.approx(expected)


def test_references_count_in_the_update_but_not_as_tasks():
    gradients = np.array([[1.0, 0.0], [0.0, 1.0], [-2.0, 0.0]])
    weights = np.array([0.5, 0.5, 1.0])  # the update is (-1.5, 0.5)
    expected = 1.5 / np.hypot(1.5, 0.5) / 2
    assert residual_conflict(gradients @ gradients.T, weights, references=1) == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_no_update_leaves_no_residual_conflict():
    gradients = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert residual_conflict(gradients @ gradients.T, np.array([0.5, 0.5])) == 0
    assert residual_conflict(np.zeros((2, 2)), np.array([0.5, 0.5])) == 0


def test_residual_conflict_with_the_true_gradients_is_found_through_the_noise_of_the_update():
    # The update goes against the first task; its own noise, which is in the update too, hides that.
    rng, truth = np.random.default_rng(0), np.array([[1.0, 0.0], [-2.0, 1.0]]) @ np.eye(2, 200)
    weights = np.array([0.5, 0.5])
    hidden, found, expected = [], [], []
    for _ in range(200):
        noisy = truth[:, None] + 0.2 * rng.standard_normal((2, CHUNKS, 200))  # [T, S, P]
        gram, estimate = noisy.mean(1) @ noisy.mean(1).T, estimate_conflict(chunk_gram(noisy))
        update = weights @ noisy.mean(1)
        cosines = truth @ update / np.linalg.norm(truth, axis=1) / np.linalg.norm(update)
        expected.append(np.maximum(0, -cosines).mean())
        hidden.append(residual_conflict(gram, weights))
        found.append(residual_conflict(gram, weights, squares=estimate.squares))
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.1)
    assert np.mean(hidden) < 0.8 * np.mean(expected)


def test_a_task_lost_in_its_noise_has_no_residual_conflict_to_count():
    gradients = np.array([[1.0, 0.0], [-3.0, 4.0], [0.0, 2.0]])
    gram, weights = gradients @ gradients.T, np.full(3, 1 / 3)
    plain = residual_conflict(gram, weights)
    assert residual_conflict(gram, weights, squares=np.array([1.0, 25.0, -0.1])) == pytest.approx(plain * 3 / 2)
    assert np.isnan(residual_conflict(gram, weights, squares=np.full(3, -1.0)))
