from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from snibench.stats.arrays import Floats
from snibench.stats.effects import (
    a12,
    cliffs_delta,
    cohen_dz,
    hedges_g,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    rank_biserial,
    trimmed_mean,
)

values_ = st.lists(st.integers(0, 20), min_size=2, max_size=10).map(lambda v: np.array(v) / 20)


def test_rank_biserial_of_darwins_maize_is_the_simple_difference(maize: Floats) -> None:
    assert rank_biserial(maize) == pytest.approx((96 - 24) / 120)


@given(values_, values_)
def test_swapping_the_methods_mirrors_every_effect(a: Floats, b: Floats) -> None:
    n = min(len(a), len(b))
    assert rank_biserial(a[:n] - b[:n]) == pytest.approx(-rank_biserial(b[:n] - a[:n]))
    assert cliffs_delta(a, b) == pytest.approx(-cliffs_delta(b, a))
    assert a12(a, b) == pytest.approx(1 - a12(b, a))
    assert hedges_g(a, b) == pytest.approx(-hedges_g(b, a), nan_ok=True)
    assert cohen_dz(a[:n] - b[:n]) == pytest.approx(-cohen_dz(b[:n] - a[:n]), nan_ok=True)


def test_rank_biserial_is_1_if_all_favour_us_and_0_if_nothing_differs() -> None:
    assert rank_biserial(np.array([0.1, 0.5, 0.01])) == 1.0
    assert rank_biserial(np.zeros(4)) == 0.0


@given(values_, values_)
def test_a12_is_mann_whitneys_u_over_its_maximum(a: Floats, b: Floats) -> None:
    assert a12(a, b) == pytest.approx(scipy_stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)))


def test_cliffs_delta_of_three_seeds_a_side_is_extreme_one_time_in_ten_by_chance() -> None:
    deltas = []
    for ours in itertools.combinations(range(6), 3):
        theirs = [rank for rank in range(6) if rank not in ours]
        deltas.append(cliffs_delta(np.array(ours, float), np.array(theirs, float)))
    assert np.mean(np.abs(deltas) == 1.0) == pytest.approx(0.10)
    assert len(set(np.round(deltas, 9))) == 10


def test_hedges_g_is_cohens_d_times_the_exact_correction() -> None:
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])
    # Hedges (1981), table 2: c(4) = 0.7979.
    assert hedges_g(a, b) == pytest.approx(-0.7979, abs=5e-5)


def test_cohens_dz_is_the_t_statistic_over_root_n(maize: Floats) -> None:
    t = scipy_stats.ttest_1samp(maize, 0).statistic
    assert t == pytest.approx(2.148, abs=5e-4)  # as Fisher gives it
    assert cohen_dz(maize) == pytest.approx(t / np.sqrt(15))


def test_effects_that_no_spread_can_scale_are_nan() -> None:
    assert np.isnan(cohen_dz(np.array([0.1])))
    assert np.isnan(cohen_dz(np.array([0.4 - 0.3, 0.2 - 0.1])))
    assert np.isnan(hedges_g(np.array([0.5]), np.array([0.4, 0.3])))
    assert np.isnan(hedges_g(np.full(3, 0.5), np.full(3, 0.4)))


def test_the_interquartile_mean_pools_runs_and_tasks() -> None:
    scores = np.arange(8.0).reshape(2, 4)
    assert interquartile_mean(scores) == pytest.approx(np.mean([2, 3, 4, 5]))
    assert trimmed_mean(np.array([0.0, 1.0, 1.0, 1.0, 100.0]), cut=0.2) == 1.0


def test_probability_of_improvement_is_the_mean_over_tasks_of_a12() -> None:
    generator = np.random.default_rng(0)
    ours, theirs = generator.integers(0, 4, (5, 6)) / 4, generator.integers(0, 4, (3, 6)) / 4
    assert probability_of_improvement(ours, theirs) == pytest.approx(
        np.mean([a12(ours[:, task], theirs[:, task]) for task in range(6)])
    )


@given(values_, st.floats(0, 1))
def test_a_performance_profile_falls_from_one_to_nothing_and_its_area_is_the_mean(values: Floats, at: float) -> None:
    grid = (np.arange(2_000) + 0.5) / 2_000
    profile = performance_profile(values, grid)
    assert (np.diff(profile) <= 0).all()
    assert profile.mean() == pytest.approx(values.mean(), abs=1e-3)
    above = np.mean(np.round(values, 12) > round(at, 12))
    assert performance_profile(values, np.array([at]))[0] == pytest.approx(above)
