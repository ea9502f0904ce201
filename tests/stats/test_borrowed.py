from __future__ import annotations

import sys

import numpy as np
import pytest

from snibench.base.errors import MissingExtra
from snibench.stats.arrays import Floats
from snibench.stats.borrowed import almost_stochastic_order, conover, mixed_model_components, practical_equivalence
from snibench.stats.power import variance_components


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_signed_rank_posterior_sums_to_one_and_mirrors() -> None:
    pytest.importorskip("baycomp")
    base = np.random.default_rng(1).uniform(0.3, 0.7, 30)
    better = base + np.random.default_rng(2).normal(0.03, 0.02, 30)
    one, other = (practical_equivalence(*pair, rng=rng()) for pair in ((better, base), (base, better)))
    assert one.better > 0.99
    assert one.worse + one.equivalent + one.better == pytest.approx(1.0)
    assert (one.better, one.worse) == pytest.approx((other.worse, other.better), abs=0.01)


def test_differences_inside_the_rope_are_practical_equivalence() -> None:
    pytest.importorskip("baycomp")
    base = np.random.default_rng(1).uniform(0.3, 0.7, 40)
    same = base + np.random.default_rng(2).normal(0.0, 0.002, 40)
    assert practical_equivalence(same, base, rope=0.01, rng=rng()).equivalent > 0.99


def test_almost_stochastic_order_refuses_three_runs_and_knows_a_clear_winner() -> None:
    pytest.importorskip("deepsig")
    with pytest.raises(ValueError, match="at least 5 runs a side, but got 3"):
        almost_stochastic_order(np.ones(3), np.ones(8), rng=rng())
    low = np.random.default_rng(1).normal(0.5, 0.01, 6)
    high = low + 0.2
    assert almost_stochastic_order(high, low, rng=rng(), draws=50) < 0.2
    assert almost_stochastic_order(low, high, rng=rng(), draws=50) > 0.8


def test_conover_separates_what_demsar_separates(demsar: Floats) -> None:
    """Demsar's critical differences separate C4.5 from C4.5+m and C4.5+m+cf alone (Bonferroni-Dunn, 0.05)."""
    pytest.importorskip("scikit_posthocs")
    p = conover(demsar)
    assert np.allclose(p, p.T)
    assert max(p[0, 1], p[0, 3]) < 0.05 / 3
    assert min(p[0, 2], p[1, 3]) > 0.05


@pytest.mark.filterwarnings("ignore")
def test_reml_agrees_with_the_closed_form_on_a_balanced_table() -> None:
    pytest.importorskip("statsmodels")
    draw = np.random.default_rng(3)
    scores = 0.5 + draw.normal(0, 0.15, 40) + draw.normal(0, 0.05, (6, 1)) + draw.normal(0, 0.04, (6, 40))
    reml, moments = mixed_model_components(scores), variance_components(scores)
    assert reml.task == pytest.approx(moments.task, rel=0.01)
    assert reml.seed == pytest.approx(moments.seed, rel=0.01)
    assert reml.residual == pytest.approx(moments.residual, rel=0.01)
    assert reml.clipped == ()


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "baycomp", None)
    with pytest.raises(MissingExtra, match=r"snibench\[stats\]"):
        practical_equivalence(np.ones(4), np.ones(4), rng=rng())
