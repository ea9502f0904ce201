"""What the protocols make of the rows, and the tables of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from snibench.base.errors import PluginError, UsageError
from snibench.base.registry import PROTOCOLS
from snibench.report.layouts import LAYOUTS, laid_out
from snibench.report.values import Table

if TYPE_CHECKING:
    from snibench.store import Results

Measures = Mapping[tuple[str, str], pd.DataFrame]  # (protocol, name of the frame) -> frame


def measured(results: Results) -> tuple[Measures, tuple[str, ...]]:
    """The frames of every protocol, and a sentence for each protocol that cannot be shown.

    Beside a protocol's own frames: ``combo_means``, and ``gap_categories`` cut into its two sides.
    """
    frames: dict[tuple[str, str], pd.DataFrame] = {}
    faults = []
    names = results.answers["protocol"]
    for protocol in map(str, names.unique()):
        try:
            made = PROTOCOLS.get(protocol)()
        except (UsageError, PluginError) as error:
            faults.append(f"Answers to protocol '{protocol}' are not shown. {error}")
            continue
        asked = (names == protocol).to_numpy()
        rows = results.answers if asked.all() else results.answers[asked].reset_index(drop=True)
        found = made.measure(rows, results.tasks)
        frames |= {(protocol, frame): found[frame] for frame in found}
    if (combos := frames.get(("combos", "combos"))) is not None:
        frames["combos", "combo_means"] = _combo_means(combos)
    if (categories := frames.pop(("gap", "gap_categories"), None)) is not None:
        for side in ("unseen", "seen"):
            frames["gap", f"gap_categories_{side}"] = categories[categories[f"n_{side}"] > 0].reset_index(drop=True)
    return frames, tuple(faults)


def protocol_tables(measures: Measures) -> list[Table]:
    """One table for each frame that has rows, in the order of ``LAYOUTS``; frames of plugins stand at the end."""
    places = dict.fromkeys((*LAYOUTS, *measures))
    return [laid_out(*place, measures[place]) for place in places if place in measures and len(measures[place])]


def against(table: Table, baseline: str) -> Table:
    """``table`` with the differences from the baseline alone, if it has those of all pairs."""
    if "versus" not in table.frame or not baseline:
        return table
    return replace(table, frame=table.frame[table.frame["versus"] == baseline].reset_index(drop=True))


def _combo_means(combos: pd.DataFrame) -> pd.DataFrame:
    """One row per method: means over boxes with the metric that most have; different metrics make no mean."""
    if not len(combos):
        return combos
    metric = str(combos["metric"].value_counts(sort=False).idxmax())
    boxes = combos[combos["metric"] == metric].groupby("method", sort=False)
    means = boxes[["median", "iqr", "p5", "noise_sd", "excess_sd"]].mean()
    return means.assign(min=boxes["min"].min(), n_boxes=boxes.size(), metric=metric).reset_index()
