from __future__ import annotations

import numpy as np
import pytest

from snibench.stats.streams import excess_sd, iqr


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_excess_spread_is_what_noise_does_not_explain() -> None:
    p = np.full((4000, 40), 0.7)
    accuracies = rng(0).binomial(1, p).mean(axis=1)
    noise = np.full(4000, 0.7 * 0.3 / 40)
    assert excess_sd(accuracies, noise) < 0.02
    assert excess_sd(accuracies + rng(1).normal(0, 0.1, 4000), noise) == pytest.approx(0.1, abs=0.01)


def test_a_negative_excess_variance_is_clipped() -> None:
    assert excess_sd(np.full(5, 0.5), np.full(5, 0.01)) == 0.0


def test_40_answers_at_70_percent_spread_by_noise_over_an_iqr_of_9_5_points() -> None:
    accuracies = rng(0).binomial(40, 0.7, 100_000) / 40
    assert float(iqr(accuracies)) == pytest.approx(0.095, abs=0.03)
