"""The two-task toy problem of CAGrad: where the mean gets stuck, the rules that mind conflict go on.

Source: Liu et al., Conflict-Averse Gradient Descent (NeurIPS 2021), appendix B.
"""

import numpy as np
import pytest

from snibench.base.registry import RULES

HARD_STARTS = {"left": (-8.5, 7.5), "right": (9.0, 9.0)}
# Five times the source's 1e-3, and a fifth of its steps; from 1e-2 on the mean escapes as well.
RATE = 5e-3


def toy(points):
    """Losses ``[S, 2]`` of both tasks at ``[S, 2]`` points, and their gradients ``[S, 2, 2]`` (task, coordinate)."""
    x, y = points[:, :1], points[:, 1:]
    wave, half = np.tanh(y), np.tanh(y / 2)
    upper, lower = np.maximum(half, 0), np.maximum(-half, 0)
    slope = (1 - half**2) / 2
    inner = np.hstack([(-x - 7) / 2 + wave, (7 - x) / 2 - wave])
    floored = np.maximum(np.abs(inner), 5e-6)
    log = np.log(floored) + 6
    bowl = ((x + np.array([-7.0, 7.0])) ** 2 + (y + 8) ** 2 / 10) / 10 - 20
    log_slope = np.where(np.abs(inner) > 5e-6, 1 / inner, 0)
    along_x = upper * log_slope * -0.5 + lower * (x + np.array([-7.0, 7.0])) / 5
    along_y = np.where(half > 0, slope, 0) * log + upper * log_slope * np.array([1, -1]) * (1 - wave**2)
    along_y = along_y - np.where(half < 0, slope, 0) * bowl + lower * (y + 8) / 50
    return upper * log + lower * bowl, np.stack([along_x, along_y], axis=-1)


def on_the_pareto_set(point):
    return abs(point[0]) <= 7 and -8.435 <= point[1] <= -8.355


def descend(rule, start, step, steps):
    """Where Adam gets from ``start``: on the Pareto set, or wherever it is after ``steps``."""
    point, first, second = np.array(start), np.zeros(2), np.zeros(2)
    for index in range(1, steps + 1):
        losses, gradients = toy(point[None])
        update = rule.weights(step(gradients[0], losses=losses[0], seed=index)).numpy() @ gradients[0]
        first, second = 0.9 * first + 0.1 * update, 0.999 * second + 0.001 * update**2
        point -= RATE * first / (1 - 0.9**index) / (np.sqrt(second / (1 - 0.999**index)) + 1e-8)
        if on_the_pareto_set(point):
            break
    return point


def test_the_gradients_are_those_of_finite_differences():
    points = np.random.default_rng(0).uniform(-9, 9, (50, 2))
    _, gradients = toy(points)
    for axis in range(2):
        shift = 1e-6 * np.eye(2)[axis]
        numeric = (toy(points + shift)[0] - toy(points - shift)[0]) / 2e-6
        assert gradients[:, :, axis] == pytest.approx(numeric, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("start", "x"), [("left", -5), ("right", 5)])
def test_the_mean_is_stuck_where_the_paper_says(start, x, step):
    point = descend(RULES.get("mean")(), HARD_STARTS[start], step, 7_000)
    assert point[0] == pytest.approx(x, abs=0.2)
    assert point[1] > 1


@pytest.mark.slow
@pytest.mark.parametrize("start", HARD_STARTS)
@pytest.mark.parametrize(
    ("name", "settings", "steps"),
    [
        ("nash-mtl", {}, 10_000),
        ("mgda", {}, 10_000),
        ("imtl-g", {}, 10_000),
        ("pcgrad", {}, 20_000),
        ("upgrad", {}, 20_000),
        ("cagrad", {"c": 0.5}, 30_000),
    ],
)
def test_a_rule_that_minds_conflict_arrives_at_the_pareto_set(name, settings, steps, start, step):
    kind = RULES.get(name)
    point = descend(kind(kind.Settings(**settings)), HARD_STARTS[start], step, steps)
    assert on_the_pareto_set(point), point
