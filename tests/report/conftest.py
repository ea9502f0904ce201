"""A run made of synthetic rows: four methods, three seeds, 24 tasks, all three protocols."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from snibench.base.types import FitRecord, FitSpec, Manifest, Mixture, ModelRef, Recipe, SuiteRequest
from snibench.report import Report, build
from snibench.store import StoredRun

LEVELS = {"untuned": 0.20, "unified-prompt": 0.55, "mtl-lora": 0.58, "ours": 0.72}  # chance of a right answer
FLOORS = ("copy-input", "majority")
FORMATS = ("definition", "template", "abstract")
INSTANCES = 20
WORDS = ("films", "places", "people", "questions", "numbers", "dates", "food")
SUITE_DIGEST, MODEL_DIGEST, TOKENIZER_DIGEST = "a" * 64, "b" * 64, "c" * 64


def fit_spec(method: str, seed: int, label: str = "") -> FitSpec:
    return FitSpec(
        method=method,
        rule="",
        settings={"rank": 8},
        source={"distribution": "snibench", "version": "0.1.0", "digest": "d" * 64},
        model=ModelRef("tiny", MODEL_DIGEST, TOKENIZER_DIGEST),
        suite=SuiteRequest("mini"),
        suite_digest=SUITE_DIGEST,
        mixture=Mixture(("task0", "task1")),
        train_format="definition",
        recipe=Recipe(steps=0 if method == "untuned" or method in FLOORS else 60, learning_rate=1e-3),
        seed=seed,
        precision="float32",
        label=label or method,
        floor=method in FLOORS,
    )


def fit_record(spec: FitSpec, status: str = "done", cause: str = "") -> FitRecord:
    tuned = spec.method not in ("untuned", *FLOORS)
    return FitRecord.of(
        spec,
        status,  # type: ignore[arg-type]
        cause,
        seconds=12.5 + spec.seed if tuned else 0.0,
        peak_memory=300 * 2**20,
        trainable_parameters=98_304 if tuned else 0,
        total_parameters=1_200_000,
        device="cpu",
        conflict={
            "0.0": {"score": 0.02, "score_raw": 0.09, "residual": 0.01},
            "1.0": {"score": 0.05 + 0.01 * spec.seed, "score_raw": 0.14, "residual": 0.02},
        }
        if tuned
        else {},
        versions={"snibench": "0.1.0", "python": "3.11"},
    )


def task_table() -> pd.DataFrame:
    categories = ("Sentiment Analysis", "Text Categorization", "Word Analogy", "Title Generation")
    return pd.DataFrame(
        {
            "task": f"task{i}",
            "definition": f"Read the text about {WORDS[i % 5]} and {WORDS[(i + i // 5) % 7]}. Answer yes or no.",
            "category": categories[i % 4],
            "domains": ["News"],
            "sources": [f"source{i}"],
            "labels": ["no", "yes"] if i % 4 < 3 else None,
            "metric": "exact_match" if i % 4 < 3 else "rouge_l",
            "chance": 0.5 if i % 4 < 3 else 0.1,
            "majority": 0.55 if i % 4 < 3 else np.nan,
            "seen": i < 12,
            "flags": [],
        }
        for i in range(24)
    )


def answer_rows(spec: FitSpec, level: float) -> pd.DataFrame:
    """Bernoulli answers whose chance depends on method, task, format and seed."""
    rng = np.random.default_rng([spec.seed, int(spec.id[:8], 16)])
    questions = []
    for task in range(24):
        side = {"task": f"task{task}", "split": "held_out" if task < 12 else "unseen", "seen": task < 12}
        hard = 0.12 * (task >= 12) + 0.02 * (task % 5)
        for instance in range(INSTANCES):
            asked = side | {"instance": f"i{instance}", "variant": "{}", "stream": 0, "position": 0, "side": ""}
            questions.append(asked | {"protocol": "gap", "format": "definition", "p": level - hard})
            if task % 3 == 0:
                questions += [
                    asked | {"protocol": "formats", "format": f, "p": level - hard - 0.06 * i}
                    for i, f in enumerate(FORMATS)
                ]
    for combo, kinds in (("Sentiment + Topic", (0, 1)), ("Sentiment + Analogy", (0, 2))):
        asked_tasks = [task for task in range(12, 24) if task % 4 in kinds]
        for history in ("none", "same", "other"):
            variant = json.dumps({"combo": combo, "history": history, "schedule": "alternate"}, separators=(",", ":"))
            for stream in range(4):
                for position in range(8):
                    task = asked_tasks[(position + stream) % len(asked_tasks)]
                    questions.append(
                        {"task": f"task{task}", "split": "unseen", "seen": False, "instance": f"i{position}"}
                        | {"variant": variant, "stream": stream, "position": position, "side": "AB"[position % 2]}
                        | {"protocol": "combos", "format": "definition", "p": level - 0.1 * (history == "other")}
                    )
    frame = pd.DataFrame(questions)
    right = (rng.random(len(frame)) < frame.pop("p").clip(0.02, 0.98)).astype(float)
    return frame.assign(
        fit=spec.id,
        prompt_sha="e" * 64,
        prediction="yes",
        targets=[["yes"]] * len(frame),
        exact_match=right,
        rouge_l=right,
        score=right,
        prompt_tokens=40,
        truncated=False,
        method=spec.label,
        seed=spec.seed,
        train_format=spec.train_format,
        floor=spec.floor,
    )


@pytest.fixture(scope="session")
def make_results() -> Callable[..., StoredRun]:
    def make(
        levels: dict[str, float] = LEVELS, seeds: tuple[int, ...] = (0, 1, 2), failed: tuple[str, ...] = ()
    ) -> StoredRun:
        specs = [fit_spec(m, s) for m in levels for s in (seeds if m not in ("untuned", *FLOORS) else (0,))]
        lost = {spec.id for spec in specs if spec.label in failed and spec.seed == seeds[-1]}
        records = [
            fit_record(spec, "diverged", "loss is [bold]nan[/bold] at step 17") if spec.id in lost else fit_record(spec)
            for spec in specs
        ]
        return StoredRun(
            folder=Path("runs"),
            answers=pd.concat(
                [answer_rows(spec, levels[spec.method]) for spec in specs if spec.id not in lost], ignore_index=True
            ),
            tasks=task_table(),
            records=tuple(records),
            specs=tuple(specs),
            manifest=Manifest(
                fits=tuple(spec.id for spec in specs),
                protocol_versions={"gap": 2, "formats": 2, "combos": 2},
                controls=("untuned", *FLOORS),
            ),
        )

    return make


@pytest.fixture(scope="session")
def results(make_results: Callable[..., StoredRun]) -> StoredRun:
    return make_results(failed=("mtl-lora",))


@pytest.fixture(scope="session")
def report(results: StoredRun) -> Report:
    return build(results)
