from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from snibench.stats.intervals import difference_interval
from snibench.stats.outcomes import equivalence_bound, outcome, within


def differing(by: float, noise: float = 0.02, tasks: int = 40):  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(0)
    wobble = generator.normal(0.0, noise, tasks)
    return difference_interval(wobble - wobble.mean() + by, np.zeros(tasks))


def test_equivalence_is_two_one_sided_t_tests() -> None:
    estimate = differing(0.012)
    values = np.random.default_rng(0).normal(0.0, 0.02, 40)
    values = values - values.mean() + 0.012
    upper = scipy_stats.ttest_1samp(values, 0.02, alternative="less").pvalue
    lower = scipy_stats.ttest_1samp(values, -0.02, alternative="greater").pvalue
    assert within(estimate, margin=0.02) == (max(upper, lower) < 0.05)
    assert not within(estimate, margin=0.013)


def test_the_bound_is_the_smallest_margin_that_no_difference_at_all_could_claim() -> None:
    nothing = differing(0.0)
    bound = equivalence_bound(nothing)
    assert within(nothing, margin=1.001 * bound)
    assert not within(nothing, margin=0.999 * bound)


def test_the_star_comes_before_equivalence() -> None:
    small = differing(0.01)
    assert within(small)
    assert outcome(small, significant=True) == "better"
    assert outcome(small, significant=False) == "equivalent"


def test_a_difference_that_was_not_found_is_undecided_and_not_equivalent() -> None:
    assert outcome(differing(0.0, noise=0.2), significant=False) == "undecided"


@pytest.mark.parametrize(
    ("by", "higher", "expected"), [(0.1, True, "better"), (-0.1, True, "worse"), (-0.1, False, "better")]
)
def test_better_is_a_smaller_gap_and_a_higher_score(by: float, higher: bool, expected: str) -> None:
    assert outcome(differing(by), significant=True, higher_is_better=higher) == expected


def test_without_an_interval_nothing_is_decided() -> None:
    estimate = difference_interval(np.array([0.1, 0.2]), np.array([0.1, 0.2]))
    assert np.isnan(equivalence_bound(estimate))
    assert outcome(estimate, significant=False) == "undecided"
