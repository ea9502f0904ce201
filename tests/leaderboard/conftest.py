"""A small run, exported once: two methods, two seeds, twelve tasks, protocol ``gap``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from snibench.base.types import FitRecord, FitSpec, Manifest, Mixture, ModelRef, Recipe, SuiteRequest
from snibench.leaderboard.export import export
from snibench.store import StoredRun

LABELS = {"untuned": 0.3, "ours": 0.7}


def fit_spec(method: str, seed: int) -> FitSpec:
    return FitSpec(
        method=method,
        rule="",
        settings={"rank": 8},
        source={"distribution": "snibench", "version": "0.1.0", "file": "d" * 64},
        model=ModelRef("tiny", "b" * 64, "c" * 64),
        suite=SuiteRequest("mini"),
        suite_digest="a" * 64,
        mixture=Mixture(("task0",)),
        train_format="definition" if method != "untuned" else "",
        recipe=Recipe(steps=60 if method != "untuned" else 0),
        seed=seed,
        precision="float32",
        label=method,
    )


def fit_record(spec: FitSpec) -> FitRecord:
    tuned = spec.method != "untuned"
    return FitRecord(
        fit=spec.id,
        label=spec.label,
        method=spec.method,
        rule=spec.rule,
        seed=spec.seed,
        status="done",
        seconds=10.0 if tuned else 0.0,
        peak_memory=2**28,
        trainable_parameters=4096 if tuned else 0,
        total_parameters=100_000,
        device="cpu",
        conflict={"1.0": {"score": 0.04 + 0.01 * spec.seed, "score_raw": 0.1}} if tuned else {},
        versions={"snibench": "0.1.0", "system": "Linux"},
    )


def answer_rows(spec: FitSpec) -> pd.DataFrame:
    rng = np.random.default_rng([spec.seed, len(spec.label)])
    rows = []
    for task in range(12):
        for instance in range(10):
            right = bool(rng.random() < LABELS[spec.label])
            rows.append(
                {"fit": spec.id, "protocol": "gap", "variant": "{}", "format": "definition", "task": f"task{task}"}
                | {"split": "held_out" if task < 6 else "unseen", "seen": task < 6, "instance": f"i{instance}"}
                | {"stream": 0, "position": 0, "side": "", "prompt_sha": "e" * 64, "targets": ["good answer"]}
                | {"prediction": "Good answer." if right else "bad", "prompt_tokens": 30, "truncated": False}
                | dict.fromkeys(("exact_match", "rouge_l", "score"), float(right))
                | {"method": spec.label, "seed": spec.seed, "train_format": spec.train_format}
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def results() -> StoredRun:
    specs = [fit_spec(label, seed) for label in LABELS for seed in ((0, 1) if label != "untuned" else (0,))]
    tasks = pd.DataFrame(
        {
            **{"task": f"task{i}", "category": "Sentiment Analysis", "domains": ["News"], "sources": [f"s{i}"]},
            **{"labels": None, "metric": "exact_match" if i % 2 else "rouge_l", "chance": 0.1 + 0.2, "majority": 1 / 3},
            **{"seen": i < 6, "flags": []},
        }
        for i in range(12)
    )
    return StoredRun(
        folder=Path("runs"),
        answers=pd.concat([answer_rows(spec) for spec in specs], ignore_index=True),
        tasks=tasks,
        records=tuple(fit_record(spec) for spec in specs),
        specs=tuple(specs),
        manifest=Manifest(protocol_versions={"gap": 2}, controls=("untuned",)),
    )


@pytest.fixture(scope="session")
def exported(results: StoredRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(results, tmp_path_factory.mktemp("boards"), ["A. Author"])


@pytest.fixture
def board_file(exported: Path, tmp_path: Path) -> Path:
    """A copy of the exported board and its rows, to be spoiled."""
    shutil.copytree(exported.parent, tmp_path / "boards")
    return tmp_path / "boards" / exported.name


@pytest.fixture(scope="session")
def board(exported: Path) -> Any:
    return json.loads(exported.read_text("utf-8"))
