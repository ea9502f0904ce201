"""The tasks of a suite as a table."""

from __future__ import annotations

import pandas as pd

from snibench import metrics
from snibench.base.types import SuiteData


def task_frame(suite: SuiteData) -> pd.DataFrame:
    """One row per task of the suite: the columns by which reports group, normalise and distinguish tasks."""
    rows = []
    for name, task in suite.tasks.items():
        card = task.card
        rows.append(
            {
                "task": name,
                "definition": card.definition,
                "category": card.category,
                "domains": list(card.domains),
                "sources": list(card.sources),
                "labels": None if card.labels is None else list(card.labels),
                "metric": card.metric,
                "chance": metrics.chance(card, suite.evaluation.get(name, ())),
                "majority": metrics.majority(suite.evaluation.get(name, ())),
                "seen": name in suite.training,
                "flags": list(suite.flags.get(name, ())),
            }
        )
    return pd.DataFrame(rows)
