"""The learning rate that a method is tuned with where the user names none: one table, by model size and method.

``learning_rates.json`` holds it. ``scripts/learning_rates.py`` searches for the rates of each method on held-out seen
data and writes them there; what it has not searched for has the size's common rate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent / "learning_rates.json"
# What trains all of the model wants lower rates than what trains an adapter.
_EVERYTHING = {"full"}
# What trains the same parameters takes the other's searched rate where it was not searched for itself.
_ALIKE = {"unified-prompt(adapter=prompt)": "prompt-tuning"}


def default_learning_rate(method: str, settings: Mapping[str, Any], parameters: int) -> float:
    """The rate of ``method`` for a model of so many parameters.

    Settings that choose what is trained (``adapter``) make a method of its own here; others do not.
    """
    row = next(row for row in _table() if row["below"] is None or parameters < row["below"])
    name = rate_name(method, settings)
    common = row["everything"] if name in _EVERYTHING else row["adapters"]
    searched = row["methods"]
    return float(searched.get(name, searched.get(_ALIKE.get(name), common)))


def rate_name(method: str, settings: Mapping[str, Any]) -> str:
    """What the table calls ``method`` under ``settings``."""
    adapter = settings.get("adapter", "lora")
    return method if adapter == "lora" else f"{method}(adapter={adapter})"


@cache
def _table() -> list[dict[str, Any]]:
    """Rows by model size, smallest first: ``below``, ``adapters``, ``everything``, ``methods``, ``made``."""
    table: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
