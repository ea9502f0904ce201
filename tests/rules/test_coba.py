"""CoBa: its formulas, written out."""

import numpy as np
import pytest

from snibench.rules.coba import CoBa, CoBaSettings


def softmax(values):
    shifted = np.exp(np.array(values) - np.max(values))
    return shifted / shifted.sum()


def written_out(losses, window, tau, warmup=3):
    """Weights after all steps of ``losses [S, K]``, every task in every step."""
    ratios = losses / losses[0]

    def slopes(series):
        found = []
        for end in range(warmup, len(series) + 1):
            values = series[max(0, end - window) : end]
            found.append(np.polyfit(range(len(values)), values, 1)[0])
        return np.array(found)[-window:]

    by_task = np.array([slopes(series) for series in ratios.T])  # [K, N]
    worst = slopes(ratios.max(1))
    count, steps = by_task.shape
    relative = softmax(count * by_task[:, -1] / np.abs(by_task[:, -1]).sum())
    absolute = softmax(-steps * by_task[:, -1] / np.abs(by_task).sum(1))
    factor = min(1.0, steps * softmax(-tau * steps * worst / np.abs(worst).sum())[-1])
    weights = softmax(count * (factor * relative + (1 - factor) * absolute))
    least = 1 / (2 * count)
    return weights * (1 - least * count) + least if (weights < least).any() else weights


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("window", "tau"), [(20, 5.0), (4, 1.0)])
def test_weights_are_the_published_formula(step, seed, window, tau):
    rng = np.random.default_rng(seed)
    losses = np.exp(-np.outer(np.arange(9), rng.uniform(-0.05, 0.3, 4))) * rng.uniform(0.9, 1.1, (9, 4))
    rule = CoBa(CoBaSettings(window=window, tau=tau))
    for row in losses:
        weights = rule.weights(step(np.eye(4), losses=row)).numpy()
    assert weights == pytest.approx(written_out(losses, window, tau), abs=1e-9)
    assert weights.sum() == pytest.approx(1)


def test_weights_are_equal_until_every_task_was_visited_often_enough(step):
    rule = CoBa(CoBaSettings(warmup=3))
    found = [rule.weights(step(np.eye(2), tasks="ab", losses=[1.0 - 0.1 * n, 1.0])).tolist() for n in range(4)]
    assert found[:2] == [[0.5, 0.5]] * 2
    assert found[2][1] > found[2][0]  # b stands still
    assert rule.weights(step(np.eye(2), tasks="ac", losses=[0.5, 1.0])).tolist() == [0.5, 0.5]


def test_a_slow_task_gains_while_all_converge_and_a_diverging_one_loses_once_the_worst_rises(step):
    rule = CoBa(CoBaSettings(warmup=2))
    for n in range(6):
        falling = rule.weights(step(np.eye(2), tasks="ab", losses=[2.0 - 0.2 * n, 2.0 - 0.05 * n])).tolist()
    assert falling[1] > falling[0]
    for n in range(8):
        rising = rule.weights(step(np.eye(2), tasks="ab", losses=[1.0 - 0.05 * n, 1.75 + 0.3 * n])).tolist()
    assert rising[1] < rising[0]


def test_the_size_of_a_loss_does_not_count(step):
    one, other = CoBa(), CoBa()
    for n in range(6):
        losses = np.array([1.0 - 0.1 * n, 1.0 - 0.05 * n])
        expected = one.weights(step(np.eye(2), losses=losses))
        found = other.weights(step(np.eye(2), losses=losses * [100.0, 0.01]))
    assert found.tolist() == pytest.approx(expected.tolist())


def test_losses_that_stand_still_are_weighed_equally(step):
    rule = CoBa()
    for _ in range(5):
        weights = rule.weights(step(np.eye(3), losses=[0.5, 2.0, 1.0]))
    assert weights.tolist() == pytest.approx([1 / 3] * 3)
