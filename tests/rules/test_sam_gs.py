"""SAM-GS: equalisation where norms are unlike, modulation where they are alike."""

import numpy as np
import pytest

from snibench.rules.sam_gs import SAMGS, SAMGSSettings


def test_unlike_gradients_are_brought_to_the_mean_norm(step):
    gradients = np.array([[3.0, 0, 0], [0, 1.0, 0], [0, 0, 2.0]])  # mean norm 2
    weights = SAMGS().weights(step(gradients)).numpy()
    assert weights[:, None] * gradients * 3 == pytest.approx(2 * np.eye(3))


def test_similarity_is_two_norms_product_over_their_squares(step):
    gradients = np.array([[1.0, 0.0], [0.0, 2.0]])  # 2 * 1 * 2 / (1 + 4) = 0.8
    mean = [1 / 3, 2 / 3]  # first visit: the averages are the norms
    assert SAMGS(SAMGSSettings(gamma=0.79)).weights(step(gradients)).tolist() == pytest.approx(mean)
    equal = [0.75, 0.375]  # 1.5 / (2 n)
    assert SAMGS(SAMGSSettings(gamma=0.81)).weights(step(gradients)).tolist() == pytest.approx(equal)


def test_alike_gradients_are_weighed_by_the_average_of_their_norms(step):
    rule = SAMGS(SAMGSSettings(gamma=0.5, beta=0.9))
    for first, second in [(1.0, 2.0), (2.0, 2.0)]:
        weights = rule.weights(step([[first, 0.0], [0.0, second]], tasks="ab")).tolist()
    # m_a = (0.9 * 0.1 * 1 + 0.1 * 2) / (1 - 0.81) and m_b = 2.
    average = 0.29 / 0.19
    assert weights == pytest.approx([average / (average + 2), 2 / (average + 2)])


def test_an_absent_task_keeps_its_average(step):
    rule = SAMGS(SAMGSSettings(gamma=0.0))
    rule.weights(step([[1.0, 0.0], [0.0, 2.0]], tasks="ab"))
    rule.weights(step([[1.0, 0.0], [0.0, 5.0]], tasks="ac"))
    assert rule.state()["moments"]["b"] == [pytest.approx(0.2), 1]


@pytest.mark.parametrize("seed", range(3))
def test_gradients_of_one_norm_are_averaged(step, seed):
    gradients = np.random.default_rng(seed).standard_normal((4, 6))
    gradients /= np.linalg.norm(gradients, axis=1, keepdims=True)
    assert SAMGS().weights(step(gradients)).tolist() == pytest.approx([0.25] * 4)
