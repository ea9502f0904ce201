"""Entries: what a board says of a method, a pure function of its rows, records and specs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from snibench.base.version import __version__
from snibench.report.cells import missing
from snibench.report.conflict import conflict_points
from snibench.report.fits import costs, done
from snibench.report.forgetting import forgetting
from snibench.report.measures import measured, protocol_tables

if TYPE_CHECKING:
    from snibench.report.values import Column
    from snibench.store import StoredRun

_FRACTIONS = ("percent", "points", "difference")


def entry(label: str, results: StoredRun, rows: dict[str, Any], authors: Sequence[str]) -> dict[str, Any]:
    """The entry of the method ``label``; ``results`` holds its fits alone, at least one of them done.

    Numbers are made of this method's rows alone, so that they do not change with the company it is shown in.
    """
    fits = done(results)
    record, spec = fits[0]
    recipes = [asdict(one.recipe) for _, one in fits]
    return {
        "label": label,
        "method": spec.method,
        "rule": spec.rule,
        "version": spec.source.get("version", ""),
        "distribution": spec.source.get("distribution", ""),
        "authors": list(authors),
        "status": "measured",
        "config": {
            "settings": dict(spec.settings),
            "rule_settings": dict(spec.rule_settings),
            "sampler": spec.sampler,
            "sampler_settings": dict(spec.sampler_settings),
            "train_format": spec.train_format,
            "precision": spec.precision,
            "elsewhere": spec.elsewhere,
            "rate_searched": all(one.searched for _, one in fits) if recipes[0]["steps"] else None,
            "code": dict(spec.source),
        },
        "seeds": sorted({one.seed for _, one in fits}),
        "fits": {"done": len(fits), "planned": len(results.specs)},
        "budget": {name: _common([recipe[name] for recipe in recipes]) for name in recipes[0]},
        "metrics": metrics(results),
        "conflict": _conflict(results),
        "forgetting": forgetting_measure(results),
        "cost": _cost(results),
        "provenance": {
            "snibench": record.versions.get("snibench", __version__),
            "versions": dict(record.versions),
            "git_commit": record.versions.get("git_commit"),
            "git_dirty": {"true": True, "false": False}.get(record.versions.get("git_dirty", "")),
            "platform": record.versions.get("system"),
        },
        "rows": rows,
        "source": None,
    }


def _common(values: list[Any]) -> Any:
    """The one value, or the list of those that differ between fits."""
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else distinct


def metrics(results: StoredRun) -> dict[str, Any]:
    """Per protocol what its tables say of the one method in ``results``: overall, and by each key of a table.

    A measure is a column of fractions that knows how many units are behind it; a protocol without any is left out.
    """
    frames, _ = measured(results)
    by_protocol: dict[str, Any] = {own.protocol: {"overall": {}, "by": {}} for own in frames}
    for table in protocol_tables(frames):
        keys = [key.field for key in table.keys if key.field != "method" and not key.about]
        into = by_protocol[table.protocol]
        for row in table.frame.to_dict("records"):
            measures = {
                column.field: measure
                for column in table.columns
                if column.unit in _FRACTIONS and column.n and (measure := _measure(row, column))
            }
            if not measures:
                continue
            if keys:
                group = ", ".join(str(row[key]) for key in keys)
                into["by"].setdefault(", ".join(keys), {}).setdefault(group, {}).update(measures)
            else:
                into["overall"].update(measures)
    return {protocol: values for protocol, values in by_protocol.items() if values["overall"] or values["by"]}


def _measure(row: Any, column: Column) -> dict[str, Any] | None:
    """Mean, interval and n; None where the number was not measured."""
    mean, n = _number(row.get(column.field)), _number(row.get(column.n))
    if mean is None or n is None or n < 1:
        return None
    low, high = _number(row.get(column.low)), _number(row.get(column.high))
    if low is None or high is None:
        low = high = None
    return {"mean": mean, "ci_low": low, "ci_high": high, "n": int(n)}


def _number(value: Any) -> float | None:
    return float(value) if not missing(value) and isfinite(value) else None


def _conflict(results: StoredRun) -> dict[str, dict[str, float | None]]:
    points = conflict_points(results).drop(columns="method").to_dict("records")
    return {f"{row.pop('share'):g}": {str(name): _number(value) for name, value in row.items()} for row in points}


def forgetting_measure(results: StoredRun) -> dict[str, float | None] | None:
    """Mean and interval of the forgetting of the one method in ``results``, None where it was not measured."""
    rows = forgetting(results).to_dict("records")
    if not rows or (mean := _number(rows[0]["forgetting"])) is None:
        return None
    return {
        "mean": mean,
        "ci_low": _number(rows[0].get("forgetting_low")),
        "ci_high": _number(rows[0].get("forgetting_high")),
    }


def _cost(results: StoredRun) -> dict[str, Any]:
    (cost,) = costs(results).to_dict("records")
    return {
        "seconds": float(cost["seconds"]),
        "peak_memory_bytes": int(cost["peak_memory"]),
        "trainable_parameters": int(cost["trainable_parameters"]),
        "total_parameters": int(cost["total_parameters"]),
        "devices": sorted({record.device for record, _ in done(results) if record.device}),
    }
