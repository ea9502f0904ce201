"""Rank correlation: SciPy's values, and an interval over whole sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from snibench.stats.correlation import rank_correlation

numbers = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=25)


@given(numbers)
def test_it_equals_scipy_also_with_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    found = rank_correlation(x, y, rng=np.random.default_rng(0), draws=10)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan([found.spearman.value, found.kendall.value]).all()
        return
    assert found.spearman.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.kendall.value == pytest.approx(stats.kendalltau(x, y).statistic)


def test_the_interval_is_that_of_resampled_rows() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    picks = np.random.default_rng(1).integers(40, size=(2000, 40))
    plain = np.quantile([stats.spearmanr(x[pick], y[pick]).statistic for pick in picks], (0.025, 0.975))
    found = rank_correlation(x, y, rng=np.random.default_rng(0)).spearman
    assert (found.low, found.high) == pytest.approx(tuple(plain), abs=0.03)


def test_tasks_of_one_source_count_as_one() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 12))
    single = rank_correlation(x, y, rng=np.random.default_rng(0)).spearman
    repeated = rank_correlation(
        np.repeat(x, 4), np.repeat(y, 4), rng=np.random.default_rng(0), clusters=[f"{i // 4:02}" for i in range(48)]
    )
    assert (repeated.n, repeated.units) == (48, 12)
    assert repeated.spearman.low == pytest.approx(single.low, abs=1e-9)
    assert repeated.spearman.high == pytest.approx(single.high, abs=1e-9)


def test_there_is_no_interval_below_five_units() -> None:
    found = rank_correlation(np.arange(4.0), np.arange(4.0), rng=np.random.default_rng(0))
    assert found.spearman.value == pytest.approx(1.0)
    assert np.isnan([found.spearman.low, found.kendall.high]).all()
