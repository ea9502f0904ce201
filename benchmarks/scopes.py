"""Simulated coverage, false stars and power of the two scopes of a comparison, through the code of the reports.

    python benchmarks/scopes.py             about four minutes on one core
    python benchmarks/scopes.py --runs 40   a look

Answers are right or wrong. The expected score of a method, seed and task is the task's own level, plus what the method
gains on this task, a shift by the seed, and a residual of task x seed, cut to [0, 1]; answers follow it exactly, and
share most of their noise between methods and seeds that answer the same instance. The tables go into
docs/statistics.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from snibench.stats.arrays import Floats
from snibench.stats.estimates import Estimate
from snibench.stats.outcomes import within
from snibench.stats.paired import sign_flip_p
from snibench.stats.power import minimum_detectable_effect
from snibench.stats.scopes import Comparison, Sample, Side, Tuning, compare, pooled_noise

SHARED, OWN, FRESH = 0.72, 0.10, 0.18  # of the noise of an answer: instance, method x instance, this answer
ALIKE = Tuning(recipe="one", adapter="one")


@dataclass(frozen=True)
class World:
    """What is true, SDs in points, and how much of it is measured."""

    name: str
    tasks: int = 31
    instances: int = 10
    seeds: int = 4
    their_seeds: int = 0  # 0: as ours
    seed_sd: float = 1.6
    cell_sd: float = 7.0
    task_sd: float = 3.0  # of the true difference between tasks
    effect: float = 0.0  # true mean difference
    easy: float = 0.0  # share of tasks at 97%
    ragged: bool = False  # a quarter, a half, all of the instances in turn
    dominant: float = 0.0  # share of tasks of one source; the difference varies between sources
    ratio: float = 1.0  # their noise of seeds and cells over ours
    methods: int = 2  # of one recipe


WORLDS = (
    World("31 tasks x 10 instances, 4 seeds"),
    World("2 seeds", seeds=2),
    World("12 tasks x 20, 3 seeds", tasks=12, instances=20, seeds=3, seed_sd=2.0),
    World("no seed shift", seed_sd=0.0),
    World("methods differ by task (SD 10)", task_sd=10.0),
    World("half of the tasks at 97%", easy=0.5),
    World("unequal instances", instances=20, ragged=True),
    World("missing seeds: 4 against 2", their_seeds=2),
    World("one seed in the baseline", their_seeds=1),
    World("a baseline with a quarter of the noise", ratio=0.25),
    World("six methods pooled", methods=6),
    World("one source with 60% of the tasks", task_sd=6.0, dominant=0.6),
)


def clipped_mean(mean: Floats, sd: float) -> Floats:
    """Expected value of a normal number cut to [0, 1]."""
    if sd == 0.0:
        return np.clip(mean, 0.0, 1.0)
    low, high = -mean / sd, (1.0 - mean) / sd
    inside = special.ndtr(high) - special.ndtr(low)
    bend = sd * (np.exp(-(low**2) / 2) - np.exp(-(high**2) / 2)) / np.sqrt(2 * np.pi)
    return np.asarray(mean * inside + bend + 1.0 - special.ndtr(high))


def sources(world: World) -> list[str] | None:
    if not world.dominant:
        return None
    large = round(world.dominant * world.tasks)
    return ["large"] * large + [f"s{task}" for task in range(large, world.tasks)]


def experiment(world: World, rng: np.random.Generator) -> tuple[dict[str, Sample], float]:
    """Samples by method, "a" and "b" first, and the true difference of a and b on these very tasks."""
    levels = rng.uniform(0.2, 0.8, world.tasks)
    levels = np.where(rng.random(world.tasks) < world.easy, 0.97, levels)
    names = sources(world)
    units = np.arange(world.tasks) if names is None else np.unique(names, return_inverse=True)[1]
    gains = rng.normal(world.effect / 100, world.task_sd / 100, units.max() + 1)[units]
    sizes = np.full(world.tasks, world.instances)
    if world.ragged:
        sizes = np.resize([world.instances // 4, world.instances // 2, world.instances], world.tasks)
    shared = rng.standard_normal((world.tasks, world.instances))
    samples, truths = {}, []
    for number in range(world.methods):
        seeds = (world.their_seeds or world.seeds) if number else world.seeds
        scale = world.ratio if number else 1.0
        level = levels + (gains if number == 0 else 0.0)
        shift = rng.normal(0.0, scale * world.seed_sd / 100, (seeds, 1))
        chance = np.clip(level + shift + rng.normal(0.0, scale * world.cell_sd / 100, (seeds, world.tasks)), 0.0, 1.0)
        threshold = special.ndtri(np.clip(chance, 1e-7, 1 - 1e-7))[:, :, None]
        own = rng.standard_normal((world.tasks, world.instances))
        fresh = rng.standard_normal((seeds, world.tasks, world.instances))
        noise = np.sqrt(SHARED) * shared + np.sqrt(OWN) * own + np.sqrt(FRESH) * fresh
        right = (noise < threshold).astype(np.float64)
        answers = tuple(right[:, task, : sizes[task]] for task in range(world.tasks))
        table = np.stack([task.mean(axis=1) for task in answers], axis=1)
        samples["abcdefgh"[number]] = Sample((Side(table, answers),), ALIKE)
        truths.append(clipped_mean(level, scale * np.hypot(world.seed_sd, world.cell_sd) / 100).mean())
    return samples, truths[0] - truths[1]


def true_mean(world: World) -> float:
    """The mean difference over all tasks of this kind; cutting at 0 and 1 moves it a little."""
    rng = np.random.default_rng(1)
    levels = np.where(rng.random(400_000) < world.easy, 0.97, rng.uniform(0.2, 0.8, 400_000))
    gains = rng.normal(world.effect / 100, world.task_sd / 100, 400_000)
    sd = np.hypot(world.seed_sd, world.cell_sd) / 100
    return float((clipped_mean(levels + gains, sd) - clipped_mean(levels, world.ratio * sd)).mean())


def outcomes(world: World, runs: int) -> list[tuple[Comparison, float, float]]:
    """Per experiment both scopes, the sign-flip p, and the true difference on its tasks."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(runs):
        samples, truth = experiment(world, rng)
        clusters = sources(world)
        parts = compare(
            samples["a"], samples["b"], clusters=(clusters,), pool=pooled_noise(samples, "a", "b")
        )  # fmt: skip
        difference = samples["a"].sides[0].table.mean(axis=0) - samples["b"].sides[0].table.mean(axis=0)
        p = float(sign_flip_p(difference, rng=rng, clusters=clusters, draws=999))
        found.append((parts, p, truth))
    return found


def covers(estimate: Estimate, truth: float) -> bool:
    return bool(estimate.low <= truth <= estimate.high)


def coverage_table(runs: int) -> Iterator[str]:
    """Markdown: coverage of both scopes, half-widths, false stars of two methods with equal true means."""
    yield "| world | like these | half-width | this suite | half-width | false stars |"
    yield "|---|---|---|---|---|---|"
    for world in WORLDS:
        found, middle = outcomes(world, runs), true_mean(world)
        known = [parts for parts, _, _ in found if parts.suite is not None and np.isfinite(parts.like_these.low)]
        stars = np.mean([p < 0.05 and parts.like_these.p < 0.05 for parts, p, _ in found])
        if not known:
            yield f"| {world.name} | no interval | - | no interval | - | {stars:.1%} |"
            continue
        like = np.mean([covers(parts.like_these, middle) for parts, _, _ in found])
        suite = np.mean([parts.suite is not None and covers(parts.suite, truth) for parts, _, truth in found])
        halves = [
            50 * np.median([part.high - part.low for part in column])
            for column in ([p.like_these for p in known], [p.suite for p in known if p.suite is not None])
        ]
        said = "none is given" if world.dominant else f"{stars:.1%}"
        yield f"| {world.name} | {like:.1%} | {halves[0]:.1f} | {suite:.1%} | {halves[1]:.1f} | {said} |"


def power_table(runs: int) -> Iterator[str]:
    """Markdown: the effect that runs print as found with 80% power, and how often an effect of that size is found."""
    yield "| world | scope | printed effect, median | its true power | equivalence within 2 at a true 2 |"
    yield "|---|---|---|---|---|"
    for world in (WORLDS[0], WORLDS[2], WORLDS[4], WORLDS[10], WORLDS[1]):
        still, at_margin = outcomes(world, runs), outcomes(replace(world, effect=2.0), runs)
        middle = true_mean(world)
        for scope in ("like these", "this suite"):
            suite = scope == "this suite"
            truths = [truth if suite else middle for _, _, truth in still]
            estimates = [parts.suite if suite else parts.like_these for parts, _, _ in still]
            errors = np.array([e.value - t for e, t in zip(estimates, truths, strict=True) if e is not None])
            cuts = np.array([e.half_width(0.95) for e in estimates if e is not None])
            printed = np.array([minimum_detectable_effect(e) for e in estimates if e is not None])
            power = np.mean([(np.abs(errors + effect) > cuts).mean() for effect in printed])
            claims = [within(e) for p, _, _ in at_margin if (e := p.suite if suite else p.like_these) is not None]
            yield f"| {world.name} | {scope} | {100 * np.median(printed):.1f} | {power:.0%} | {np.mean(claims):.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000, help="simulated experiments per row")
    runs = parser.parse_args().runs
    for table in (coverage_table(runs), power_table(runs)):
        for line in table:
            print(line, flush=True)
        print()
    print(f"{runs} experiments per row.")


if __name__ == "__main__":
    main()
