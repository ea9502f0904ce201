from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.stats.intervals import difference_interval
from snibench.stats.power import (
    Components,
    Design,
    components,
    design_factor,
    minimum_detectable_effect,
    planned_effect,
    run_factor,
)
from snibench.stats.scopes import Sample, Side, compare

# By simulation, as docs/statistics.md has them.
RUN_FACTORS = {2: 8.77, 3: 5.70, 4: 4.68, 5: 4.18, 6: 3.89, 8: 3.56, 10: 3.39, 15: 3.17, 20: 3.07, 30: 2.98, 100: 2.85}
DESIGN_FACTORS = {2: 5.65, 3: 4.26, 4: 3.76, 5: 3.51, 6: 3.37, 8: 3.20, 10: 3.11, 15: 3.00, 20: 2.95, 100: 2.83}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("df", "factor"), RUN_FACTORS.items())
def test_the_effect_of_a_run_in_its_own_standard_errors(df: int, factor: float) -> None:
    assert run_factor(df) == pytest.approx(factor, abs=0.015)


@pytest.mark.parametrize(("df", "factor"), DESIGN_FACTORS.items())
def test_the_effect_of_a_design_is_that_of_the_noncentral_t(df: int, factor: float) -> None:
    assert design_factor(df) == pytest.approx(factor, abs=0.015)


def test_the_factor_of_a_design_agrees_with_statsmodels() -> None:
    power = pytest.importorskip("statsmodels.stats.power")
    d = power.TTestPower().solve_power(nobs=20, alpha=0.05, power=0.8)
    assert design_factor(19) == pytest.approx(d * np.sqrt(20), rel=2e-3)


def test_with_many_degrees_of_freedom_both_are_the_sum_of_the_normal_quantiles() -> None:
    assert run_factor(1e6) == pytest.approx(1.960 + 0.842, abs=0.002)


@pytest.mark.parametrize("df", [4, 9])
def test_at_the_effect_of_a_run_other_runs_find_it_in_80_percent_on_average(df: int) -> None:
    generator = rng(1)
    se, other = np.sqrt(generator.chisquare(df, (2, 200_000)) / df)
    effect = run_factor(df) * se  # what each run prints, in true standard errors
    from scipy import stats as scipy_stats

    cut = scipy_stats.t.ppf(0.975, df)
    found = np.abs(generator.standard_normal(200_000) + effect) > cut * other
    assert found.mean() == pytest.approx(0.8, abs=0.01)


def test_without_spread_or_interval_nothing_is_known_of_what_can_be_found() -> None:
    assert np.isnan(minimum_detectable_effect(difference_interval(np.full(4, 0.5), np.full(4, 0.4))))
    assert np.isnan(minimum_detectable_effect(difference_interval(np.zeros(2), np.ones(2))))


# --------------------------------------------------------------------------------- another design

PARTS = Components(task=0.0009, instance=0.0448, seed=0.000512, cell=0.0098, answer=0.1751)


@pytest.mark.parametrize(
    ("tasks", "instances", "seeds", "points"),
    [(12, 20, 3, 11.6), (31, 10, 4, 7.1), (31, 10, 3, 8.7), (31, 10, 2, 13.8)],
)
def test_planned_effects_are_those_of_simulated_runs(tasks: int, instances: int, seeds: int, points: float) -> None:
    # Simulated with right and wrong answers (docs/statistics.md): seed SD 1.6 (2 at T = 12), cells 7, tasks 3 points.
    parts = replace(PARTS, seed=0.0008) if tasks == 12 else PARTS
    assert 100 * planned_effect(parts, Design(tasks, instances, seeds)) == pytest.approx(points, rel=0.03)


@given(st.integers(3, 60), st.integers(2, 30), st.integers(2, 6))
def test_more_of_anything_finds_smaller_effects(tasks: int, instances: int, seeds: int) -> None:
    design = Design(tasks, instances, seeds)
    effect = planned_effect(PARTS, design, runs=2_000)
    for more in (
        replace(design, tasks=2 * tasks), replace(design, instances=4 * instances), replace(design, seeds=2 * seeds)
    ):  # fmt: skip
        assert planned_effect(PARTS, more, runs=2_000) < 1.02 * effect


def test_this_suite_needs_no_more_than_tasks_like_these_where_methods_differ_by_task() -> None:
    parts = replace(PARTS, task=0.01)
    design = Design(31, 10, 4)
    assert planned_effect(parts, design, scope="this suite") < 0.85 * planned_effect(parts, design)


def test_a_design_without_a_second_seed_or_third_task_sees_nothing_that_can_be_said() -> None:
    assert np.isnan(planned_effect(PARTS, Design(31, 10, 1)))
    assert np.isnan(planned_effect(PARTS, Design(2, 10, 3)))


def test_components_are_found_in_what_they_made() -> None:
    tasks, instances, seeds = 150, 12, 8
    generator = rng(3)
    sds = {"task": 0.03, "instance": 0.1, "seed": 0.02, "cell": 0.05, "answer": 0.2}
    apart = generator.normal(0, sds["task"], (1, tasks, 1))

    def method(own: float) -> Sample:
        values = own * apart
        for sd, shape in (
            ("instance", (1, tasks, instances)), ("seed", (seeds, 1, 1)), ("cell", (seeds, tasks, 1)),
            ("answer", (seeds, tasks, instances)),
        ):  # fmt: skip
            values = values + generator.normal(0, sds[sd], shape)
        return Sample((Side(values.mean(axis=2), tuple(values[:, task] for task in range(tasks))),))

    ours, theirs = method(1.0), method(0.0)
    parts = components(compare(ours, theirs, bounds=(-9, 9)).squares, ours, theirs)
    expected = {name: sd**2 * (1 if name == "task" else 2) for name, sd in sds.items()}
    for name in ("instance", "cell", "answer"):
        assert getattr(parts, name) == pytest.approx(expected[name], rel=0.15)
    assert parts.task == pytest.approx(expected["task"], abs=0.0006)
    assert parts.seed == pytest.approx(expected["seed"], abs=0.0008)


def test_components_give_back_the_mean_squares_they_came_from() -> None:
    generator = rng(5)
    answers = [generator.random((3, 6)) for _ in range(10)], [generator.random((3, 6)) for _ in range(10)]
    ours, theirs = (
        Sample((Side(np.stack([task.mean(axis=1) for task in method], axis=1), tuple(method)),)) for method in answers
    )
    squares = compare(ours, theirs).squares
    parts = components(squares, ours, theirs)
    again = parts.variances(Design(10, 6, 3))
    assert squares.res is not None
    assert again["res"] == pytest.approx(squares.res.value)
    if "cell" not in parts.clipped:
        assert again["cell"] == pytest.approx(squares.cell.value)


def test_a_negative_component_is_clipped_and_named() -> None:
    # Seeds have equal means although their cells differ: less than cells alone would give.
    table = np.array([[0.1, 0.9, 0.5], [0.9, 0.5, 0.1], [0.5, 0.1, 0.9]])
    answers = tuple(np.repeat(table[:, task, None], 4, axis=1) for task in range(3))
    ours = Sample((Side(table, answers),))
    parts = components(compare(ours, ours).squares, ours, ours)
    assert parts.seed == 0.0
    assert "seed" in parts.clipped


def test_components_need_seeds_and_instances() -> None:
    one = Sample((Side(rng(0).random((1, 5))),))
    with pytest.raises(ValueError, match="at least two"):
        components(compare(one, one).squares, one, one)
