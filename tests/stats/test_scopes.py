from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from snibench.stats.arrays import Floats
from snibench.stats.scopes import Comparison, Sample, Side, Tuning, compare, pooled_noise, seed_noise

FIXED = Tuning(deterministic=True)
TUNED = Tuning()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def sample(answers: list[Floats], tuning: Tuning = TUNED) -> Sample:
    """Of instance scores ``[S, n]`` per task."""
    return Sample((Side(np.stack([task.mean(axis=1) for task in answers], axis=1), tuple(answers)),), tuning)


def answers(seed: int, *, seeds: int = 3, sizes: tuple[int, ...] = (4, 7, 5, 9, 6)) -> list[Floats]:
    generator = rng(seed)
    return [generator.integers(0, 2, (seeds, size)).astype(float) for size in sizes]


def literal(ours: list[Floats], theirs: list[Floats]) -> dict[str, float]:
    """The formulas of docs/statistics.md, cell by cell."""
    tasks, methods = len(ours), (ours, theirs)
    cells = [np.array([[task[s].mean() for task in method] for s in range(len(method[0]))]) for method in methods]
    d = cells[0].mean(axis=0) - cells[1].mean(axis=0)
    found = {"task": d.var(ddof=1) / tasks, "inst": 0.0, "seed": 0.0, "cell": 0.0, "res": 0.0}
    for a, b in zip(ours, theirs, strict=True):
        n = a.shape[1]
        found["inst"] += (a.mean(axis=0) - b.mean(axis=0)).var(ddof=1) / n / tasks**2
    for method, table in zip(methods, cells, strict=True):
        seeds = len(table)
        found["seed"] += table.mean(axis=1).var(ddof=1) / seeds
        squares = 0.0
        for s in range(seeds):
            for t in range(tasks):
                squares += (table[s, t] - table[:, t].mean() - table[s].mean() + table.mean()) ** 2
        found["cell"] += squares / ((seeds - 1) * (tasks - 1)) / (seeds * tasks)
        for task in method:
            n = task.shape[1]
            left = task - task.mean(axis=0) - task.mean(axis=1)[:, None] + task.mean()
            found["res"] += (left**2).sum() / ((seeds - 1) * (n - 1)) / (seeds * n) / tasks**2
    return found


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_every_mean_square_is_that_of_its_formula(seeds: int) -> None:
    ours, theirs = answers(1, seeds=seeds), answers(2, seeds=seeds)
    parts, expected = compare(sample(ours), sample(theirs)), literal(ours, theirs)
    squares = parts.squares
    assert squares.inst is not None
    assert squares.res is not None
    assert parts.seeds.variance.value == pytest.approx(expected["seed"])
    found = {"task": squares.task, "cell": squares.cell, "inst": squares.inst, "res": squares.res}
    assert {name: part.value for name, part in found.items()} == pytest.approx({k: expected[k] for k in found})
    for estimate, base, twice in ((parts.like_these, "task", "cell"), (parts.suite, "inst", "res")):
        assert estimate is not None
        wanted = expected[base] + expected["seed"] - expected[twice]
        assert estimate.se**2 == pytest.approx(max(wanted, expected[base], expected["seed"]))
        df = estimate.se**4 / (
            expected[base] ** 2 / found[base].df
            + expected["seed"] ** 2 / (2 * (seeds - 1))
            + expected[twice] ** 2 / found[twice].df
        )
        assert estimate.df == pytest.approx(max(1.0, df))
        half = scipy_stats.t.ppf(0.975, estimate.df) * estimate.se
        assert (estimate.low, estimate.high) == pytest.approx(
            (max(-1.0, estimate.value - half), min(1.0, estimate.value + half))
        )


def test_degrees_of_freedom_are_those_of_the_design() -> None:
    squares = compare(sample(answers(1, sizes=(6,) * 5)), sample(answers(2, sizes=(6,) * 5))).squares
    assert squares.task.df == 4
    assert squares.cell.df <= 2 * (3 - 1) * (5 - 1)
    assert squares.inst is not None
    assert squares.inst.df <= 5 * (6 - 1)


def test_a_shift_by_the_seed_counts_once_in_both_scopes() -> None:
    # Nothing but a shift: the same tasks, the same instances, seeds that move all of them together.
    base = np.tile(rng(3).random((1, 6, 1)), (1, 1, 8))
    moved = [np.stack(task) for task in np.moveaxis(base + np.array([-0.1, 0.0, 0.1])[:, None, None], 1, 0)]
    still = [np.stack(task) for task in np.moveaxis(base + np.zeros((3, 1, 1)), 1, 0)]
    parts = compare(sample(moved), sample(still))
    for estimate in (parts.like_these, parts.suite):
        assert estimate is not None
        assert estimate.se == pytest.approx(0.1 / np.sqrt(3))


def test_sources_are_summed_in_tasks_and_in_cells() -> None:
    # Each task is there twice: the variances must be those of the distinct ones.
    ours, theirs = rng(0).random((3, 6)), rng(1).random((3, 6))
    plain = compare(Sample((Side(ours),)), Sample((Side(theirs),)))
    twice = compare(
        Sample((Side(np.repeat(ours, 2, axis=1)),)),
        Sample((Side(np.repeat(theirs, 2, axis=1)),)),
        clusters=([f"s{task // 2}" for task in range(12)],),
    )
    assert (twice.like_these.low, twice.like_these.high) == pytest.approx((plain.like_these.low, plain.like_these.high))
    assert twice.squares.cell.value == pytest.approx(plain.squares.cell.value)


@given(st.integers(0, 500), st.integers(2, 4), st.integers(2, 4))
def test_swapping_the_methods_mirrors_both_scopes(seed: int, seeds: int, others: int) -> None:
    ours, theirs = sample(answers(seed, seeds=seeds)), sample(answers(seed + 1000, seeds=others))
    one, other = compare(ours, theirs), compare(theirs, ours)
    for first, second in ((one.like_these, other.like_these), (one.suite, other.suite)):
        assert first is not None
        assert second is not None
        assert (first.low, first.value, first.high) == pytest.approx((-second.high, -second.value, -second.low))
        assert first.df == pytest.approx(second.df)


# ------------------------------------------------------------------------------------- seeds


def test_unequal_numbers_of_seeds_share_one_variance() -> None:
    a, b = rng(0).random((2, 8)), rng(1).random((4, 8))
    noise = seed_noise(Sample((Side(a),)), Sample((Side(b),)))
    pooled = (1 * a.mean(axis=1).var(ddof=1) + 3 * b.mean(axis=1).var(ddof=1)) / 4
    assert noise.variance.value == pytest.approx(pooled * (1 / 2 + 1 / 4))
    assert (noise.variance.df, noise.pooling) == (4, "pair")


def test_unlike_recipes_are_not_pooled() -> None:
    a, b = rng(0).random((3, 8)), 0.1 * rng(1).random((3, 8))
    long, short = Sample((Side(a),), Tuning(recipe="long")), Sample((Side(b),), Tuning(recipe="short"))
    noise = seed_noise(long, short)
    welch = scipy_stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    assert noise.pooling == "unpooled"
    assert noise.variance.df == pytest.approx(welch.df)


def test_a_deterministic_method_adds_no_noise_of_seeds_cells_or_answers() -> None:
    ours, floor = answers(1), [task[:1] for task in answers(2)]
    parts, expected = compare(sample(ours), sample(floor, FIXED)), literal(ours, [np.tile(t, (3, 1)) for t in floor])
    assert parts.seeds.pooling == "one method"
    assert parts.seeds.variance.df == 2
    assert parts.squares.cell.value == pytest.approx(expected["cell"])
    assert parts.squares.res is not None
    assert parts.squares.res.value == pytest.approx(expected["res"])


def test_two_deterministic_methods_differ_by_tasks_or_by_instances_alone() -> None:
    ours, theirs = ([task[:1] for task in answers(seed)] for seed in (1, 2))
    parts = compare(sample(ours, FIXED), sample(theirs, FIXED))
    assert parts.like_these.df == pytest.approx(4)
    assert parts.like_these.se == parts.like_these.se_task
    assert parts.suite is not None
    assert parts.suite.se_seed == 0.0


@pytest.mark.parametrize("single", ["ours", "theirs"])
def test_a_tuned_method_with_one_seed_has_no_scope(single: str) -> None:
    one, many = sample([task[:1] for task in answers(1)]), sample(answers(2))
    parts: Comparison = compare(one, many) if single == "ours" else compare(many, one)
    for estimate in (parts.like_these, parts.suite):
        assert estimate is not None
        assert np.isnan([estimate.low, estimate.high, estimate.p, estimate.df]).all()
        assert np.isfinite(estimate.value)


def test_four_methods_of_one_recipe_lend_each_other_their_seeds() -> None:
    tables = {name: rng(seed).random((3, 8)) for seed, name in enumerate("abcd")}
    samples = {name: Sample((Side(table),), Tuning(recipe="r", adapter="lora")) for name, table in tables.items()}
    noise = pooled_noise(samples, "a", "b")
    mean = np.mean([table.mean(axis=1).var(ddof=1) for table in tables.values()])
    assert noise.variance.value == pytest.approx(2 * mean / 3)
    assert (noise.variance.df, noise.pooling, noise.pooled) == (8, "methods", ("a", "b", "c", "d"))


@pytest.mark.parametrize(
    "odd",
    [
        Sample((Side(rng(9).random((3, 8))),), Tuning(recipe="r", adapter="full")),
        Sample((Side(rng(9).random((3, 8))),), Tuning(recipe="longer", adapter="lora")),
        Sample((Side(rng(9).random((2, 8))),), Tuning(recipe="r", adapter="lora")),
        Sample((Side(rng(9).random((3, 8))),), FIXED),
    ],
)
def test_a_method_unlike_the_pair_lends_nothing(odd: Sample) -> None:
    alike = Tuning(recipe="r", adapter="lora")
    samples = {name: Sample((Side(rng(seed).random((3, 8))),), alike) for seed, name in enumerate("abc")}
    assert pooled_noise(samples | {"odd": odd}, "a", "b").pooling == "pair"
    fourth = replace(samples["a"], sides=(Side(rng(7).random((3, 8))),))
    assert pooled_noise(samples | {"odd": odd, "d": fourth}, "a", "b").pooled == ("a", "b", "c", "d")


# ------------------------------------------------------------------------------- what is not known


def test_without_instances_or_with_one_of_a_task_there_is_no_scope_of_the_suite() -> None:
    assert compare(Sample((Side(rng(0).random((3, 5))),)), Sample((Side(rng(1).random((3, 5))),))).suite is None
    single = [*answers(1)[:4], rng(0).random((3, 1))]
    assert compare(sample(single), sample(single)).suite is None


def test_other_tasks_or_instances_are_refused() -> None:
    with pytest.raises(ValueError, match="different tasks"):
        compare(sample(answers(1)), sample(answers(1)[:3]))
    with pytest.raises(ValueError, match="differ in instances"):
        compare(sample(answers(1)), sample(answers(1, sizes=(4, 7, 5, 9, 7))))


def test_the_gap_adds_both_sides_but_takes_seeds_from_the_gap_itself() -> None:
    ours, theirs = (Sample((Side(rng(s).random((3, 6))), Side(rng(s + 5).random((3, 9))))) for s in (1, 2))
    parts = compare(ours, theirs)
    sides = [compare(Sample((ours.sides[k],)), Sample((theirs.sides[k],))) for k in (0, 1)]
    assert parts.like_these.value == pytest.approx(sides[0].like_these.value - sides[1].like_these.value)
    assert parts.squares.task.value == pytest.approx(sum(side.squares.task.value for side in sides))
    by_seed = [s.sides[0].table.mean(axis=1) - s.sides[1].table.mean(axis=1) for s in (ours, theirs)]
    assert parts.seeds.variance.value == pytest.approx(sum(gap.var(ddof=1) / 3 for gap in by_seed))
