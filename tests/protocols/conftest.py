"""A suite built by hand, and seeded answers to whatever a protocol asks of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from snibench.base.types import Ask, Combo, Instance, SuiteData, Task, TaskCard

CATEGORIES = ("Sentiment", "Topic", "Inference", "Extraction")


def make_task(name: str, category: str, *, metric: str = "exact_match", source: str = "") -> Task:
    card = TaskCard(
        name=name,
        definition=f"Do {name}.",
        positive=(),
        negative=(),
        category=category,
        domains=("News",),
        sources=(source or f"source of {name}",),
        labels=("no", "yes") if metric == "exact_match" else None,
        metric=metric,  # type: ignore[arg-type]
    )
    instances = tuple(Instance(f"{name}-{i}", f"{name} input {i}", (("yes", "no")[i % 2],)) for i in range(30))
    return Task(card, instances)


def make_suite() -> SuiteData:
    """Four categories with three seen and two unseen tasks each; Extraction is scored by ROUGE-L."""
    tasks, seen, unseen = {}, [], []
    for category in CATEGORIES:
        metric = "rouge_l" if category == "Extraction" else "exact_match"
        for index in range(5):
            name = f"{category.lower()}{index}"
            tasks[name] = make_task(name, category, metric=metric)
            (seen if index < 3 else unseen).append(name)
    return SuiteData(
        name="hand",
        digest="0" * 64,
        tasks=tasks,
        seen=tuple(seen),
        unseen=tuple(unseen),
        training={name: tasks[name].instances[18:] for name in seen},
        probe={name: tasks[name].instances[16:18] for name in seen},
        evaluation={name: task.instances[:16] for name, task in tasks.items()},
        context={name: task.instances[18:24] for name, task in tasks.items()},
        combos=(
            Combo("sentiment + topic", ("sentiment0", "sentiment1", "sentiment3"), ("topic0", "topic3")),
            Combo("inference + extraction", ("inference0", "inference1"), ("extraction0", "extraction4")),
        ),
    )


def task_rows(suite: SuiteData) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": name,
            "category": task.card.category,
            "domains": list(task.card.domains),
            "sources": list(task.card.sources),
            "labels": task.card.labels,
            "metric": task.card.metric,
            "chance": 0.5 if task.card.labels else 0.0,
            "majority": 0.5,
        }
        for name, task in suite.tasks.items()
    )


def answered(asks: Sequence[Ask], methods: dict[str, int]) -> pd.DataFrame:
    """Rows as the store gives them. ``methods``: how many seeds each has; later ones are right more often."""
    questions = pd.DataFrame([asdict(question) for ask in asks for question in ask.questions])
    rng = np.random.default_rng(0)
    frames = []
    for index, (method, seeds) in enumerate(methods.items()):
        for seed in range(seeds):
            right = (rng.random(len(questions)) < 0.4 + 0.4 * index / len(methods)).astype(float)
            frames.append(
                questions.drop(columns="history").assign(
                    method=method,
                    seed=seed,
                    fit=f"{method}{seed}",
                    exact_match=right,
                    rouge_l=right,
                    score=right,
                    prompt_tokens=20 + questions["format"].str.len(),
                    train_format="definition" if index else "",
                )
            )
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="session")
def suite() -> SuiteData:
    return make_suite()


@pytest.fixture(scope="session")
def tasks(suite: SuiteData) -> pd.DataFrame:
    return task_rows(suite)


@pytest.fixture(scope="session")
def answer() -> Callable[..., pd.DataFrame]:
    return answered
