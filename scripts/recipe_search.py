"""Which recipe has the least noise for its seconds: schedules, learning rates and steps, on mini and tiny.

    python scripts/recipe_search.py -o runs/recipe                        # all candidates, lora and ours, 4 seeds
    python scripts/recipe_search.py -o runs/recipe -c linear,1.8 -c averaged --seeds 6
    python scripts/recipe_search.py -o runs/recipe -c linear,1,60         # a number after the rate's multiple: steps

Each trial tunes on the training instances of the seen tasks without those that `--tune-budget` holds back
(docs/recipe.md), and answers those; unseen tasks are not read. Prints a table as Markdown and the choice. The same
command again repeats no trial that is stored in the folder.

Per candidate: mean accuracy; the SD over seeds of the mean over tasks; the residual SD of a task in a seed (what
neither task nor seed explains); the seconds of processor time to tune; and the noise: the variance of a mean over all
tasks in one seed, times the seconds, as an SD. The lower, the more a second of processor time says. The variance is
that between seeds, or the residual's share of it where that is larger, as in the report's own tests.

The choice: of the candidates whose mean over the methods is within a point of the best one's, that with the least
noise of all methods together.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np

from snibench import metrics
from snibench.base.hashing import derive_seed
from snibench.base.registry import FORMATS
from snibench.base.types import FitSpec, Instance, RateSchedule, Recipe, SuiteData, SuiteRequest
from snibench.engine.decoding import Prompted, choose
from snibench.engine.tokens import Encoder
from snibench.fits.context import FitContext, FitProgress, Runtime
from snibench.fits.lr_search import held_back
from snibench.fits.run_one import attach, load, trainer_of
from snibench.plan.plan import Plan, plan
from snibench.plan.request import QUICK, RunRequest
from snibench.store import read_json, write_json

CANDIDATES = ("averaged", "averaged,1.8", "averaged,3", "constant", "linear,1.8", "linear,3", "cosine,1.8")
BASE = Recipe(QUICK.steps, schedule="constant")  # multiples are of the rates searched for under it
_PER_TASK = 10  # questions
_NOT_WORSE = 1.0  # points of the mean over methods


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe to try; ``multiple`` of the method's learning rate."""

    schedule: RateSchedule
    multiple: float = 1.0
    steps: int = QUICK.steps

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """``SCHEDULE[,MULTIPLE[,STEPS]]``."""
        schedule, *numbers = text.split(",")
        if schedule not in get_args(RateSchedule):
            raise argparse.ArgumentTypeError(
                f"a schedule is one of {', '.join(get_args(RateSchedule))}, not {schedule}"
            )
        multiple = float(numbers[0]) if numbers else 1.0
        steps = int(numbers[1]) if len(numbers) > 1 else QUICK.steps
        return cls(schedule, multiple, steps)  # type: ignore[arg-type]  # checked above

    def __str__(self) -> str:
        return f"{self.schedule}, {self.multiple:g} x the rate, {self.steps} steps"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not stored, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output-dir", type=Path, required=True)
    parser.add_argument("-m", "--method", action="append", help="default: lora and ours")
    parser.add_argument("-c", "--candidate", action="append", type=Candidate.parse, metavar="SCHEDULE[,X][,STEPS]")
    parser.add_argument("--seeds", type=int, default=4)
    given = parser.parse_args(arguments)
    candidates = given.candidate or [Candidate.parse(text) for text in CANDIDATES]
    methods = tuple(given.method or ("lora", "ours"))
    made = plan(RunRequest(methods=methods, suite=SuiteRequest("mini"), model="tiny", baseline=None,
                           protocols=("gap",), seeds=(0,), limit=1, recipe=BASE))  # fmt: skip
    trials: dict[tuple[str, Candidate], list[Mapping[str, Any]]] = defaultdict(list)
    for index in range(given.seeds):  # seed by seed, so that a search that is cut short compares equal seeds
        for spec in (fit.spec for fit in made.fits):
            for candidate in candidates:
                trials[spec.label, candidate].append(_trial(spec, candidate, index, made, given.output_dir))
    measured = {key: Measured.of(some) for key, some in trials.items()}
    print("\n".join(table(measured)))
    print(f"\nChosen: {choice(measured)}")


def _trial(spec: FitSpec, candidate: Candidate, seed: int, made: Plan, folder: Path) -> Mapping[str, Any]:
    """What one trial answered, from the folder where it is there."""
    path = folder / spec.label / f"{candidate}, seed {seed}.json"
    if not path.exists():
        write_json(path, _tuned(spec, candidate, seed, made, folder))
        print(f"{spec.label}: {candidate}, seed {seed}", flush=True)
    found: Mapping[str, Any] = read_json(path)
    return found


def _tuned(spec: FitSpec, candidate: Candidate, seed: int, made: Plan, folder: Path) -> dict[str, Any]:
    """The accuracy of every task, and the seconds of processor time to tune."""
    rate = spec.recipe.learning_rate * candidate.multiple
    recipe: Recipe = replace(spec.recipe, schedule=candidate.schedule, learning_rate=rate, steps=candidate.steps)
    spec = replace(spec, recipe=recipe, seed=derive_seed("recipe search", seed) % 2**31)
    runtime, progress = Runtime(), FitProgress()
    backbone = load(spec, made.model, runtime, progress)
    context = attach(spec, made.suite, backbone, folder, runtime, progress)
    kept, held = held_back(made.suite.training)
    trainer = trainer_of(context, kept)
    started = time.process_time()
    with TemporaryDirectory() as nowhere:  # a trial is short: one that was stopped starts anew
        trainer.run(Path(nowhere) / "checkpoint", every=float("inf"))
    seconds = time.process_time() - started
    return {"seconds": seconds, "held back": _accuracies(context, held)}


def _accuracies(context: FitContext, held: Mapping[str, Sequence[Instance]]) -> dict[str, float]:
    """Task -> mean score of its first questions, in the training format."""
    suite: SuiteData = context.suite
    format = FORMATS.get(context.spec.train_format)()
    asked = [(task, one) for task, instances in held.items() for one in instances[:_PER_TASK]]
    cards = [suite.tasks[task].card for task, _ in asked]
    rendered = [format.render(card, one.input, Random(0)) for card, (_, one) in zip(cards, asked, strict=True)]
    encoder = Encoder(context.backbone, context.spec.recipe.max_input, context.spec.recipe.max_output)
    decoder, _ = choose(context.backbone, context.model, context.method, encoder)
    replies = decoder.answer([Prompted(c, p, c.name) for c, p in zip(cards, rendered, strict=True)])
    found = defaultdict(list)
    for card, (task, one), reply in zip(cards, asked, replies, strict=True):
        found[task].append(metrics.metric(card.metric).score(reply.prediction, one.outputs))
    return {task: float(np.mean(each)) for task, each in found.items()}


@dataclass(frozen=True, slots=True)
class Measured:
    """What the trials of one method and candidate say: points, and seconds of processor time."""

    seeds: int
    tasks: int
    seconds: float
    level: float
    seed_sd: float
    residual_sd: float

    @classmethod
    def of(cls, trials: Sequence[Mapping[str, Any]]) -> Measured:
        """Mean and spread of ``trials``, one a seed."""
        side = [trial["held back"] for trial in trials]
        scores = 100 * np.array([[one[task] for task in sorted(one)] for one in side])  # [S, T]
        seconds = float(np.mean([trial["seconds"] for trial in trials]))
        return cls(*scores.shape, seconds, *noise(scores))


def joint_noise(some: Sequence[Measured]) -> float:
    """The noise of a mean over all tasks times the root of the seconds, with the variances of ``some`` pooled."""
    between = np.mean([one.seed_sd**2 for one in some])
    residual = np.mean([one.residual_sd**2 / one.tasks for one in some])
    return float(np.sqrt(max(between, residual) * np.mean([one.seconds for one in some])))


def choice(measured: Mapping[tuple[str, Candidate], Measured]) -> Candidate:
    """The candidate with the least joint noise of those that are not worse on held-back instances."""
    methods = sorted({method for method, _ in measured})
    rows = {each: [measured[method, each] for method in methods] for _, each in measured}
    level = {each: float(np.mean([one.level for one in some])) for each, some in rows.items()}
    fit = [each for each in rows if level[each] >= max(level.values()) - _NOT_WORSE]
    return min(fit, key=lambda each: joint_noise(rows[each]))


def table(measured: Mapping[tuple[str, Candidate], Measured]) -> Iterator[str]:
    """Lines of Markdown: a row for each method and candidate."""
    columns = ["method", "recipe", "seeds", "seconds", "mean", "seed SD", "residual SD", "noise"]
    yield "| " + " | ".join(columns) + " |"
    yield "|" + " --- |" * len(columns)
    for (method, candidate), row in measured.items():
        cells = [f"`{method}`", str(candidate), str(row.seeds)]
        cells += [f"{x:.1f}" for x in (row.seconds, row.level, row.seed_sd, row.residual_sd, joint_noise([row]))]
        yield "| " + " | ".join(cells) + " |"


def noise(scores: np.ndarray) -> tuple[float, float, float]:
    """Mean of ``scores`` [S, T], the SD over seeds of the mean over tasks, and the SD of the residuals."""
    seeds, tasks = scores.shape
    means = scores.mean(axis=1)
    residuals = scores - scores.mean(axis=0) - means[:, None] + means.mean()
    freedom = (seeds - 1) * (tasks - 1)
    return float(means.mean()), float(means.std(ddof=1)), float(np.sqrt((residuals**2).sum() / freedom))


if __name__ == "__main__":
    main()
