"""Time and memory of the full default report on a large synthetic run, from answer rows to every table.

    python benchmarks/report_speed.py                 12 methods x 119 tasks x 100 instances x 5 seeds, protocol gap
    python benchmarks/report_speed.py --all           with protocols formats and combos at their paper budgets, too
    python benchmarks/report_speed.py --profile       where the time goes

Prints the seconds of ``report.build`` (after one warm-up on a small run, so that imports are not counted) and the
largest resident memory of the process that does nothing else. The target is 5 s and 1 GiB on two cores.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

from snibench.base.types import FitRecord, FitSpec, Manifest, Mixture, ModelRef, Recipe, SuiteRef, SuiteRequest
from snibench.report import build
from snibench.store import StoredRun

FORMATS = [f"format{index}" for index in range(10)]
COMBOS = ("A + B", "C + D", "E + F", "G + H")


def specs(methods: int, seeds: int) -> list[FitSpec]:
    return [
        FitSpec(
            method="unified-prompt" if method == 0 else f"method{method:02}",
            rule="",
            settings={},
            source={"distribution": "snibench"},
            model=ModelRef("synthetic", "b" * 64, "c" * 64),
            suite=SuiteRequest("sni"),
            suite_digest="a" * 64,
            mixture=Mixture(("task0",)),
            train_format="definition",
            recipe=Recipe(steps=100, learning_rate=1e-3),
            seed=seed,
            precision="float32",
            label="unified-prompt" if method == 0 else f"method{method:02}",
        )
        for method in range(methods)
        for seed in range(seeds)
    ]


def task_table(tasks: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": [f"task{index:04}" for index in range(tasks)],
            "category": [f"category {index % 12}" for index in range(tasks)],
            "domains": [["News"]] * tasks,
            "sources": [[f"source{index * 2 // 3}"] for index in range(tasks)],
            "labels": [["no", "yes"]] * tasks,
            "metric": ["exact_match" if index % 4 else "rouge_l" for index in range(tasks)],
            "chance": [0.5 if index % 4 else 0.1 for index in range(tasks)],
            "majority": [0.55 if index % 4 else np.nan for index in range(tasks)],
            "seen": [index % 2 == 0 for index in range(tasks)],
            "flags": [[]] * tasks,
        }
    )


def questions(tasks: int, instances: int, everything: bool) -> pd.DataFrame:
    """One row per question; every fit answers all of them."""
    names = np.array([f"task{index:04}" for index in range(tasks)])

    def frame(protocol: str, task: np.ndarray, instance: np.ndarray, **columns: object) -> pd.DataFrame:
        ids = pd.Series(instance).map("i{}".format)
        plain = {"variant": "{}", "format": "definition", "stream": 0, "position": 0, "side": ""}
        return pd.DataFrame(
            {"protocol": protocol, "task": names[task], "instance": ids, "number": task} | plain | columns
        )

    grid = np.indices((tasks, instances)).reshape(2, -1)
    parts = [frame("gap", *grid)]
    if everything:
        task, instance, format = np.indices((min(20, tasks), 50, len(FORMATS))).reshape(3, -1)
        parts.append(frame("formats", task, instance, format=np.array(FORMATS)[format]))
        combo, history, stream, position = np.indices((len(COMBOS), 3, 20, 40)).reshape(4, -1)
        variants = np.array(
            [
                [json.dumps({"combo": c, "history": h, "schedule": "alternate"}) for h in ("none", "same", "other")]
                for c in COMBOS
            ]
        )
        task = (combo * 6 + position % 6) % tasks
        side = np.array(["A", "B"])[position % 2]
        parts.append(
            frame("combos", task, stream * 40 + position, variant=variants[combo, history], stream=stream,
                  position=position, side=side)
        )  # fmt: skip
    made = pd.concat(parts, ignore_index=True)
    made["seen"] = made["number"] % 2 == 0
    made["split"] = np.where(made["seen"], "held_out", "unseen")
    return made


def results(methods: int, tasks: int, instances: int, seeds: int, everything: bool) -> StoredRun:
    """A run in which better methods are more often right; half of the tasks are seen."""
    rng = np.random.default_rng(0)
    fits = specs(methods, seeds)
    asked = questions(tasks, instances, everything)
    number = asked.pop("number").to_numpy()
    difficulty = rng.normal(0.0, 0.15, tasks)[number]
    records, rows = [], []
    for spec in fits:
        strength = 0.45 + 0.01 * int(spec.label.removeprefix("method") if spec.label.startswith("method") else 0)
        right = (rng.random(len(asked)) < np.clip(strength + difficulty, 0.02, 0.98)).astype(float)
        rows.append(
            asked.assign(fit=spec.id, method=spec.label, seed=spec.seed, train_format="definition", prompt_sha="e" * 64,
                         prediction="yes", exact_match=right, rouge_l=right, score=right, prompt_tokens=200,
                         truncated=False)
        )  # fmt: skip
        records.append(
            FitRecord.of(
                spec, "done", seconds=60.0, peak_memory=2**30, trainable_parameters=10**6, total_parameters=10**8
            )
        )
    answers = pd.concat(rows, ignore_index=True)
    # As the store reads them: text columns of few values are categories there.
    answers["targets"] = [["yes"]] * len(answers)
    manifest = Manifest(suite=SuiteRef("sni", "a" * 64), baseline="unified-prompt")
    return StoredRun(Path("synthetic"), answers, task_table(tasks), tuple(records), tuple(fits), manifest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", type=int, default=12)
    parser.add_argument("--tasks", type=int, default=119)
    parser.add_argument("--instances", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()

    build(results(3, 24, 5, 2, args.all))
    run = results(args.methods, args.tasks, args.instances, args.seeds, args.all)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    profiler = cProfile.Profile()
    started = time.perf_counter()
    if args.profile:
        profiler.enable()
    report = build(run)
    profiler.disable()
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(run.answers):,} rows, {len(report.tables)} tables: {seconds:.2f} s; "
          f"memory {after:.2f} GiB at most, {before:.2f} GiB of it for the rows before")  # fmt: skip
    if args.profile:
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
