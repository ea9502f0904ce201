from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snibench.base.errors import UsageError
from snibench.report import build
from snibench.report.power import MINI_TINY, MINI_TINY_CAUTION, Pilot, effects, forecast, pilot, power_report
from snibench.stats.power import Design
from snibench.store import StoredRun

Make = Callable[..., StoredRun]


def test_a_run_is_its_own_pilot_and_larger_ones_find_less(make_results: Make) -> None:
    frame = power_report(make_results()).table("power").frame
    assert frame.loc[0, ["tasks", "instances", "seeds"]].tolist() == [12, 20, 3]
    assert (frame.loc[1:, "effect"] < frame.loc[0, "effect"]).all()
    assert frame["effect"].idxmin() == len(frame) - 1  # twice of everything


def test_what_is_planned_for_the_same_design_is_near_what_the_run_says_of_itself(make_results: Make) -> None:
    results = make_results({"unified-prompt": 0.55, "ours": 0.6})
    planned = power_report(results).table("power").frame.loc[0, "effect"]
    own = build(results).table("comparison_unseen").frame.set_index("method").loc["ours", "mde"]
    assert planned == pytest.approx(own, rel=0.35)


def test_the_design_that_is_asked_for_stands_below_the_run(make_results: Make) -> None:
    frame = power_report(make_results(), tasks=31, instances=10, seeds=4).table("power").frame
    assert frame.loc[1, ["tasks", "instances", "seeds"]].tolist() == [31, 10, 4]


def test_the_pair_is_the_last_method_and_the_baseline_unless_named(make_results: Make) -> None:
    results = make_results()
    assert pilot(results)[:2] == ("ours", "unified-prompt")
    assert pilot(results, "mtl-lora", "ours")[:2] == ("mtl-lora", "ours")
    with pytest.raises(UsageError, match="Unknown tuned method 'untuned'"):
        pilot(results, "untuned")


@pytest.mark.parametrize(
    ("levels", "seeds"), [({"untuned": 0.2, "ours": 0.5}, (0, 1)), ({"unified-prompt": 0.5, "ours": 0.5}, (0,))]
)
def test_one_tuned_method_or_one_seed_is_no_pilot(
    make_results: Make, levels: dict[str, float], seeds: tuple[int, ...]
) -> None:
    with pytest.raises(UsageError, match="two or more: --seeds 0,1" if len(seeds) == 1 else "needs two tuned methods"):
        power_report(make_results(levels, seeds=seeds))


def test_a_forecast_takes_stored_fits_and_else_those_of_mini_and_tiny(make_results: Make) -> None:
    design = Design(31, 10, 4)
    packaged = Pilot(MINI_TINY, design, MINI_TINY_CAUTION)
    without = forecast(None, design)
    assert without == (
        "31 unseen tasks x 10 questions, 4 seeds: differences on unseen tasks from about "
        f"{100 * effects(packaged, [design]).loc[0, 'effect']:.1f} points on are found with 80 % power "
        "(from stored runs of mini with tiny)."
    )
    assert "the stored fits of ours and unified-prompt" in forecast(make_results(), design)
    assert forecast(None, Design(1, 1, 1)).startswith("1 unseen task x 1 question, 1 seed: no verdict can be reached")
    assert np.isfinite(effects(packaged, [design])["suite_effect"]).all()
