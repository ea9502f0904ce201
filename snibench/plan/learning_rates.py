"""The learning rate that a method is tuned with where the user names none.

``learning_rates.json`` holds what was searched for, by model size, optimizer, schedule and method, on held-out seen
data (``scripts/learning_rates.py``). Else a method's ``base_rate`` says, for which ``usual_rate`` is the usual
answer, and ``start_rate`` moves it as the baseline's was moved by its search.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from snibench.base.registry import METHODS
from snibench.plan import defaults

TABLE = Path(__file__).parent / "learning_rates.json"


@dataclass(frozen=True, slots=True)
class SearchedRate:
    """A rate that was searched for; ``exact``: under the very schedule that it is asked for."""

    rate: float
    exact: bool


def searched_rate(method: str, parameters: int, optimizer: str, schedule: str) -> SearchedRate | None:
    """The rate that was searched for ``method`` in models of that number of parameters, with the optimizer.

    That of another schedule where there is none under this one, as far from it as the baseline's two rates are; None
    where there is none at all. All names of one method have one rate.
    """
    wanted = recipe_name(optimizer, schedule)
    tables = _row(parameters)["methods"]
    if (rate := _listed(method, tables.get(wanted, {}))) is not None:
        return SearchedRate(rate, exact=True)
    for name in sorted(name for name in tables if name.split()[0] == optimizer):
        if (rate := _listed(method, tables[name])) is not None:
            return SearchedRate(
                _moved(rate, tables.get(wanted, {}), _listed(defaults.METHOD, tables[name])), exact=False
            )
    return None


def start_rate(rate: float, parameters: int, optimizer: str, schedule: str) -> float:
    """Learning rate of a method that was not searched for, and whose own ``base_rate`` is ``rate``.

    As far from it as the search for the baseline went from the usual rate of adapters: an adapter with that usual rate
    starts where the baseline is, so that a comparison of the two does not favour the baseline.
    """
    table = _row(parameters)["methods"].get(recipe_name(optimizer, schedule), {})
    return _moved(rate, table, usual_rate(parameters, "adapters", optimizer))


def _moved(rate: float, table: Mapping[str, float], start: float | None) -> float:
    """``rate`` times the factor from ``start`` to the baseline's rate in ``table``, to three digits; else as it is."""
    baseline_rate = _listed(defaults.METHOD, table)
    return rate if not start or baseline_rate is None else float(f"{rate * baseline_rate / start:.3g}")


def _listed(method: str, table: Mapping[str, float]) -> float | None:
    """The rate in ``table`` by any of the method's names."""
    return next((float(table[alias]) for alias in METHODS.aliases(method) if alias in table), None)


def recipe_name(optimizer: str, schedule: str) -> str:
    """The key of the table for rates searched with this optimizer and schedule."""
    return f"{optimizer} {schedule}"


# AdamW moves every parameter by about its rate. SGD with a momentum of 0.9 moves all of them together by ten times its
# rate, the gradient's norm being clipped to 1, so that each moves by 10 / sqrt(P): equally far at sqrt(P) / 10 times
# AdamW's rate. That is 100 for a million parameters, as adapters have, and 1000 for a hundred million.
_SGD = {"adapters": 100.0, "everything": 1000.0}


def usual_rate(parameters: int, trained: Literal["adapters", "everything"], optimizer: str = "adamw") -> float:
    """The usual learning rate of adapters, or of a whole model, by the model's number of parameters.

    Muon's updates are scaled to be as large as AdamW's (``match_rms_adamw``), so it has AdamW's rates. SGD's are set so
    that parameters move as far per step, and never above 1; they are a start for a search, no result of one.
    """
    rate = float(_row(parameters)[trained])
    return min(1.0, rate * _SGD[trained]) if optimizer == "sgd" else rate


def _row(parameters: int) -> dict[str, Any]:
    return next(row for row in _table(TABLE) if row["below"] is None or parameters < row["below"])


@cache
def _table(path: Path) -> list[dict[str, Any]]:
    """Rows by model size, smallest first: ``below``, ``adapters``, ``everything``, ``methods``, ``made``."""
    table: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return table
