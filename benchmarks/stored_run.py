"""A stored run whose answers are drawn, not given by a model: planned and written as ``snibench run`` does it.

    python benchmarks/stored_run.py DIR                            as the default run: 4 seeds of ours and the baseline
    python benchmarks/stored_run.py DIR --methods all --seeds 0-2  as a run of all methods and rules
    python benchmarks/stored_run.py DIR --fits 1000                as many seeds as that takes

For benchmarks of what reads a store: `report`, `ls runs`, planning. Better methods are more often right.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from snibench.base.hashing import derive_seed
from snibench.base.registry import METHODS, RULES
from snibench.base.types import FitRecord, SuiteData
from snibench.fits.run import manifest_of
from snibench.plan.options import request_from
from snibench.plan.plan import FitPlan, Plan, plan
from snibench.plan.questions import QuestionSet
from snibench.plan.task_table import task_frame
from snibench.store import ANSWER_COLUMNS, Store, write_frame, write_json

ENDS = ("0.0", "1.0")


def everything() -> list[str]:
    """Every tuned method, and LoRA with every rule."""
    skipped = {"untuned", "copy-input", "copy-demo", "majority", "lora"}
    methods = [entry.name for entry in METHODS.entries() if entry.distribution == "snibench"]
    rules = [entry.name for entry in RULES.entries() if entry.distribution == "snibench" and entry.name != "mean"]
    return [*(name for name in methods if name not in skipped), *(f"lora+{rule}" for rule in rules)]


def planned(methods: Sequence[str], seeds: Sequence[int]) -> Plan:
    return plan(request_from(methods, {"baseline": "unified-prompt", "seeds": seeds}))


def write_run(made: Plan, store: Store) -> None:
    """Every fit of ``made``, sealed, with drawn answers to every question, and the manifest."""
    store.prepare()
    store.write_manifest(manifest_of(made, ()))
    tasks = task_frame(made.suite)
    easy = {task: rng_of("task", task).normal(0.0, 0.15) for task in made.suite.tasks}
    asked: dict[str, pd.DataFrame] = {}
    for number, fit in enumerate(made.fits):
        folder = store.begin(fit.spec)
        write_frame(folder / "tasks.parquet", tasks)
        for questions in fit.questions:
            if questions.digest not in asked:
                asked[questions.digest] = question_frame(questions, made.suite)
            frame = answered(fit, asked[questions.digest], easy)
            write_frame(store.answers_path(fit.spec.id, questions.protocol, questions.digest), frame)
        if not fit.spec.floor:
            write_measures(fit, folder)
        store.seal(record_of(fit, number))


def rng_of(*purpose: str) -> np.random.Generator:
    return np.random.default_rng(derive_seed("stored run", *purpose))


def question_frame(questions: QuestionSet, suite: SuiteData) -> pd.DataFrame:
    """What is the same in every fit's answers."""
    fields = ("protocol", "variant", "format", "task", "split", "seen", "instance", "stream", "position", "side")
    rows = [
        {
            **{name: getattr(one.question, name) for name in fields},
            "prompt_sha": one.prompt_sha,
            "targets": list(one.targets),
            "metric": suite.tasks[one.question.task].card.metric,
        }
        for one in questions.rendered
    ]
    return pd.DataFrame(rows)


def answered(fit: FitPlan, asked: pd.DataFrame, easy: dict[str, float]) -> pd.DataFrame:
    """The answers of a fit: right with a chance that depends on method, seed and task."""
    rng = rng_of("answers", fit.spec.id)
    method = 0.0 if not fit.spec.recipe.steps else 0.2 + rng_of("method", fit.spec.label).normal(0.0, 0.03)
    level = 0.3 + method + rng.normal(0.0, 0.02) + asked["task"].map(easy).to_numpy()
    right = rng.random(len(asked)) < np.clip(level, 0.02, 0.98)
    partial = np.where(right, 1.0, np.round(rng.random(len(asked)), 2))
    by_words = (asked["metric"] == "rouge_l").to_numpy()
    first = asked["targets"].map(lambda targets: targets[0])
    frame = asked.assign(
        fit=fit.spec.id,
        prediction=first.where(right, first.sample(frac=1.0, random_state=int(rng.integers(2**31))).to_numpy()),
        exact_match=right.astype(float),
        rouge_l=np.where(by_words, partial, right.astype(float)),
        score=np.where(by_words, partial, right.astype(float)),
        prompt_tokens=200,
        truncated=False,
    )
    return frame[ANSWER_COLUMNS]


def write_measures(fit: FitPlan, folder: Path) -> None:
    """Forgetting, and the conflict as its files have it."""
    rng = rng_of("measures", fit.spec.id)
    before = rng_of("passages").normal(3.0, 0.3, 40)
    passages = pd.DataFrame({"passage": range(40), "tokens": 60, "before": before})
    write_frame(folder / "forgetting.parquet", passages.assign(after=before + rng.normal(0.1, 0.1, 40)))
    if fit.spec.recipe.steps:
        for end in ENDS:
            write_json(folder / "conflict" / f"{end}.json", conflict_of(fit, end))


def conflict_of(fit: FitPlan, end: str) -> dict[str, float]:
    rng = rng_of("conflict", fit.spec.id, end)
    names = ("score", "score_raw", "rate", "rate_raw", "residual", "mean_cosine", "magnitude_similarity")
    return {**{name: float(rng.random()) for name in names}, "standard_error": 0.1, "parameters": 10**5, "tasks": 8}


def record_of(fit: FitPlan, number: int) -> FitRecord:
    spec = fit.spec
    return FitRecord.of(
        spec,
        "done",
        seconds=60.0 + number % 7,
        peak_memory=2**29,
        trainable_parameters=0 if spec.floor or not spec.recipe.steps else 98_304,
        total_parameters=4 * 10**6,
        device="drawn",
        conflict={end: conflict_of(fit, end) for end in ENDS} if spec.recipe.steps else {},
        versions={"snibench": "0", "torch": "2", "transformers": "5", "numpy": "2"},
    )


def seeds_of(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--methods", default="ours", help="NAME,... or all")
    parser.add_argument("--seeds", type=seeds_of, default=[0, 1, 2, 3], help="0-3")
    parser.add_argument("--fits", type=int, default=0, help="in place of --seeds: about as many fits")
    args = parser.parse_args()
    methods = everything() if args.methods == "all" else args.methods.split(",")
    seeds = range(math.ceil(args.fits / (len(methods) + 1))) if args.fits else args.seeds
    made = planned(methods, list(seeds))
    write_run(made, Store(args.folder))
    print(f"{len(made.fits)} fits of {len({fit.spec.label for fit in made.fits})} methods in {args.folder}")


if __name__ == "__main__":
    main()
