from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from snibench.stats.arrays import Floats
from snibench.stats.gaps import gap_difference_interval, gap_interval, instance_scores


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def side(tasks: int, seeds: int, instances: int, mean: float, *, seed: int) -> list[Floats]:
    """Graded instance scores of tasks that differ in difficulty."""
    generator = rng(seed)
    levels = np.clip(generator.normal(mean, 0.2, tasks), 0.05, 0.95)
    return [(generator.random((seeds, instances)) < level).astype(float) for level in levels]


def test_the_gap_is_the_mean_over_seen_tasks_minus_that_over_unseen_ones() -> None:
    seen = [np.full((1, 4), 0.8), np.full((1, 2), 0.6)]
    unseen = [np.full((1, 5), 0.4)]
    assert gap_interval(seen, unseen, rng=rng()).value == pytest.approx(0.3)


def test_few_tasks_a_side_get_welchs_interval() -> None:
    seen, unseen = side(5, 1, 50, 0.7, seed=0), side(6, 1, 50, 0.5, seed=1)
    interval = gap_interval(seen, unseen, rng=rng())
    oracle = scipy_stats.ttest_ind([t.mean() for t in seen], [t.mean() for t in unseen], equal_var=False)
    expected = oracle.confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.kind == "t, tasks only"


def test_few_sources_a_side_get_welchs_interval_however_many_tasks_they_have() -> None:
    seen, unseen = side(20, 1, 20, 0.7, seed=0), side(20, 1, 20, 0.5, seed=1)
    sources = [f"s{task % 4}" for task in range(20)]
    assert gap_interval(seen, unseen, rng=rng(), clusters=(sources, sources)).kind == "t, tasks only"


def literal_two_level_bootstrap(seen: list[Floats], unseen: list[Floats], draws: int) -> Floats:
    """The textbook loop: tasks with replacement, then instances within each task drawn."""
    generator = rng(7)

    def resampled(tasks: list[Floats]) -> float:
        drawn = [tasks[task] for task in generator.integers(len(tasks), size=len(tasks))]
        means = [scores[0, generator.integers(scores.shape[1], size=scores.shape[1])].mean() for scores in drawn]
        return float(np.mean(means))

    return np.array([resampled(seen) - resampled(unseen) for _ in range(draws)])


def test_the_gap_interval_is_that_of_the_literal_two_level_bootstrap() -> None:
    # Few instances, so that the second level matters: without it the interval would be a tenth narrower.
    seen, unseen = side(12, 1, 10, 0.7, seed=2), side(9, 1, 10, 0.5, seed=3)
    literal = np.quantile(literal_two_level_bootstrap(seen, unseen, 4_000), (0.025, 0.975))
    interval = gap_interval(seen, unseen, rng=rng(), draws=40_000)
    assert (interval.low, interval.high) == pytest.approx(tuple(literal), abs=0.012)
    one_level = gap_interval([t.mean(keepdims=True) for t in seen], [t.mean(keepdims=True) for t in unseen], rng=rng())
    assert one_level.high - one_level.low < 0.97 * (interval.high - interval.low)


def test_the_gap_bootstrap_agrees_with_the_analytic_error() -> None:
    seen, unseen = side(100, 1, 40, 0.7, seed=0), side(60, 1, 40, 0.5, seed=1)

    def variance(tasks: list[Floats]) -> float:
        return (np.var([t.mean() for t in tasks]) + np.mean([t.var() / t.size for t in tasks])) / len(tasks)

    interval = gap_interval(seen, unseen, rng=rng(), draws=50_000)
    analytic = np.sqrt(variance(seen) + variance(unseen))
    assert interval.se == pytest.approx(analytic, rel=0.02)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * analytic, rel=0.02)


def test_a_shift_of_both_sides_by_the_seed_is_no_noise_of_the_gap_but_one_of_a_side_is() -> None:
    shifts = np.array([[-0.1], [0.0], [0.1]])
    flat = [np.full((3, 5), 0.5 + 0.001 * task) for task in range(10)]
    shifted = [task + shifts for task in flat]
    assert gap_interval(shifted, shifted, rng=rng()).se_seed == pytest.approx(0.0)
    one_sided = gap_interval(shifted, flat, rng=rng())
    assert one_sided.se_seed == pytest.approx(0.1 / np.sqrt(3))
    assert one_sided.kind == "two-level bootstrap, tasks+seeds"
    # t with 2 degrees of freedom on a standard error of .1/sqrt(3), task noise beside it next to nothing
    assert one_sided.high - one_sided.value == pytest.approx(4.303 * 0.1 / np.sqrt(3), rel=0.05)


def test_swapping_the_sides_mirrors_the_gap() -> None:
    seen, unseen = side(10, 3, 20, 0.7, seed=0), side(9, 3, 20, 0.5, seed=1)
    first = gap_interval(seen, unseen, rng=rng(), draws=40_000)
    second = gap_interval(unseen, seen, rng=rng(), draws=40_000)
    assert first.value == pytest.approx(-second.value)
    assert (first.low, first.high) == pytest.approx((-second.high, -second.low), abs=0.01)


def test_whole_sources_are_resampled() -> None:
    # Each task is there four times: the interval must be that of the ten distinct tasks.
    seen, unseen = side(10, 1, 30, 0.7, seed=0), side(10, 1, 30, 0.5, seed=1)
    sources = [f"s{task}" for task in range(10)]
    plain = gap_interval([t.mean(keepdims=True) for t in seen], [t.mean(keepdims=True) for t in unseen], rng=rng())
    copied = gap_interval(
        [t.mean(keepdims=True) for t in seen for _ in range(4)],
        [t.mean(keepdims=True) for t in unseen for _ in range(4)],
        rng=rng(),
        clusters=([s for s in sources for _ in range(4)],) * 2,
    )
    assert (copied.low, copied.high) == pytest.approx((plain.low, plain.high))


@pytest.mark.parametrize("tasks", [5, 12])
def test_the_difficulty_of_tasks_cancels_in_a_difference_of_gaps(tasks: int) -> None:
    seen, unseen = side(tasks, 1, 50, 0.7, seed=0), side(tasks, 1, 50, 0.5, seed=1)
    theirs = ([task - 0.1 for task in seen], [task - 0.3 for task in unseen])
    interval = gap_difference_interval((seen, unseen), theirs, rng=rng())
    assert (interval.low, interval.value, interval.high) == pytest.approx((-0.2, -0.2, -0.2))


def test_a_difference_of_gaps_counts_the_seeds_of_both_methods() -> None:
    ours = (side(9, 3, 20, 0.7, seed=0), side(9, 3, 20, 0.5, seed=1))
    theirs = (side(9, 5, 20, 0.6, seed=2), side(9, 5, 20, 0.5, seed=3))
    parts = [gap_interval(*sides, rng=rng()) for sides in (ours, theirs)]
    both = gap_difference_interval(ours, theirs, rng=rng())
    assert both.value == pytest.approx(parts[0].value - parts[1].value)
    assert both.se_seed**2 == pytest.approx(sum(part.se_seed**2 for part in parts))


def test_the_gap_refuses_missing_seeds_tasks_and_instances() -> None:
    good = [np.zeros((2, 3)), np.zeros((2, 3))]
    with pytest.raises(ValueError, match="different numbers of seeds"):
        gap_interval([np.zeros((2, 3)), np.zeros((1, 3))], good, rng=rng())
    with pytest.raises(ValueError, match="the sides have 2 and 1 seeds"):
        gap_interval(good, [np.zeros((1, 3))], rng=rng())
    with pytest.raises(ValueError, match="unseen needs at least one task"):
        gap_interval(good, [], rng=rng())
    with pytest.raises(ValueError, match="not finite"):
        gap_interval([np.array([[np.nan]])], good, rng=rng())
    with pytest.raises(ValueError, match="ours and theirs differ in tasks or instances"):
        gap_difference_interval((good, good), ([np.zeros((2, 3)), np.zeros((2, 4))], good), rng=rng())


def test_instance_scores_are_arrays_of_seeds_by_instances_per_task() -> None:
    rows = pd.DataFrame(
        [
            ("b", 1, "x", 0.1),
            ("b", 0, "x", 0.2),
            ("a", 0, "y", 0.3),
            ("a", 1, "y", 0.4),
            ("a", 1, "x", 0.5),
            ("a", 0, "x", 0.6),
        ],
        columns=["task", "seed", "instance", "score"],
    )
    arrays_ = instance_scores(rows)
    assert {task: values.tolist() for task, values in arrays_.items()} == {
        "a": [[0.6, 0.3], [0.5, 0.4]],
        "b": [[0.2], [0.1]],
    }
