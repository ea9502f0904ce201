"""ConicGrad solves the problem that its source states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from snibench.rules.conicgrad import ConicGrad, ConicGradSettings


def update(step, gradients, c):
    return ConicGrad(ConicGradSettings(c)).weights(step(gradients)).numpy() @ gradients


def conflicting(count, size, spread, seed):
    rng = np.random.default_rng([seed, count, size])
    gradients = rng.standard_normal((count, size))
    gradients -= 0.8 * gradients.mean(axis=0)
    return gradients * 10 ** rng.uniform(-spread, spread, (count, 1))


def test_two_orthogonal_gradients_by_hand(step):
    gradients = np.array([[4.0, 0.0], [0.0, 2.0]])
    # g_0 = (2, 1). Along (1, 2), at a cosine of 0.8, both have a product of 4 with the update.
    assert update(step, gradients, 0.8) == pytest.approx(np.array([1.0, 2.0]), abs=1e-6)
    assert update(step, gradients, 0.5) == pytest.approx(np.array([1.0, 2.0]), abs=1e-6)
    # A narrower cone ends before it: its edge, turned from g_0 towards (-1, 2).
    edge = np.sqrt(5) * (0.9 * np.array([2, 1]) + np.sqrt(1 - 0.81) * np.array([-1, 2])) / np.sqrt(5)
    assert update(step, gradients, 0.9) == pytest.approx(edge, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(2, 6), size=st.integers(2, 9), c=st.floats(0.05, 1), spread=st.floats(0, 1), seed=st.integers(0)
)
def test_the_update_is_in_the_cone_and_as_long_as_the_mean(step, count, size, c, spread, seed):
    gradients = conflicting(count, size, spread, seed)
    mean, found = gradients.mean(0), update(step, gradients, c)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(mean), rel=1e-5)
    assert found @ mean >= (c - 1e-5) * np.linalg.norm(mean) * np.linalg.norm(found)


@pytest.mark.parametrize("c", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("shape", [(2, 10), (3, 10), (6, 20), (6, 4)])
@pytest.mark.parametrize("spread", [0, 1])
def test_no_direction_in_the_cone_does_better_for_the_worst_task(step, shape, spread, c):
    gradients = conflicting(*shape, spread, 0)
    mean, found = gradients.mean(0), update(step, gradients, c)
    axis = mean / np.linalg.norm(mean)
    across = gradients - np.outer(gradients @ axis, axis)
    slope = np.sqrt(1 - c**2) / c
    start = (gradients @ axis).min()
    best = minimize(
        lambda x: -x[-1],
        np.append(np.zeros(shape[1]), start),
        jac=lambda x: np.append(np.zeros(shape[1]), -1.0),
        constraints=[
            {"type": "ineq", "fun": lambda x: gradients @ axis + across @ x[:-1] - x[-1]},
            {"type": "ineq", "fun": lambda x: slope**2 - x[:-1] @ x[:-1]},
        ],
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-12},
    )
    worst = (gradients @ found).min() / (found @ axis)
    assert worst == pytest.approx(best.x[-1], abs=1e-5 * np.linalg.norm(gradients, axis=1).max())


@pytest.mark.parametrize("seed", range(3))
def test_a_cone_without_width_is_the_mean(step, seed):
    gradients = conflicting(5, 8, 1, seed)
    assert update(step, gradients, 1.0) == pytest.approx(gradients.mean(0))
    narrow = update(step, gradients, 1 - 1e-12)
    assert narrow == pytest.approx(gradients.mean(0), abs=1e-4 * np.linalg.norm(gradients.mean(0)))


def test_gradients_of_one_norm_that_are_orthogonal_stay_the_mean(step):
    gradients = np.eye(4)
    assert update(step, gradients, 0.2) == pytest.approx(gradients.mean(0), abs=1e-6)
