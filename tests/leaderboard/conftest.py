"""A small run on suite mini, exported once: four methods, two seeds, all three protocols, made-up answers."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from snibench.base.registry import PROTOCOLS, SUITES
from snibench.base.types import (
    FitRecord,
    FitSpec,
    Manifest,
    Mixture,
    ModelRef,
    Recipe,
    SuiteData,
    SuiteRef,
    SuiteRequest,
)
from snibench.leaderboard.export import export
from snibench.metrics import exact_match, metric, rouge_l
from snibench.plan.questions import QuestionRenderer, Rendered
from snibench.plan.task_table import task_frame
from snibench.store import StoredRun

LABELS = {"untuned": 0.3, "unified-prompt": 0.5, "mtl-lora": 0.55, "ours": 0.8}
REQUEST = SuiteRequest("mini", tasks=8, instances=4)
LIMIT = 3
Make = Callable[..., StoredRun]


def fit_spec(method: str, seed: int, suite: SuiteData) -> FitSpec:
    tuned = method != "untuned"
    return FitSpec(
        method=method,
        rule="",
        settings={"rank": 8} if tuned else {"shots": 0},
        source={"distribution": "snibench", "version": "0.1.0", "file": "d" * 64},
        model=ModelRef("tiny", "b" * 64, "c" * 64),
        suite=REQUEST,
        suite_digest=suite.digest,
        mixture=Mixture(suite.seen if tuned else ()),
        train_format="definition" if tuned else "",
        recipe=Recipe(steps=60 if tuned else 0, learning_rate=1e-3 if tuned else 0.0),
        seed=seed,
        precision="float32",
        label=method,
        searched=tuned,
    )


def fit_record(spec: FitSpec, status: Any = "done") -> FitRecord:
    tuned = spec.method != "untuned"
    return FitRecord.of(
        spec,
        status,
        seconds=10.0 if tuned else 0.0,
        peak_memory=2**28,
        trainable_parameters=4096 if tuned else 0,
        total_parameters=100_000,
        device="cpu",
        conflict={"1.0": {"score": 0.04 + 0.01 * spec.seed, "score_raw": 0.1}} if tuned else {},
        versions={"snibench": "0.1.0", "system": "Linux"},
    )


@pytest.fixture(scope="session")
def suite() -> SuiteData:
    loaded: SuiteData = SUITES.get("mini")().load(REQUEST)
    return loaded


@pytest.fixture(scope="session")
def protocols() -> dict[str, Any]:
    return {name: PROTOCOLS.get(name)(PROTOCOLS.get(name).quick) for name in ("gap", "formats", "combos")}


@pytest.fixture(scope="session")
def asked(suite: SuiteData, protocols: dict[str, Any]) -> list[Rendered]:
    renderer = QuestionRenderer(suite, None)
    asks = [ask for protocol in protocols.values() for ask in protocol.plan(suite, LIMIT)]
    return [renderer.rendered(question, 0) for ask in asks for question in ask.questions]


def answer_rows(spec: FitSpec, asked: list[Rendered], suite: SuiteData, level: float) -> pd.DataFrame:
    rng = np.random.default_rng([spec.seed, len(spec.label)])
    rows = []
    for one in asked:
        question, said = one.question, one.targets[0] if rng.random() < level else "something else"
        scored = metric(suite.tasks[question.task].card.metric).score(said, one.targets)
        rows.append(
            {"fit": spec.id, "protocol": question.protocol, "variant": question.variant, "format": question.format}
            | {"task": question.task, "split": question.split, "seen": question.seen, "instance": question.instance}
            | {"stream": question.stream, "position": question.position, "side": question.side}
            | {"prompt_sha": one.prompt_sha, "prediction": said, "targets": list(one.targets)}
            | {"exact_match": exact_match(said, one.targets), "rouge_l": rouge_l(said, one.targets), "score": scored}
            | {"prompt_tokens": 30, "truncated": False, "method": spec.label, "seed": spec.seed}
            | {"train_format": spec.train_format, "floor": False}
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def make(suite: SuiteData, asked: list[Rendered], protocols: dict[str, Any]) -> Make:
    """``make(levels, seeds, failed)``: a run of these methods; the last seed of those in ``failed`` diverged."""

    def run(
        levels: dict[str, float] = LABELS, seeds: tuple[int, ...] = (0, 1), failed: tuple[str, ...] = ()
    ) -> StoredRun:
        specs = [fit_spec(label, seed, suite) for label in levels for seed in (seeds if label != "untuned" else (0,))]
        lost = {spec.id for spec in specs if spec.label in failed and spec.seed == seeds[-1]}
        done = [spec for spec in specs if spec.id not in lost]
        return StoredRun(
            folder=Path("runs"),
            answers=pd.concat([answer_rows(one, asked, suite, levels[one.label]) for one in done], ignore_index=True),
            tasks=task_frame(suite),
            records=tuple(fit_record(spec, "diverged" if spec.id in lost else "done") for spec in specs),
            specs=tuple(specs),
            manifest=Manifest(
                protocol_versions={name: one.version for name, one in protocols.items()},
                protocol_settings={name: dataclasses.asdict(one.settings) for name, one in protocols.items()},
                controls=("untuned",),
                baseline="unified-prompt" if "unified-prompt" in levels else None,
                limit=LIMIT,
                suite=SuiteRef("mini", suite.digest),
            ),
        )

    return run


@pytest.fixture(scope="session")
def results(make: Make) -> StoredRun:
    return make()


@pytest.fixture(scope="session")
def exported(results: StoredRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(results, tmp_path_factory.mktemp("boards"), ["A. Author"]).path


@pytest.fixture
def board_file(exported: Path, tmp_path: Path) -> Path:
    """A copy of the exported board and its rows, to be spoiled."""
    shutil.copytree(exported.parent, tmp_path / "boards")
    return tmp_path / "boards" / exported.name


@pytest.fixture(scope="session")
def board(exported: Path) -> Any:
    return json.loads(exported.read_text("utf-8"))
