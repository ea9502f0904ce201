"""Controls at full size: a method against itself, which must not star, and known losses, which must be found.

    python scripts/controls.py -o runs/controls                  # mini and tiny, the default recipe, 8 seeds
    python scripts/controls.py -o runs/controls --seeds 4 --comparisons 3 --steps 30

A/A: the seeds of one method are dealt into two halves, again and again, each deal another one; the halves are compared
as two methods are. All comparisons share one set of fits, so they are not independent. Known losses: the method tuned
for a third of the steps, and with rank 1, each on as many seeds as half of the method's, against the first half. Prints
a table as Markdown. The same command again tunes nothing that is stored in the folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np

import snibench
from snibench.base.hashing import derive_seed
from snibench.plan.request import QUICK
from snibench.report.questions import Questions
from snibench.stats.scopes import Sample
from snibench.stats.scores import Scores
from snibench.stats.summary import summarise

QUESTIONS = ("unseen", "seen")
METHOD = "unified-prompt"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not stored, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--comparisons", type=int, default=20)
    parser.add_argument("--steps", type=int, default=QUICK.steps)
    parser.add_argument("--limit", type=int, help="questions of a task")
    parser.add_argument("--losses", choices=("steps", "rank"), action="append", help="default: both")
    given = parser.parse_args(arguments)
    half = given.seeds // 2
    common = {"protocols": ["gap"], "baseline": None, "conflict": "off", "executor": "processes", "limit": given.limit}

    def run(method: str, seeds: int, steps: int) -> snibench.Results:
        return snibench.run(method, given.output_dir, seeds=range(seeds), steps=steps, **common)

    whole = run(METHOD, 2 * half, given.steps)
    wanted = {"steps": (METHOD, given.steps // 3), "rank": (f"{METHOD}(r=1)", given.steps)}
    losses = {name: run(wanted[name][0], half, wanted[name][1]) for name in given.losses or wanted}
    print("| question | comparison | number | starred | difference, points | finds, points |\n" + "|" + " --- |" * 6)
    for question in QUESTIONS:
        scores = scores_of(whole, question)
        print(row(question, "A/A", [verdict(pair) for pair in aa_pairs(scores, given.comparisons)]))
        for name, results in losses.items():
            pair = with_loss(scores, scores_of(results, question), half)
            print(row(question, f"known loss: {name}", [verdict(pair)]))


def scores_of(results: snibench.Results, question: str) -> Scores:
    """What the one method of ``results`` scored in answer to ``question``."""
    found = Questions(results.stored).split(question)
    if found is None:
        raise SystemExit(f"Nothing to compare on {question} tasks: no fit is done.")
    return found


def aa_pairs(scores: Scores, count: int) -> Iterator[Scores]:
    """The method's seeds in two halves, as two methods, dealt in up to ``count`` ways, no two the same."""
    (sample,) = scores.methods.values()
    seeds = range(sample.seeds)
    deals = [deal for deal in combinations(seeds, sample.seeds // 2) if 0 in deal]  # each way once
    for deal in Random(derive_seed("A/A deals")).sample(deals, min(count, len(deals))):
        rest = [seed for seed in seeds if seed not in deal]
        yield replace(scores, methods={"A": of_seeds(sample, deal), "B": of_seeds(sample, rest)})


def with_loss(scores: Scores, lost: Scores, half: int) -> Scores:
    """The first ``half`` of the method's seeds, and what was tuned with less."""
    if scores.tasks != lost.tasks:
        raise SystemExit("The known loss answered other tasks than the method. Delete the folder and repeat.")
    (sample,), (worse,) = scores.methods.values(), lost.methods.values()
    return replace(scores, methods={"A": worse, "B": of_seeds(sample, range(half))})


def of_seeds(sample: Sample, seeds: Sequence[int]) -> Sample:
    """``sample`` with some of its seeds."""
    rows = list(seeds)
    sides = tuple(
        replace(side, table=side.table[rows], instances=tuple(task[rows] for task in side.instances))
        for side in sample.sides
    )
    return replace(sample, sides=sides)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of "A" against "B", as the report has it; fractions."""

    starred: bool
    delta: float
    mde: float


def verdict(pair: Scores) -> Verdict:
    """The report's verdict on the pair alone."""
    found = summarise(pair, baseline="B").table.set_index("method").loc["A"]
    return Verdict(bool(found["significant"]), float(found["delta"]), float(found["mde"]))


def row(question: str, comparison: str, found: Sequence[Verdict]) -> str:
    """A row of the table: the number of stars, the range of the differences, the median effect that is found."""
    deltas = [100 * one.delta for one in found]
    shown = f"{deltas[0]:+.1f}" if len(found) == 1 else f"{min(deltas):+.1f} to {max(deltas):+.1f}"
    mde = 100 * float(np.median([one.mde for one in found]))
    stars = sum(one.starred for one in found)
    return f"| {question} | {comparison} | {len(found)} | {stars} | {shown} | {mde:.1f} |"


if __name__ == "__main__":
    main()
