"""GradDrop: signs by coordinate, in proportion to their share."""

import numpy as np
import pytest
import torch

from snibench.contracts import Needs
from snibench.engine.gradients import TaskGradients
from snibench.rules.graddrop import GradDrop, GradDropSettings


def combined(rows, leak=0.0, seed=0):
    rows = torch.tensor(rows, dtype=torch.float64)
    gradients = TaskGradients.asked_for(
        GradDrop.needs,
        tuple(f"t{index}" for index in range(len(rows))),
        generator=torch.Generator().manual_seed(seed),
        rows=lambda: iter([("a", rows)]),
    )
    return GradDrop(GradDropSettings(leak)).combine(gradients)["a"].numpy()


def test_it_asks_for_no_inner_products():
    assert GradDrop.needs == Needs.ROWS | Needs.GENERATOR


def test_where_all_signs_agree_it_is_the_mean():
    rows = np.abs(np.random.default_rng(0).standard_normal((4, 50))) * np.where(np.arange(50) % 2, 1, -1)
    assert combined(rows) == pytest.approx(rows.mean(0))


@pytest.mark.parametrize("seed", range(3))
def test_a_full_leak_is_the_mean(seed):
    rows = np.random.default_rng(seed).standard_normal((3, 40))
    assert combined(rows, leak=1.0) == pytest.approx(rows.mean(0))


def test_positive_gradients_pass_as_often_as_their_purity_says():
    rows = np.repeat([[3.0], [1.0], [-1.0]], 20_000, axis=1)  # purity (1 + 3/5) / 2 = 0.8
    found = combined(rows)
    assert set(found.round(9)) == {round(4 / 3, 9), round(-1 / 3, 9)}
    assert (found > 0).mean() == pytest.approx(0.8, abs=0.015)
    leaked = combined(rows, leak=0.25)
    assert sorted(set(leaked.round(9))) == pytest.approx([(0.25 * 4 - 1) / 3, (4 - 0.25) / 3])


def test_a_coordinate_is_a_sign_s_mean_as_the_algorithm_says():
    rows = np.random.default_rng(1).standard_normal((5, 200))
    drawn = torch.rand(200, generator=torch.Generator().manual_seed(7), dtype=torch.float32).double().numpy()
    expected = np.zeros(200)
    for place, column in enumerate(rows.T):
        purity = 0.5 * (1 + column.sum() / np.abs(column).sum())
        expected[place] = sum(g for g in column if (g > 0 if purity > drawn[place] else g < 0)) / 5
    assert combined(rows, seed=7) == pytest.approx(expected)


def test_a_coordinate_without_gradient_stays():
    assert combined([[0.0, 1.0], [0.0, -1.0]])[0] == 0
