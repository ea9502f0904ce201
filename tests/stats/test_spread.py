from __future__ import annotations

import numpy as np
import pytest

from snibench.stats.spread import expected_range, independent_spread, spread_null


def test_a_format_that_matters_stands_out_from_the_null() -> None:
    generator = np.random.default_rng(0)
    scores = (generator.random((5, 100)) < np.array([0.3, 0.7, 0.7, 0.7, 0.7])[:, None]).astype(float)
    spread = spread_null(scores, rng=np.random.default_rng(1))
    assert spread.observed > spread.null_high > spread.null
    assert spread.p == pytest.approx(1 / 1001)


def test_formats_that_do_not_matter_are_inside_the_null() -> None:
    generator = np.random.default_rng(0)
    p = [
        spread_null((generator.random((4, 60)) < generator.random(60)).astype(float), rng=generator, draws=99).p
        for _ in range(200)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.09


def test_the_null_keeps_how_hard_each_instance_is() -> None:
    # Every format gets the same instances right: no permutation within an instance can change anything.
    scores = np.tile(np.r_[np.ones(30), np.zeros(30)], (6, 1))
    spread = spread_null(scores, rng=np.random.default_rng(0))
    assert (spread.observed, spread.null, spread.null_high, spread.p) == (0.0, 0.0, 0.0, 1.0)


def test_the_null_of_coins_is_the_range_of_independent_means() -> None:
    scores = (np.random.default_rng(0).random((10, 2000)) < 0.7).astype(float)
    spread = spread_null(scores, rng=np.random.default_rng(1))
    assert spread.null == pytest.approx(independent_spread(0.7, 2000, 10), rel=0.05)


@pytest.mark.parametrize(("n", "d2"), [(2, 1.128), (3, 1.693), (5, 2.326), (10, 3.078)])
def test_the_expected_range_is_the_d2_of_control_charts(n: int, d2: float) -> None:
    assert expected_range(n) == pytest.approx(d2, abs=5e-4)


def test_ten_formats_at_70_percent_and_100_instances_spread_14_points_by_noise() -> None:
    assert independent_spread(0.7, 100, 10) == pytest.approx(0.14, abs=0.005)


def test_the_order_of_formats_does_not_change_the_observed_spread() -> None:
    scores = np.random.default_rng(0).random((4, 20))
    first, second = (spread_null(s, rng=np.random.default_rng(0)) for s in (scores, scores[::-1]))
    assert first.observed == pytest.approx(second.observed)


@pytest.mark.parametrize("shape", [(1, 5), (3, 0), (4,)])
def test_a_spread_needs_two_formats_and_an_instance(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 2 formats"):
        spread_null(np.zeros(shape), rng=np.random.default_rng(0))
