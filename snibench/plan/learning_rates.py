"""The learning rate that a method is tuned with where the user names none.

``learning_rates.json`` holds what was searched for, by model size and method, on held-out seen data
(``scripts/learning_rates.py``). Else a method's ``base_rate`` says, for which ``usual_rate`` is the usual answer.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

from snibench.base.registry import METHODS

TABLE = Path(__file__).parent / "learning_rates.json"


def searched_rate(method: str, parameters: int) -> float | None:
    """The rate that was searched for ``method`` in models of so many parameters; None if none was.

    All names of one method have one rate.
    """
    searched = _row(parameters)["methods"]
    found = next((searched[name] for name in METHODS.aliases(method) if name in searched), None)
    return None if found is None else float(found)


def usual_rate(parameters: int, trained: Literal["adapters", "everything"]) -> float:
    """What is usual in a model of so many parameters for what trains adapters, or the whole model."""
    return float(_row(parameters)[trained])


def _row(parameters: int) -> dict[str, Any]:
    return next(row for row in _table() if row["below"] is None or parameters < row["below"])


@cache
def _table() -> list[dict[str, Any]]:
    """Rows by model size, smallest first: ``below``, ``adapters``, ``everything``, ``methods``, ``made``."""
    table: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
