from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from snibench.stats.arrays import Floats
from snibench.stats.paired import holm, rank_biserial, sign_flip_p, smallest_sign_flip_p, win_tie_loss

differences_ = st.lists(st.integers(-20, 20), min_size=1, max_size=12).map(lambda v: np.array(v) / 100)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ------------------------------------------------------------------------------------ sign flips


def test_sign_flips_give_fishers_p_for_darwins_maize(maize: Floats) -> None:
    # Fisher counts 863 of 32,768 sign patterns with a sum of at least 314; two-sided twice that.
    assert sign_flip_p(maize, rng=rng()) == 2 * 863 / 32768


def test_sign_flips_agree_with_scipys_permutation_test() -> None:
    values = rng(1).normal(0.3, 1.0, 11)
    oracle = scipy_stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(values, rng=rng()) == pytest.approx(oracle.pvalue)


def test_monte_carlo_sign_flips_come_near_the_exact_p(maize: Floats) -> None:
    # Two units of zero lift the number of units beyond the exact limit and leave the exact p as it is.
    p = sign_flip_p(np.r_[maize, 0.0, 0.0], rng=rng(), draws=99_999)
    assert p == pytest.approx(2 * 863 / 32768, abs=0.003)


def test_monte_carlo_sign_flips_never_give_zero() -> None:
    assert sign_flip_p(np.ones(40), rng=rng(), draws=999) == pytest.approx(1 / 1000)
    assert smallest_sign_flip_p(40, 999) == pytest.approx(1 / 1000)


@pytest.mark.parametrize("units", [1, 2, 5, 16])
def test_the_smallest_exact_p_is_that_of_equal_signs(units: int) -> None:
    assert sign_flip_p(np.ones(units), rng=rng()) == smallest_sign_flip_p(units, 999)


def test_sources_are_flipped_as_blocks() -> None:
    differences = np.array([0.1, 0.2, 0.4, -0.1, 0.3])
    sources = ["a", "a", "b", "c", "c"]
    blocks = [0.3, 0.4, 0.2]
    sums = [abs(np.dot(signs, blocks)) for signs in itertools.product([1, -1], repeat=3)]
    expected = np.mean([total >= 0.9 - 1e-9 for total in sums])
    assert sign_flip_p(differences, rng=rng(), clusters=sources) == expected


def test_float_noise_does_not_break_ties_with_the_observed_sum() -> None:
    # 0.1 + 0.2 != 0.3 in floats; by hand, |+-.1 +-.2 +-.3| >= 0 always.
    assert sign_flip_p(np.array([0.1, 0.2, -0.3]), rng=rng()) == 1.0


@pytest.mark.parametrize("shape", [(1,), (5,), (30,)])
def test_all_zero_differences_give_p_1(shape: tuple[int, ...]) -> None:
    assert sign_flip_p(np.zeros(shape), rng=rng()) == 1.0


def test_rows_are_tested_separately_and_share_their_patterns() -> None:
    rows = rng(3).normal(0.2, 1.0, (4, 30))
    together = sign_flip_p(rows, rng=rng())
    assert together.shape == (4,)
    assert together.tolist() == [float(sign_flip_p(row, rng=rng())) for row in rows]


@given(differences_)
def test_swapping_the_methods_leaves_every_p_as_it_is(differences: Floats) -> None:
    assert sign_flip_p(differences, rng=rng()) == sign_flip_p(-differences, rng=rng())
    assert rank_biserial(differences) == pytest.approx(-rank_biserial(-differences))


@given(differences_, st.randoms(use_true_random=False))
def test_the_order_of_tasks_does_not_matter(differences: Floats, random: object) -> None:
    shuffled = differences.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sign_flip_p(differences, rng=rng()) == sign_flip_p(shuffled, rng=rng())


def test_sign_flips_are_valid_under_the_null() -> None:
    p = sign_flip_p(rng(5).normal(size=(2000, 10)), rng=rng())
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.012)


# ------------------------------------------------------------------------- wins, ties, rank sums


def test_rank_biserial_of_darwins_maize_is_the_simple_difference(maize: Floats) -> None:
    assert rank_biserial(maize) == pytest.approx((96 - 24) / 120)


def test_rank_biserial_is_1_if_all_favour_us_and_0_if_nothing_differs() -> None:
    assert rank_biserial(np.array([0.1, 0.5, 0.01])) == 1.0
    assert rank_biserial(np.zeros(4)) == 0.0


def test_ties_keep_their_ranks_in_the_effect_and_favour_nobody() -> None:
    # Ranks of 0, .1, .2 are 1, 2, 3: (2 + 3) of 6.
    assert rank_biserial(np.array([0.0, 0.1, 0.2])) == pytest.approx(5 / 6)


def test_a_difference_as_large_as_the_rope_is_a_tie() -> None:
    assert win_tie_loss(np.array([0.02, 0.31 - 0.30, 0.0, 0.69 - 0.70, -0.5]), rope=0.01) == (1, 3, 1)


# ------------------------------------------------------------------------------------------- Holm


def test_holm_gives_demsars_verdict_on_three_methods_against_a_control() -> None:
    # Section 3.2.2: z 2.416, 0.512, 2.342 for C4.5+m+cf, C4.5+cf, C4.5+m; p .016, .607, .019; two are rejected.
    p = 2 * scipy_stats.norm.sf([2.416, 0.512, 2.342])
    assert p == pytest.approx([0.016, 0.607, 0.019], abs=0.002)
    assert holm(p) == pytest.approx([3 * p[0], p[1], max(3 * p[0], 2 * p[2])])
    assert (holm(p) < 0.05).tolist() == [True, False, True]


@settings(max_examples=20)  # statsmodels collects the garbage of the whole process at every call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_holm_agrees_with_statsmodels(p: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])


def test_holm_leaves_nan_out_of_the_family() -> None:
    adjusted = holm([0.01, np.nan, 0.04])
    assert adjusted[[0, 2]].tolist() == [0.02, 0.04]
    assert np.isnan(adjusted[1])
    assert holm([]).shape == (0,)


def test_holm_on_all_pairs_of_five_classifiers_rejects_what_garcia_and_herrera_reject() -> None:
    """Mean ranks over 30 data sets: Garcia and Herrera (JMLR 9, 2008), table 3; their Holm rejects five of ten."""
    ranks = {"C4.5": 2.1, "1-NN": 3.25, "NaiveBayes": 2.2, "Kernel": 4.333, "CN2": 3.117}
    pairs = list(itertools.combinations(ranks, 2))
    z = np.array([abs(ranks[a] - ranks[b]) for a, b in pairs]) / np.sqrt(5 * 6 / (6 * 30))
    p = 2 * scipy_stats.norm.sf(z)
    assert p.min() == pytest.approx(4.487e-8, rel=0.01)
    adjusted = dict(zip(pairs, holm(p), strict=True))
    rejected = {pair for pair, value in adjusted.items() if value < 0.05}
    assert rejected == {
        ("C4.5", "Kernel"),
        ("NaiveBayes", "Kernel"),
        ("Kernel", "CN2"),
        ("C4.5", "1-NN"),
        ("1-NN", "Kernel"),
    }
