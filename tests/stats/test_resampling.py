from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from snibench.stats.arrays import Floats
from snibench.stats.resampling import (
    crossed_bootstrap,
    excess_sd,
    iqr,
    noise_variance,
    paired_bootstrap,
    resample_streams,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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
