"""The learning rate that a method is tuned with where the user names none: one table, by model size and method.

``learning_rates.json`` holds it. ``scripts/learning_rates.py`` searches for the rates of each method on held-out seen
data and writes them there; what it has not searched for has the size's common rate.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from snibench.base.registry import METHODS

TABLE = Path(__file__).parent / "learning_rates.json"
# What trains all of the model wants lower rates than what trains an adapter.
_EVERYTHING = {"full"}


def default_learning_rate(method: str, parameters: int) -> float:
    """The rate of ``method`` for a model of so many parameters; all names of one method have one rate."""
    row = next(row for row in _table() if row["below"] is None or parameters < row["below"])
    common = row["everything"] if method in _EVERYTHING else row["adapters"]
    searched = row["methods"]
    return float(next((searched[name] for name in METHODS.aliases(method) if name in searched), common))


@cache
def _table() -> list[dict[str, Any]]:
    """Rows by model size, smallest first: ``below``, ``adapters``, ``everything``, ``methods``, ``made``."""
    table: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
