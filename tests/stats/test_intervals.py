from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from snibench.stats.arrays import Floats
from snibench.stats.intervals import difference_interval, gap_interval, mean_interval

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
    assert interval.basis == "t, tasks only"


def test_the_interval_over_tasks_and_seeds_worked_out_by_hand() -> None:
    scores = np.array([[0.2, 0.4, 0.3], [0.4, 0.8, 0.3]])
    # Seed means of tasks .3, .6, .3: variance .03 over 3 tasks. Grand means .3, .5: variance .02 over 2 seeds. What
    # is left of the cells is 0, -.1, .1 and 0, .1, -.1: .04 on 2 degrees of freedom, over 6 cells.
    interval = mean_interval(scores)
    assert interval.se_task**2 == pytest.approx(0.01)
    assert interval.se_seed**2 == pytest.approx(0.01)
    assert interval.se_cell**2 == pytest.approx(0.02 / 6)
    variance = 0.02 - 0.02 / 6
    assert interval.se**2 == pytest.approx(variance)
    assert interval.df == pytest.approx(variance**2 / (0.01**2 / 2 + 0.01**2 / 1 + (0.02 / 6) ** 2 / 2))
    assert interval.basis == "t, tasks+seeds"


def test_without_task_spread_it_is_students_test_over_seeds() -> None:
    ours, theirs = np.array([0.61, 0.64, 0.66]), np.array([0.50, 0.58, 0.59, 0.61])
    interval = difference_interval(np.tile(ours[:, None], 7), np.tile(theirs[:, None], 7))
    oracle = scipy_stats.ttest_ind(ours, theirs)
    assert (interval.p, interval.df) == (pytest.approx(oracle.pvalue), pytest.approx(oracle.df))


def test_one_seed_each_is_the_paired_t_test() -> None:
    ours, theirs = rng(0).random(12), rng(1).random(12)
    interval = difference_interval(ours, theirs)
    assert interval.p == pytest.approx(scipy_stats.ttest_rel(ours, theirs).pvalue)


def test_a_deterministic_method_adds_no_seed_noise() -> None:
    ours, floor = rng(0).random((3, 10)), rng(1).random(10)
    assert difference_interval(ours, floor).se_seed == pytest.approx(mean_interval(ours).se_seed)
    assert difference_interval(ours, floor).basis == "t, tasks+seeds"


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


def test_fewer_than_three_tasks_or_sources_have_no_interval() -> None:
    few = mean_interval(np.array([[0.5, 0.7], [0.6, 0.4]]))
    of_two_sources = mean_interval(np.array([0.5, 0.6, 0.55]), clusters=["a", "a", "b"])
    for interval in (few, of_two_sources):
        assert interval.value == pytest.approx(0.55)
        assert np.isnan([interval.low, interval.high, interval.p, interval.df]).all()
    assert mean_interval(np.array([0.5, 0.6, 0.7])).low < 0.6


def test_an_interval_ends_where_the_possible_range_does() -> None:
    scores = np.array([1.0, 1.0, 1.0, 0.2])
    assert mean_interval(scores).high > 1.0
    assert mean_interval(scores, bounds=(0.0, 1.0)).high == 1.0
    assert mean_interval(scores, bounds=(0.0, 1.0)).low == mean_interval(scores).low


def test_no_difference_at_all_is_an_interval_of_zero_width_and_p_1() -> None:
    interval = difference_interval(np.array([[0.1, 0.7, 0.4]]), np.array([[0.1, 0.7, 0.4]]))
    assert (interval.low, interval.high, interval.p) == (0.0, 0.0, 1.0)


def test_equal_means_in_another_order_of_seeds_are_no_difference() -> None:
    scores = rng(0).random((5, 30))
    assert difference_interval(scores, scores[::-1]).value == 0.0


def test_it_refuses_scores_of_different_tasks() -> None:
    with pytest.raises(ValueError, match=r"ours has shape \(1, 2\) but theirs has \(1, 3\)"):
        difference_interval(np.zeros((1, 2)), np.zeros((1, 3)))


def test_it_refuses_nan_a_wrong_level_and_sources_of_other_tasks() -> None:
    with pytest.raises(ValueError, match="not finite"):
        mean_interval(np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match=r"level must be inside \(0, 1\), but got 1.5"):
        mean_interval(np.array([0.1, 0.2]), level=1.5)
    with pytest.raises(ValueError, match="names 1 sources for 2 tasks"):
        mean_interval(np.array([0.1, 0.2]), clusters=["a"])
    with pytest.raises(ValueError, match="at least one of each"):
        mean_interval(np.zeros((2, 0)))


# ----------------------------------------------------------------------------------------- the gap


def test_the_gap_is_the_mean_over_seen_tasks_minus_that_over_unseen_ones() -> None:
    assert gap_interval(np.array([0.8, 0.6, 0.7]), np.array([0.4, 0.5, 0.3])).value == pytest.approx(0.3)


def test_with_one_seed_the_gap_has_welchs_interval() -> None:
    seen, unseen = rng(0).random(5), rng(1).random(8)
    interval = gap_interval(seen, unseen)
    oracle = scipy_stats.ttest_ind(seen, unseen, equal_var=False)
    assert (interval.p, interval.df) == (pytest.approx(oracle.pvalue), pytest.approx(oracle.df))


def test_a_shift_of_both_sides_by_the_seed_is_no_noise_of_the_gap_but_one_of_a_side_is() -> None:
    shifts = np.array([[-0.1], [0.0], [0.1]])
    flat = 0.5 + 0.001 * np.arange(10) + np.zeros((3, 10))
    assert gap_interval(flat + shifts, flat + shifts).se_seed == pytest.approx(0.0)
    assert gap_interval(flat + shifts, flat).se_seed == pytest.approx(0.1 / np.sqrt(3))


def test_both_sides_of_a_gap_need_the_same_seeds() -> None:
    with pytest.raises(ValueError, match="the sides have 2 and 1 seeds"):
        gap_interval(np.zeros((2, 3)), np.zeros((1, 3)))
