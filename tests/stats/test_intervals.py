from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from snibench.stats.arrays import Floats
from snibench.stats.intervals import (
    crossed_bootstrap,
    difference_interval,
    excess_sd,
    gap_difference_interval,
    gap_interval,
    instance_scores,
    iqr,
    mean_interval,
    noise_variance,
    paired_bootstrap,
    proportion_interval,
    resample_streams,
)

hundredths = st.integers(0, 100).map(lambda n: n / 100)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def side(tasks: int, seeds: int, instances: int, mean: float, *, seed: int) -> list[Floats]:
    """Graded instance scores of tasks that differ in difficulty."""
    generator = rng(seed)
    levels = np.clip(generator.normal(mean, 0.2, tasks), 0.05, 0.95)
    return [(generator.random((seeds, instances)) < level).astype(float) for level in levels]


# ------------------------------------------------------------------------------------ t intervals


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


# ---------------------------------------------------------------------------------------- the gap


def test_the_gap_is_the_mean_over_seen_tasks_minus_that_over_unseen_ones() -> None:
    seen = [np.full((1, 4), 0.8), np.full((1, 2), 0.6)]
    unseen = [np.full((1, 5), 0.4)]
    assert gap_interval(seen, unseen, rng=rng()).value == pytest.approx(0.3)


def test_few_tasks_a_side_get_welchs_interval() -> None:
    seen, unseen = side(5, 1, 50, 0.7, seed=0), side(6, 1, 50, 0.5, seed=1)
    interval = gap_interval(seen, unseen, rng=rng())
    oracle = scipy_stats.ttest_ind([t.mean() for t in seen], [t.mean() for t in unseen], equal_var=False)
    expected = oracle.confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.kind == "t, tasks only"


def test_few_sources_a_side_get_welchs_interval_however_many_tasks_they_have() -> None:
    seen, unseen = side(20, 1, 20, 0.7, seed=0), side(20, 1, 20, 0.5, seed=1)
    sources = [f"s{task % 4}" for task in range(20)]
    assert gap_interval(seen, unseen, rng=rng(), clusters=(sources, sources)).kind == "t, tasks only"


def literal_two_level_bootstrap(seen: list[Floats], unseen: list[Floats], draws: int) -> Floats:
    """The textbook loop: tasks with replacement, then instances within each task drawn."""
    generator = rng(7)

    def resampled(tasks: list[Floats]) -> float:
        drawn = [tasks[task] for task in generator.integers(len(tasks), size=len(tasks))]
        means = [scores[0, generator.integers(scores.shape[1], size=scores.shape[1])].mean() for scores in drawn]
        return float(np.mean(means))

    return np.array([resampled(seen) - resampled(unseen) for _ in range(draws)])


def test_the_gap_interval_is_that_of_the_literal_two_level_bootstrap() -> None:
    # Few instances, so that the second level matters: without it the interval would be a tenth narrower.
    seen, unseen = side(12, 1, 10, 0.7, seed=2), side(9, 1, 10, 0.5, seed=3)
    literal = np.quantile(literal_two_level_bootstrap(seen, unseen, 4_000), (0.025, 0.975))
    interval = gap_interval(seen, unseen, rng=rng(), draws=40_000)
    assert (interval.low, interval.high) == pytest.approx(tuple(literal), abs=0.012)
    one_level = gap_interval([t.mean(keepdims=True) for t in seen], [t.mean(keepdims=True) for t in unseen], rng=rng())
    assert one_level.high - one_level.low < 0.97 * (interval.high - interval.low)


def test_the_gap_bootstrap_agrees_with_the_analytic_error() -> None:
    seen, unseen = side(100, 1, 40, 0.7, seed=0), side(60, 1, 40, 0.5, seed=1)

    def variance(tasks: list[Floats]) -> float:
        return (np.var([t.mean() for t in tasks]) + np.mean([t.var() / t.size for t in tasks])) / len(tasks)

    interval = gap_interval(seen, unseen, rng=rng(), draws=50_000)
    analytic = np.sqrt(variance(seen) + variance(unseen))
    assert interval.se == pytest.approx(analytic, rel=0.02)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * analytic, rel=0.02)


def test_a_shift_of_both_sides_by_the_seed_is_no_noise_of_the_gap_but_one_of_a_side_is() -> None:
    shifts = np.array([[-0.1], [0.0], [0.1]])
    flat = [np.full((3, 5), 0.5 + 0.001 * task) for task in range(10)]
    shifted = [task + shifts for task in flat]
    assert gap_interval(shifted, shifted, rng=rng()).se_seed == pytest.approx(0.0)
    one_sided = gap_interval(shifted, flat, rng=rng())
    assert one_sided.se_seed == pytest.approx(0.1 / np.sqrt(3))
    assert one_sided.kind == "two-level bootstrap, tasks+seeds"
    # t with 2 degrees of freedom on a standard error of .1/sqrt(3), task noise beside it next to nothing
    assert one_sided.high - one_sided.value == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=0.05)


def test_swapping_the_sides_mirrors_the_gap() -> None:
    seen, unseen = side(10, 3, 20, 0.7, seed=0), side(9, 3, 20, 0.5, seed=1)
    first = gap_interval(seen, unseen, rng=rng(), draws=40_000)
    second = gap_interval(unseen, seen, rng=rng(), draws=40_000)
    assert first.value == pytest.approx(-second.value)
    assert (first.low, first.high) == pytest.approx((-second.high, -second.low), abs=0.01)


def test_whole_sources_are_resampled() -> None:
    # Each task is there four times: the interval must be that of the ten distinct tasks.
    seen, unseen = side(10, 1, 30, 0.7, seed=0), side(10, 1, 30, 0.5, seed=1)
    sources = [f"s{task}" for task in range(10)]
    plain = gap_interval([t.mean(keepdims=True) for t in seen], [t.mean(keepdims=True) for t in unseen], rng=rng())
    copied = gap_interval(
        [t.mean(keepdims=True) for t in seen for _ in range(4)],
        [t.mean(keepdims=True) for t in unseen for _ in range(4)],
        rng=rng(),
        clusters=([s for s in sources for _ in range(4)],) * 2,
    )
    assert (copied.low, copied.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize("tasks", [5, 12])
def test_the_difficulty_of_tasks_cancels_in_a_difference_of_gaps(tasks: int) -> None:
    seen, unseen = side(tasks, 1, 50, 0.7, seed=0), side(tasks, 1, 50, 0.5, seed=1)
    theirs = ([task - 0.1 for task in seen], [task - 0.3 for task in unseen])
    interval = gap_difference_interval((seen, unseen), theirs, rng=rng())
    assert (interval.low, interval.value, interval.high) == pytest.approx((-0.2, -0.2, -0.2))


def test_a_difference_of_gaps_counts_the_seeds_of_both_methods() -> None:
    ours = (side(9, 3, 20, 0.7, seed=0), side(9, 3, 20, 0.5, seed=1))
    theirs = (side(9, 5, 20, 0.6, seed=2), side(9, 5, 20, 0.5, seed=3))
    parts = [gap_interval(*sides, rng=rng()) for sides in (ours, theirs)]
    both = gap_difference_interval(ours, theirs, rng=rng())
    assert both.value == pytest.approx(parts[0].value - parts[1].value)
    assert both.se_seed**2 == pytest.approx(sum(part.se_seed**2 for part in parts))


def test_the_gap_refuses_missing_seeds_tasks_and_instances() -> None:
    good = [np.zeros((2, 3)), np.zeros((2, 3))]
    with pytest.raises(ValueError, match="different numbers of seeds"):
        gap_interval([np.zeros((2, 3)), np.zeros((1, 3))], good, rng=rng())
    with pytest.raises(ValueError, match="the sides have 2 and 1 seeds"):
        gap_interval(good, [np.zeros((1, 3))], rng=rng())
    with pytest.raises(ValueError, match="unseen needs at least one task"):
        gap_interval(good, [], rng=rng())
    with pytest.raises(ValueError, match="not finite"):
        gap_interval([np.array([[np.nan]])], good, rng=rng())
    with pytest.raises(ValueError, match="ours and theirs differ in tasks or instances"):
        gap_difference_interval((good, good), ([np.zeros((2, 3)), np.zeros((2, 4))], good), rng=rng())


def test_instance_scores_are_arrays_of_seeds_by_instances_per_task() -> None:
    rows = pd.DataFrame(
        [
            ("b", 1, "x", 0.1),
            ("b", 0, "x", 0.2),
            ("a", 0, "y", 0.3),
            ("a", 1, "y", 0.4),
            ("a", 1, "x", 0.5),
            ("a", 0, "x", 0.6),
        ],
        columns=["task", "seed", "instance", "score"],
    )
    arrays_ = instance_scores(rows)
    assert {task: values.tolist() for task, values in arrays_.items()} == {
        "a": [[0.6, 0.3], [0.5, 0.4]],
        "b": [[0.2], [0.1]],
    }


# -------------------------------------------------------------------------------------- bootstrap


def test_swapping_the_methods_mirrors_the_interval() -> None:
    ours, baseline = rng(0).random((3, 20)), rng(1).random((3, 20))
    first = paired_bootstrap(ours, baseline, rng=rng())
    second = paired_bootstrap(baseline, ours, rng=rng())
    assert (first.low, first.high) == pytest.approx((-second.high, -second.low), abs=1e-6)


def test_the_generator_alone_decides_the_draws() -> None:
    ours, baseline = rng(0).random((3, 20)), rng(1).random((3, 20))
    np.random.seed(0)
    first = paired_bootstrap(ours, baseline, rng=rng(5))
    np.random.seed(1)
    assert paired_bootstrap(ours, baseline, rng=rng(5)) == first
    assert paired_bootstrap(ours, baseline, rng=rng(6)) != first


def test_the_paired_bootstrap_agrees_with_scipys() -> None:
    differences = rng(0).normal(0.1, 0.3, 25)
    oracle = scipy_stats.bootstrap(
        (differences,), np.mean, method="percentile", n_resamples=20_000, rng=rng(3)
    ).confidence_interval
    interval = paired_bootstrap(differences, np.zeros(25), rng=rng(), draws=20_000)
    assert (interval.low, interval.high) == pytest.approx((oracle.low, oracle.high), abs=0.005)


def test_the_crossed_bootstrap_keeps_a_shift_of_all_tasks_by_the_seed() -> None:
    scores = np.array([[0.4], [0.6]]) + np.zeros((2, 200))
    interval = crossed_bootstrap(scores, rng=rng())
    assert (interval.low, interval.value, interval.high) == pytest.approx((0.4, 0.5, 0.6))


def test_the_crossed_bootstrap_takes_any_statistic() -> None:
    scores = rng(0).random((4, 15))
    interval = crossed_bootstrap(scores, rng=rng(), statistic=np.median, draws=500)
    assert interval.value == np.median(scores)
    assert interval.low <= interval.value <= interval.high


# ---------------------------------------------------------------------------------------- streams


def test_the_interval_of_streams_is_paired() -> None:
    accuracies = rng(0).random(20)
    interval = resample_streams(iqr, [accuracies], [accuracies + 0.1], rng=rng())
    assert (interval.low, interval.high) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_swapping_the_methods_mirrors_the_interval_of_streams() -> None:
    ours, theirs = rng(0).random(20), rng(1).random(20) / 2
    first = resample_streams(iqr, [ours], [theirs], rng=rng())
    second = resample_streams(iqr, [theirs], [ours], rng=rng())
    assert (first.value, first.low, first.high) == pytest.approx((-second.value, -second.high, -second.low), abs=1e-6)


def test_streams_agree_with_scipys_paired_bootstrap() -> None:
    ours, theirs = rng(0).random(30), rng(1).random(30) / 2

    def difference(x: Floats, y: Floats, axis: int) -> Floats:
        return scipy_stats.iqr(x, axis=axis) - scipy_stats.iqr(y, axis=axis)

    oracle = scipy_stats.bootstrap(
        (ours, theirs), difference, paired=True, method="percentile", n_resamples=9_999, rng=rng(3)
    ).confidence_interval
    interval = resample_streams(iqr, [ours], [theirs], rng=rng())
    assert (interval.low, interval.high) == pytest.approx((oracle.low, oracle.high), abs=0.02)


def test_a_stream_is_drawn_with_all_its_seeds() -> None:
    # One stream differs between seeds, the others do not: every resample holds whole streams.
    ours = np.array([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    constant = np.zeros((3, 2))
    interval = resample_streams(lambda x: np.asarray(x.mean(axis=-1)), [ours], [constant], rng=rng())
    assert (interval.low, interval.high) == pytest.approx((0.5, 0.5))


def test_excess_spread_is_what_noise_does_not_explain() -> None:
    p = np.full((4000, 40), 0.7)
    accuracies = rng(0).binomial(1, p).mean(axis=1)
    noise = noise_variance(p)
    assert np.sqrt(noise[0]) == pytest.approx(np.sqrt(0.7 * 0.3 / 40))
    assert excess_sd(accuracies, noise) < 0.02
    assert excess_sd(accuracies + rng(1).normal(0, 0.1, 4000), noise) == pytest.approx(0.1, abs=0.01)


def test_a_negative_excess_variance_is_clipped() -> None:
    assert excess_sd(np.full(5, 0.5), np.full(5, 0.01)) == 0.0


def test_excess_spread_can_be_compared_over_streams() -> None:
    noise = np.full(20, 0.001)
    ours = (0.5 + rng(0).normal(0, 0.2, 20), noise)
    theirs = (0.5 + rng(1).normal(0, 0.02, 20), noise)
    interval = resample_streams(excess_sd, ours, theirs, rng=rng())
    assert 0.0 < interval.low < interval.value


def test_40_answers_at_70_percent_spread_by_noise_over_an_iqr_of_9_5_points() -> None:
    accuracies = rng(0).binomial(40, 0.7, 100_000) / 40
    assert float(iqr(accuracies)) == pytest.approx(0.095, abs=0.03)


def test_streams_must_come_in_pairs() -> None:
    with pytest.raises(ValueError, match="streams are paired"):
        resample_streams(iqr, [np.zeros(3)], [np.zeros(4)], rng=rng())
