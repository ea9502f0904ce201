"""Simulated coverage of every interval that snibench prints, and how often a star is false.

    python benchmarks/interval_coverage.py            about two minutes on one core
    python benchmarks/interval_coverage.py --runs 50  a look

Scores are simulated with known true values, the interval is computed by the function that the reports use, and the
share of simulated experiments whose interval holds the true value is printed, in percent, with the mean half-width in
points. Nominal coverage is 95%. The tables go into docs/statistics.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from snibench.stats.arrays import Floats
from snibench.stats.correlation import rank_correlation
from snibench.stats.intervals import difference_interval, gap_interval, mean_interval
from snibench.stats.paired import sign_flip_p
from snibench.stats.ranks import agreement, agreement_intervals

TASK_SD = 0.20  # of difficulty
EFFECT = 0.02  # true mean difference between the methods
EFFECT_SD = 0.03  # of the true difference over tasks
RESIDUAL_SD = 0.02  # of one run on one task
SEED_SDS = (0.0, 0.006)  # a shift of all tasks by the training seed
SEEDS, TASKS = (3, 5), (20, 119)
INSTANCES = 50  # of a task, in the gap
DRAWS = 2_000  # resamples: fewer than the reports take, to keep this short

Covered = tuple[bool, float]  # does the interval hold the truth; its half-width
Simulation = Callable[[np.random.Generator, int, int, float], dict[str, Covered]]


def covered(interval: object, truth: float) -> Covered:
    low, high = interval.low, interval.high  # type: ignore[attr-defined]
    return bool(low <= truth <= high), (high - low) / 2.0


def runs_of(true_scores: Floats, seeds: int, seed_sd: float, rng: np.random.Generator) -> Floats:
    """``[S, T]`` scores of one method whose expected scores are ``true_scores`` [T]."""
    shift = rng.normal(0.0, seed_sd, (seeds, 1))
    return true_scores + shift + rng.normal(0.0, RESIDUAL_SD, (seeds, len(true_scores)))


def means(rng: np.random.Generator, seeds: int, tasks: int, seed_sd: float) -> dict[str, Covered]:
    """Mean of one method, and its difference from another and from a deterministic floor."""
    difficulty = rng.normal(0.5, TASK_SD, tasks)
    effects = rng.normal(EFFECT, EFFECT_SD, tasks)
    theirs = runs_of(difficulty, seeds, seed_sd, rng)
    ours = runs_of(difficulty + effects, seeds, seed_sd, rng)
    floor = difficulty[None]
    return {
        "mean: t, tasks+seeds": covered(mean_interval(ours), 0.5 + EFFECT),
        "difference: t, tasks+seeds": covered(difference_interval(ours, theirs), EFFECT),
        "difference from a floor: t, tasks+seeds": covered(difference_interval(ours, floor), EFFECT),
        "difference: t, tasks only": covered(difference_interval(ours.mean(axis=0), theirs.mean(axis=0)), EFFECT),
    }


def gaps(rng: np.random.Generator, seeds: int, tasks: int, seed_sd: float) -> dict[str, Covered]:
    """Gap of one method between T seen and T unseen tasks, right and wrong answers to 50 instances of each."""
    seen, unseen = rng.beta(4.8, 3.2, tasks), rng.beta(4.0, 4.0, tasks)  # means 0.6 and 0.5, SD 0.16
    shift = rng.normal(0.0, seed_sd, (seeds, 1))
    sides = [
        rng.binomial(INSTANCES, np.clip(level, 0.0, 1.0)) / INSTANCES for level in (seen + 0 * shift, unseen + shift)
    ]
    return {"gap: t, tasks+seeds": covered(gap_interval(*sides), 0.1)}


TRUE_SCORES = np.array([0.40, 0.43, 0.46, 0.49]) + np.random.default_rng(1).normal(0.0, 0.03, (10, 4))  # [F, M]


def agreements(rng: np.random.Generator, _seeds: int, tasks: int, _seed_sd: float) -> dict[str, Covered]:
    """Agreement of ten formats on four methods; formats change the true order now and then."""
    scores = TRUE_SCORES[:, :, None] + rng.normal(0.0, 0.1, (*TRUE_SCORES.shape, tasks))
    intervals = agreement_intervals(scores, rng=rng, draws=DRAWS // 2)
    truth = agreement(TRUE_SCORES)
    return {
        f"agreement of formats: {name}": covered(interval, getattr(truth, name)) for name, interval in intervals.items()
    }


def correlations(rng: np.random.Generator, _seeds: int, tasks: int, _seed_sd: float) -> dict[str, Covered]:
    """Rank correlation of similarity and score: two normal measurements of each task whose correlation is 0.5."""
    x = rng.normal(size=tasks)
    y = 0.5 * x + np.sqrt(0.75) * rng.normal(size=tasks)
    found = rank_correlation(x, y, rng=rng, draws=DRAWS)
    return {
        "rank correlation 0.48: Spearman": covered(found.spearman, 6 / np.pi * np.arcsin(0.25)),
        "rank correlation 0.33: Kendall": covered(found.kendall, 2 / np.pi * np.arcsin(0.5)),
    }


def over_seeds(rng: np.random.Generator, _seeds: int, count: int, _seed_sd: float) -> dict[str, Covered]:
    """One number of each seed, as the gradient conflict is: mean 0.1, SD 0.05."""
    return {"conflict: t over seeds": covered(mean_interval(rng.normal(0.1, 0.05, (1, count))), 0.1)}


def coverage(simulate: Simulation, design: tuple[int, int, float], runs: int) -> dict[str, str]:
    """Per interval "coverage (half-width)", percent and points."""
    rng = np.random.default_rng(0)
    results = [simulate(rng, *design) for _ in range(runs)]
    return {
        name: f"{np.mean([r[name][0] for r in results]):.1%} ({100 * np.mean([r[name][1] for r in results]):.2f})"
        for name in results[0]
    }


def crossed_table(plan: list[tuple[Simulation, int]]) -> Iterator[str]:
    """Markdown: a row per interval and S, a column per T and seed SD."""
    columns = list(product(TASKS, SEED_SDS))
    yield "| interval | S | " + " | ".join(f"T = {t}, seed SD {100 * sd:g}" for t, sd in columns) + " |"
    yield "|---|---|" + "---|" * len(columns)
    for simulate, runs in plan:
        for seeds in SEEDS:
            cells = [coverage(simulate, (seeds, tasks, sd), runs) for tasks, sd in columns]
            for name in cells[0]:
                yield f"| {name} | {seeds} | " + " | ".join(cell[name] for cell in cells) + " |"


def plain_table(plan: list[tuple[Simulation, int, tuple[int, ...], str]]) -> Iterator[str]:
    """Markdown: a row per interval and size."""
    yield "| interval | size | coverage (half-width) |"
    yield "|---|---|---|"
    for simulate, runs, sizes, noun in plan:
        for size in sizes:
            for name, text in coverage(simulate, (3, size, SEED_SDS[-1]), runs).items():
                yield f"| {name} | {size} {noun} | {text} |"


def false_stars(runs: int) -> Iterator[str]:
    """Markdown: how often two methods of equal true means get p < 0.05."""
    columns = list(product(TASKS, SEED_SDS))
    yield "| rule | S | " + " | ".join(f"T = {t}, seed SD {100 * sd:g}" for t, sd in columns) + " |"
    yield "|---|---|" + "---|" * len(columns)
    for seeds in SEEDS:
        shares = []
        for tasks, seed_sd in columns:
            rng = np.random.default_rng(0)
            pairs = []
            for _ in range(runs):
                difficulty, effects = rng.normal(0.5, TASK_SD, tasks), rng.normal(0.0, EFFECT_SD, tasks)
                pairs.append([runs_of(t, seeds, seed_sd, rng) for t in (difficulty + effects, difficulty)])
            differences = np.stack([ours.mean(axis=0) - theirs.mean(axis=0) for ours, theirs in pairs])
            flips = sign_flip_p(differences, rng=rng, draws=DRAWS) < 0.05
            both = flips & (np.array([difference_interval(*pair).p for pair in pairs]) < 0.05)
            shares.append((flips.mean(), both.mean()))
        for rule, values in zip(("sign flips alone", "the star (both)"), zip(*shares, strict=True), strict=True):
            yield f"| {rule} | {seeds} | " + " | ".join(f"{value:.1%}" for value in values) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000, help="simulated experiments per cell of the t intervals")
    runs = parser.parse_args().runs
    fewer = max(1, runs // 4)  # resampling intervals cost more
    for table in (
        crossed_table(
            [
                (means, runs),
                (gaps, runs),
            ]
        ),
        plain_table(
            [
                (gaps, runs, (3, 5, 7), "tasks a side"),
                (agreements, fewer // 2, (20, 119), "tasks"),
                (correlations, fewer, (20, 119), "tasks"),
                (over_seeds, runs, (3, 5), "seeds"),
            ]
        ),
        false_stars(runs),
    ):
        print(*table, sep="\n", end="\n\n")
    print(f"{runs} experiments per cell of t intervals, {fewer} of the others ({fewer // 2} for agreement).")


if __name__ == "__main__":
    main()
