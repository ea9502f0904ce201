"""Contribution of each part of a method: the method against itself without one of its switches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from snibench.report.fits import done, only
from snibench.report.layouts import METHOD
from snibench.report.questions import Questions
from snibench.report.values import Column, Table
from snibench.stats.summary import summarise

if TYPE_CHECKING:
    from snibench.base.types import FitSpec
    from snibench.store import StoredRun

SIDES = ("unseen", "seen")
_NOTES = (
    "Δ: the method minus the method without the part, so that a part that helps is above zero; paired, with p values "
    "corrected by Holm over the parts of one method.",
)


def part_tables(results: StoredRun) -> list[Table]:
    """One table, or none if no method was run beside itself without a switch that is on."""
    rows = [
        {"method": whole, "part": part, **_added(results, whole, label, list(variants))}
        for whole, variants in families(results).items()
        for label, part in variants.items()
    ]
    rows = [row for row in rows if len(row) > 2]
    if not rows:
        return []
    columns = [
        column
        for side in SIDES
        for column in (
            Column(f"{side}_delta", f"Δ {side}", "difference", "higher", f"{side}_low", f"{side}_high",
                   mark=f"{side}_significant"),
            Column(f"{side}_p_holm", "p (Holm)", "p"),
        )
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    shown = tuple(column for column in columns if column.field in frame)
    return [Table("parts", "What each part adds", frame, (METHOD, Column("part", "Part")), shown, _NOTES, "gap")]


def families(results: StoredRun) -> Mapping[str, Mapping[str, str]]:
    """Label of a method -> label of the method without some of its switches -> those switches."""
    specs = {spec.label: spec for _, spec in done(results)}
    by_whole: dict[str, dict[str, str]] = {}
    for whole, spec in specs.items():
        for label, other in specs.items():
            if parts := _left_out(spec, other):
                by_whole.setdefault(whole, {})[label] = ", ".join(parts)
    # A variant that lacks two parts is a variant of the whole, not of a variant that lacks one.
    inner = {label for variants in by_whole.values() for label in variants}
    return {whole: variants for whole, variants in by_whole.items() if whole not in inner}


def _left_out(method: FitSpec, other: FitSpec) -> list[str]:
    """The switches that are on in ``method`` and off in ``other``; empty if anything else differs."""
    if _beside_settings(method) != _beside_settings(other) or method.settings.keys() != other.settings.keys():
        return []
    differ = [key for key in method.settings if method.settings[key] != other.settings[key]]
    return differ if all(method.settings[key] is True and other.settings[key] is False for key in differ) else []


def _beside_settings(spec: FitSpec) -> tuple[Any, ...]:
    """Fields that distinguish methods in tables, but for the method's own settings."""
    return spec.method, spec.rule, spec.rule_settings, spec.sampler, spec.sampler_settings


def _added(results: StoredRun, whole: str, label: str, variants: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    questions = Questions(only(results, (whole, *variants)))
    for side in SIDES:
        scores = questions.split(side)
        if scores is None or not {whole, label} <= set(scores.methods):
            continue
        row = summarise(scores, baseline=whole).table.set_index("method").loc[label]
        values |= {
            f"{side}_delta": -row["delta"],
            f"{side}_low": -row["delta_high"],
            f"{side}_high": -row["delta_low"],
            f"{side}_p_holm": row["p_holm"],
            f"{side}_significant": row["significant"],
        }
    return values
