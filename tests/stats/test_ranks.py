from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from snibench.stats.arrays import Floats
from snibench.stats.ranks import (
    agreement,
    agreement_intervals,
    cliques,
    friedman,
    nemenyi_cd,
    ranks,
    tie_groups,
)


def separated(pairs: list[tuple[int, int]], k: int) -> np.ndarray:
    matrix = np.zeros((k, k), dtype=bool)
    for a, b in pairs:
        matrix[a, b] = matrix[b, a] = True
    return matrix


# --------------------------------------------------------------------------------------- Friedman


def test_the_mean_ranks_are_demsars(demsar: Floats) -> None:
    assert ranks(demsar).mean(axis=0) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)


def test_friedman_without_tie_correction_gives_demsars_numbers(demsar: Floats) -> None:
    result = friedman(demsar, correct_ties=False)
    assert result.chi2 == pytest.approx(9.28, abs=0.005)
    assert result.iman_davenport == pytest.approx(3.69, abs=0.005)
    # "The critical value of F(3, 39) for alpha = 0.05 is 2.85, so we reject the null hypothesis."
    assert result.iman_davenport_p < 0.05


def test_friedman_with_tie_correction_agrees_with_scipy(demsar: Floats) -> None:
    oracle = scipy_stats.friedmanchisquare(*np.round(demsar, 12).T)
    result = friedman(demsar)
    assert (result.chi2, result.p) == (pytest.approx(oracle.statistic), pytest.approx(oracle.pvalue))
    assert result.chi2 == pytest.approx(10.228, abs=5e-4)


def test_friedman_and_iman_davenport_give_what_r_prints() -> None:
    # R: friedman.test and scmamp's imanDavenportTest on two rankings of nine classifiers.
    rankings = np.array([[1, 8, 6, 4, 7, 2, 5, 3, 9], [1, 6, 3, 9, 7, 2, 8, 4, 5]])
    result = friedman(-rankings.astype(float))
    assert result.chi2 == pytest.approx(11.733, abs=5e-4)
    assert result.p == pytest.approx(0.1635, abs=5e-5)
    assert result.iman_davenport == pytest.approx(2.75, abs=5e-3)
    assert result.iman_davenport_p == pytest.approx(0.08697, abs=5e-6)


def test_friedman_of_methods_that_always_tie_is_p_1() -> None:
    result = friedman(np.ones((5, 3)))
    assert (result.chi2, result.p, result.iman_davenport, result.iman_davenport_p) == (0.0, 1.0, 0.0, 1.0)


def test_friedman_of_one_order_on_all_tasks_has_an_infinite_f() -> None:
    result = friedman(np.tile([0.1, 0.2, 0.3], (6, 1)))
    assert (result.iman_davenport, result.iman_davenport_p) == (np.inf, 0.0)


@pytest.mark.parametrize("shape", [(1, 4), (5, 2)])
def test_friedman_refuses_one_task_or_two_methods(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least two tasks and three methods"):
        friedman(np.zeros(shape))


def test_critical_differences_are_demsars() -> None:
    assert nemenyi_cd(4, 14) == pytest.approx(1.25, abs=0.005)
    assert nemenyi_cd(4, 14, level=0.90) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_nemenyi_quantiles_are_those_of_demsars_table_5a(methods: int, q: float) -> None:
    # With N = k(k+1)/6 data sets the critical difference is the quantile itself.
    assert nemenyi_cd(methods, 1) / np.sqrt(methods * (methods + 1) / 6) == pytest.approx(q, abs=1.1e-3)


def test_nemenyis_verdict_on_pairs_agrees_with_scikit_posthocs(demsar: Floats) -> None:
    posthocs = pytest.importorskip("scikit_posthocs")
    p = np.asarray(posthocs.posthoc_nemenyi_friedman(np.round(demsar, 12)))
    mean_ranks = ranks(demsar).mean(axis=0)
    far = np.abs(mean_ranks[:, None] - mean_ranks[None, :]) > nemenyi_cd(4, 14, level=0.90)
    assert (far == (p < 0.10)).all()
    assert far.any()


# ------------------------------------------------------------------------------------- tie groups


def test_cliques_are_the_bars_of_demsars_diagram(demsar: Floats) -> None:
    # At alpha 0.05 (CD 1.25) no pair differs; at 0.10 (CD 1.12) C4.5 is worse than both variants with m.
    mean_ranks = ranks(demsar).mean(axis=0)
    gaps = np.abs(mean_ranks[:, None] - mean_ranks[None, :])
    assert cliques(mean_ranks, gaps > nemenyi_cd(4, 14)) == ((3, 1, 2, 0),)
    assert cliques(mean_ranks, gaps > nemenyi_cd(4, 14, level=0.90)) == ((3, 1, 2), (2, 0))


def test_tie_groups_of_three_where_only_the_ends_differ() -> None:
    assert tie_groups(np.array([1.0, 2.0, 3.0]), separated([(0, 2)], 3)) == ("a", "ab", "b")


def test_tie_groups_follow_the_ranks_not_the_order_of_rows() -> None:
    assert tie_groups(np.array([3.0, 1.0, 2.0]), separated([(0, 1), (0, 2)], 3)) == ("b", "a", "a")


@given(st.integers(1, 9), st.data())
def test_two_methods_share_a_letter_iff_they_are_not_separated(k: int, data: st.DataObject) -> None:
    upper = np.triu(data.draw(arrays(bool, (k, k))), 1)
    apart = upper | upper.T
    mean_ranks = np.array(data.draw(st.permutations(range(k))), dtype=float)
    letters = tie_groups(mean_ranks, apart)
    for a in range(k):
        for b in range(k):
            assert bool(set(letters[a]) & set(letters[b])) != apart[a, b]
    assert "a" in letters[int(mean_ranks.argmin())]


def test_more_methods_than_letters_still_get_groups_of_their_own() -> None:
    names = tie_groups(np.arange(60.0), ~np.eye(60, dtype=bool))
    assert len(set(names)) == 60


# -------------------------------------------------------------------------------------- agreement


def test_kendalls_w_is_friedmans_chi_squared_over_its_maximum() -> None:
    scores = np.random.default_rng(0).integers(0, 5, (7, 4)).astype(float)
    oracle = scipy_stats.friedmanchisquare(*scores.T).statistic / (7 * 3)
    assert agreement(scores).kendall_w == pytest.approx(oracle)


def test_tau_b_is_the_mean_of_scipys_over_pairs_of_raters() -> None:
    scores = np.random.default_rng(1).integers(0, 6, (5, 8)).astype(float)
    taus = [scipy_stats.kendalltau(scores[a], scores[b]).statistic for a in range(5) for b in range(a + 1, 5)]
    assert agreement(scores).tau_b == pytest.approx(np.mean(taus))


def test_raters_of_one_mind_agree_fully_and_opposite_ones_not_at_all() -> None:
    order = np.array([0.1, 0.2, 0.3, 0.4])
    same, opposite = agreement(np.stack([order, order + 0.3])), agreement(np.stack([order, -order]))
    assert (same.kendall_w, same.tau_b, same.top1) == pytest.approx((1.0, 1.0, 1.0))
    assert (opposite.kendall_w, opposite.tau_b, opposite.top1) == pytest.approx((0.0, -1.0, 0.0))


def test_top1_agreement_breaks_ties_at_random() -> None:
    assert agreement(np.array([[0.5, 0.5, 0.1], [0.9, 0.2, 0.1]])).top1 == pytest.approx(0.5)


def test_a_rater_that_ties_everything_is_left_out_of_tau() -> None:
    scores = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.5, 0.5, 0.5]])
    assert agreement(scores).tau_b == pytest.approx(1.0)
    everything_tied = agreement(np.full((3, 3), 0.5))
    assert np.isnan(everything_tied.tau_b)
    assert np.isnan(everything_tied.kendall_w)


def test_one_rater_has_no_agreement() -> None:
    assert np.isnan(agreement(np.array([[0.1, 0.2]])).kendall_w)


def test_the_interval_of_agreement_holds_its_value_and_shrinks_with_tasks() -> None:
    generator = np.random.default_rng(2)
    effects = generator.normal(0, 0.05, (1, 4, 1))
    few = effects + generator.normal(0, 0.1, (6, 4, 10))
    many = effects + generator.normal(0, 0.1, (6, 4, 400))
    widths = []
    for scores in (few, many):
        interval = agreement_intervals(scores, rng=np.random.default_rng(0))["tau_b"]
        assert interval.low <= interval.value <= interval.high
        assert interval.value == pytest.approx(agreement(scores.mean(axis=-1)).tau_b)
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0]
