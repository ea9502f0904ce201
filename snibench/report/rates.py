"""Learning rates that were tried for each method, and the one that it was tuned with."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from snibench.report.layouts import METHOD
from snibench.report.values import Column, Table

if TYPE_CHECKING:
    from snibench.store import StoredRun

_CHOSEN = (
    Column("rate", "Chosen"),
    Column("default", "Default"),
    Column("loss", "Loss", "number", "lower"),
    Column("loss_default", "At default", "number", "lower"),
    Column("trials", "Trials", "count"),
    Column("steps", "Steps", "count"),
    Column("seconds", "All trials", "seconds", "lower"),
)
_TRIALS = (
    Column("loss", "Loss", "number", "lower"),
    Column("status", "Status"),
    Column("cause", "Cause"),
    Column("steps", "Steps", "count"),
    Column("seed", "Seed", "count"),
    Column("seconds", "Tuning", "seconds", "lower"),
)
_NOTES = (
    "Each rate was tried once on the seen tasks' training instances without some that were held back; the lowest mean "
    "loss on those wins. Neither evaluation instances nor unseen tasks were read.",
)


def rate_tables(results: StoredRun) -> list[Table]:
    """Tables of the learning rate of each method, and of every trial; none if no rate was searched for."""
    searches = results.manifest.searches
    if not searches:
        return []
    trials = pd.DataFrame([{"method": one.label, **asdict(trial)} for one in searches for trial in one.trials])
    rows = []
    for one in searches:
        losses = {trial.rate: trial.loss for trial in one.trials}
        rows.append(
            {
                "method": one.label,
                "rate": f"{one.rate:g}",
                "default": f"{one.default:g}",
                "loss": losses[one.rate],
                "loss_default": losses[one.default],
                "trials": len(one.trials),
                "steps": one.trials[0].steps,
                "seconds": sum(trial.seconds for trial in one.trials),
            }
        )
    trials["rate"] = trials["rate"].map("{:g}".format)
    rate = Column("rate", "Rate")
    return [
        Table("rates", "Learning rates", pd.DataFrame(rows), (METHOD,), _CHOSEN, _NOTES),
        Table("trials", "Learning rates that were tried", trials, (METHOD, rate), _TRIALS, detail=True),
    ]
