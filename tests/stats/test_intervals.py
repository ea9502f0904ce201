from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from snibench.stats.arrays import Floats
from snibench.stats.intervals import difference_interval, mean_interval, proportion_interval
from snibench.stats.resampling import (
    paired_bootstrap,
)

hundredths = st.integers(0, 100).map(lambda n: n / 100)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_with_one_seed_the_interval_is_the_t_interval_over_tasks(maize: Floats) -> None:
    interval = mean_interval(maize)
    oracle = scipy_stats.ttest_1samp(maize, 0.0)
    expected = oracle.confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert (interval.df, interval.p) == (14, pytest.approx(oracle.pvalue))
    assert interval.p == pytest.approx(0.0497, abs=5e-5)  # Fisher's t of 2.148
    assert interval.kind == "t, tasks only"


def test_the_interval_over_tasks_and_seeds_worked_out_by_hand() -> None:
    scores = np.array([[0.2, 0.4], [0.4, 0.8]])
    # Seed means of tasks .3, .6: variance .045 over 2 tasks; grand means .3, .6: variance .045 over 2 seeds.
    interval = mean_interval(scores)
    assert interval.se_task**2 == pytest.approx(0.045 / 2)
    assert interval.se_seed**2 == pytest.approx(0.045 / 2)
    assert interval.df == pytest.approx(2.0)  # (2v)^2 / (v^2/1 + v^2/1)
    assert interval.high - interval.value == pytest.approx(4.302653 * np.sqrt(0.045), rel=1e-6)
    assert interval.kind == "t, tasks+seeds"


def test_satterthwaite_of_two_methods_without_task_spread_is_welchs_test_over_seeds() -> None:
    ours, theirs = np.array([0.61, 0.64, 0.66]), np.array([0.50, 0.58, 0.59, 0.61])
    interval = difference_interval(np.tile(ours[:, None], 7), np.tile(theirs[:, None], 7))
    oracle = scipy_stats.ttest_ind(ours, theirs, equal_var=False)
    assert (interval.p, interval.df) == (pytest.approx(oracle.pvalue), pytest.approx(oracle.df))


def test_one_seed_each_is_the_paired_t_test() -> None:
    ours, theirs = rng(0).random(12), rng(1).random(12)
    interval = difference_interval(ours, theirs)
    assert interval.p == pytest.approx(scipy_stats.ttest_rel(ours, theirs).pvalue)


def test_a_deterministic_method_adds_no_seed_noise() -> None:
    ours, floor = rng(0).random((3, 10)), rng(1).random(10)
    assert difference_interval(ours, floor).se_seed == pytest.approx(mean_interval(ours).se_seed)
    assert difference_interval(ours, floor).kind == "t, tasks+seeds"


def test_clustered_errors_agree_with_statsmodels() -> None:
    regression = pytest.importorskip("statsmodels.api")
    values, sources = rng(0).random(20), np.repeat(np.arange(6), [1, 2, 3, 4, 5, 5])
    fit = regression.OLS(values, np.ones(20)).fit(
        cov_type="cluster", cov_kwds={"groups": sources, "use_correction": True}, use_t=True
    )
    interval = mean_interval(values, clusters=[f"s{number}" for number in sources])
    # statsmodels' CR1 has the further factor (T-1)/(T-k), which is 1 for a mean.
    assert interval.se == pytest.approx(float(fit.bse[0]))
    assert interval.df == 5


def test_sources_of_one_task_each_change_nothing() -> None:
    scores = rng(0).random((3, 8))
    with_sources, without = mean_interval(scores, clusters=list("abcdefgh")), mean_interval(scores)
    assert (with_sources.low, with_sources.high) == pytest.approx((without.low, without.high))


@given(arrays(float, (3, 6), elements=hundredths), arrays(float, (2, 6), elements=hundredths))
def test_swapping_the_methods_mirrors_the_t_interval(ours: Floats, theirs: Floats) -> None:
    first, second = difference_interval(ours, theirs), difference_interval(theirs, ours)
    assert (first.low, first.value, first.high) == pytest.approx((-second.high, -second.value, -second.low))
    assert first.p == pytest.approx(second.p)


@given(arrays(float, (2, 5), elements=hundredths), st.permutations(range(5)), st.permutations(range(2)))
def test_the_order_of_tasks_and_seeds_does_not_matter(scores: Floats, tasks: list[int], seeds: list[int]) -> None:
    first, second = mean_interval(scores), mean_interval(scores[np.ix_(seeds, tasks)])
    assert (first.low, first.high, first.df) == pytest.approx((second.low, second.high, second.df))


@given(arrays(float, (3, 6), elements=hundredths), st.floats(0.5, 0.98))
def test_a_higher_level_gives_an_interval_that_contains_the_lower_one(scores: Floats, level: float) -> None:
    narrow, wide = mean_interval(scores, level=level), mean_interval(scores, level=0.99)
    assert wide.low <= narrow.low <= narrow.value <= narrow.high <= wide.high


def test_one_task_or_one_source_has_no_interval() -> None:
    for interval in (mean_interval(np.array([[0.5], [0.6]])), mean_interval(np.array([0.5, 0.6]), clusters=["a", "a"])):
        assert interval.value == pytest.approx(0.55)
        assert np.isnan([interval.low, interval.high, interval.p, interval.df]).all()


def test_no_difference_at_all_is_an_interval_of_zero_width_and_p_1() -> None:
    interval = difference_interval(np.array([[0.1, 0.7]]), np.array([[0.1, 0.7]]))
    assert (interval.low, interval.high, interval.p) == (0.0, 0.0, 1.0)


def test_equal_means_in_another_order_of_seeds_are_no_difference() -> None:
    scores = rng(0).random((5, 30))
    assert difference_interval(scores, scores[::-1]).value == 0.0


def test_it_refuses_scores_of_different_tasks() -> None:
    with pytest.raises(ValueError, match=r"ours has shape \(1, 2\) but theirs has \(1, 3\)"):
        difference_interval(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="the same tasks in both"):
        paired_bootstrap(np.zeros((1, 2)), np.zeros((1, 3)), rng=rng())


def test_it_refuses_nan_a_wrong_level_and_sources_of_other_tasks() -> None:
    with pytest.raises(ValueError, match="not finite"):
        mean_interval(np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match=r"level must be inside \(0, 1\), but got 1.5"):
        mean_interval(np.array([0.1, 0.2]), level=1.5)
    with pytest.raises(ValueError, match="names 1 sources for 2 tasks"):
        mean_interval(np.array([0.1, 0.2]), clusters=["a"])
    with pytest.raises(ValueError, match="at least one of each"):
        mean_interval(np.zeros((2, 0)))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
)
def test_wilsons_interval_is_that_of_newcombe(successes: int, n: int, low: float, high: float) -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    interval = proportion_interval(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
