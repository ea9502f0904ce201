from __future__ import annotations

import numpy as np
import pytest

from snibench.stats.intervals import mean_interval
from snibench.stats.power import (
    detectable_dz,
    minimum_detectable_effect,
    questions_needed,
    t_power,
    variance_components,
)


@pytest.mark.parametrize("tasks", [2, 5, 20, 119])
def test_power_and_its_inverse_agree_with_statsmodels(tasks: int) -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    oracle = power.TTestPower()
    assert t_power(0.4, 1 / np.sqrt(tasks), tasks - 1) == pytest.approx(oracle.power(0.4, tasks, 0.05), abs=1e-6)
    assert detectable_dz(tasks) == pytest.approx(oracle.solve_power(nobs=tasks, alpha=0.05, power=0.8), rel=1e-4)


@pytest.mark.parametrize(("tasks", "d"), [(20, 0.66), (119, 0.26)])
def test_the_effect_that_so_many_tasks_detect(tasks: int, d: float) -> None:
    assert detectable_dz(tasks) == pytest.approx(d, abs=0.005)


@pytest.mark.parametrize("df", [1, 1.7, 4, 30, 1e6])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.99])
def test_the_minimum_detectable_effect_has_the_power_asked_for(df: float, power: float) -> None:
    effect = minimum_detectable_effect(0.02, df, power=power)
    assert t_power(effect, 0.02, df) == pytest.approx(power)


def test_119_tasks_with_an_sd_of_8_points_detect_2_1_points() -> None:
    assert minimum_detectable_effect(0.08 / np.sqrt(119), 118) == pytest.approx(0.021, abs=5e-4)


def test_the_minimum_detectable_effect_of_no_spread_is_0_and_of_one_task_unknown() -> None:
    assert minimum_detectable_effect(0.0, 4) == 0.0
    assert np.isnan(minimum_detectable_effect(np.nan, np.nan))
    assert np.isnan(minimum_detectable_effect(0.1, 0))


def test_millers_example_needs_969_questions() -> None:
    assert questions_needed(0.03, between=1 / 9) == 969


def test_more_answers_per_question_need_fewer_questions() -> None:
    once = questions_needed(
        0.03, between=1 / 9, within_ours=1 / 6, within_theirs=1 / 6, samples_ours=1, samples_theirs=1
    )
    often = questions_needed(
        0.03, between=1 / 9, within_ours=1 / 6, within_theirs=1 / 6, samples_ours=10, samples_theirs=10
    )
    assert (once, often) == (3876, 1260)


# ---------------------------------------------------------------------------- variance components


def test_components_of_an_additive_table_are_found() -> None:
    generator = np.random.default_rng(0)
    scores = (
        generator.normal(0, 0.02, (200, 1)) + generator.normal(0, 0.1, (1, 300)) + generator.normal(0, 0.05, (200, 300))
    )
    parts = variance_components(scores)
    assert (parts.task, parts.seed, parts.residual) == pytest.approx((0.01, 0.0004, 0.0025), rel=0.25)
    assert parts.clipped == ()


def test_components_agree_with_a_mixed_model() -> None:
    regression = pytest.importorskip("statsmodels.formula.api")
    import pandas as pd

    generator = np.random.default_rng(3)
    scores = generator.normal(0, 0.3, (6, 1)) + generator.normal(0, 1.0, (1, 15)) + generator.normal(0, 0.5, (6, 15))
    seeds, tasks = np.indices(scores.shape)
    frame = pd.DataFrame({"score": scores.ravel(), "seed": seeds.ravel(), "task": tasks.ravel(), "all": 1})
    crossed = {"seed": "0 + C(seed)", "task": "0 + C(task)"}
    fit = regression.mixedlm("score ~ 1", frame, groups="all", re_formula="0", vc_formula=crossed).fit()
    oracle = dict(zip(fit.model.exog_vc.names, fit.vcomp, strict=True))
    parts = variance_components(scores)
    assert (parts.seed, parts.task, parts.residual) == pytest.approx(
        (oracle["seed"], oracle["task"], fit.scale), rel=0.01
    )


def test_a_negative_component_is_clipped_and_marked() -> None:
    # Every seed has the same mean, so the moments ask for a seed variance below 0.
    scores = np.array([[0.1, 0.9, 0.5], [0.2, 0.5, 0.8], [0.3, 0.1, 1.1]])
    parts = variance_components(scores)
    assert parts.seed == 0.0
    assert "seed" in parts.clipped


def test_the_planned_error_of_the_design_at_hand_is_near_the_reported_one() -> None:
    generator = np.random.default_rng(1)
    scores = (
        generator.normal(0, 0.02, (40, 1)) + generator.normal(0, 0.1, (1, 80)) + generator.normal(0, 0.05, (40, 80))
    )
    planned = variance_components(scores).planned_se(seeds=40, tasks=80)
    assert planned == pytest.approx(mean_interval(scores).se, rel=0.02)
    assert variance_components(scores).planned_se(seeds=40, tasks=320) < planned


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_components_need_two_seeds_and_two_tasks(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least two seeds and two tasks"):
        variance_components(np.zeros(shape))
