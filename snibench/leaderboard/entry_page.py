"""The details of one entry, laid out as texts and tables for a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from snibench.leaderboard.columns import Measures, compared_on
from snibench.leaderboard.show import place_of
from snibench.leaderboard.validate import incomplete
from snibench.report.cells import MISSING, cell, heading, number, printable
from snibench.report.values import Column, Verdict
from snibench.stats.outcomes import MARGIN

if TYPE_CHECKING:
    from snibench.leaderboard.pool import Board


_SEARCHED = {"True": "yes", "False": "no: not chosen for this method with this model size"}


def details(board: Board, entry: dict[str, Any], measures: Measures, rows_url: str = "") -> dict[str, Any]:
    """Title, sentences, facts and tables of ``entry``: texts alone."""
    return {
        "label": printable(entry["label"], 200),
        "sentences": [*_verdicts(board, entry), *_tied(board, entry)],
        "facts": [[name, printable(value, 1000)] for name, value in _facts(board, entry) if value not in (None, "")],
        "rows": _rows(entry, rows_url),
        "tables": list(_tables(entry, measures)),
    }


def _verdicts(board: Board, entry: dict[str, Any]) -> Iterator[str]:
    for question, on in compared_on(board).items():
        for row in board["comparisons"][question]:
            if row["label"] == entry["label"] and row["delta"] is not None and entry["status"] == "measured":
                yield _sentence(row, question, on, board["baseline"])


def _sentence(row: dict[str, Any], question: str, on: str, baseline: str) -> str:
    """The verdict of a comparison's row, in the words of reports."""
    numbers = {name: nan if row[name] is None else row[name] for name in ("delta", "delta_low", "delta_high", "mde")}
    return Verdict(
        method=row["label"],
        baseline=baseline,
        question=question,
        on=on,
        scope="tasks like these",
        estimate=numbers["delta"],
        low=numbers["delta_low"],
        high=numbers["delta_high"],
        outcome=row["outcome"] or "undecided",
        within_margin=False,
        starred=row["significant"],
        margin=MARGIN,
        minimum_detectable_effect=numbers["mde"],
        equivalence_bound=nan,
        why="a tuned method has one seed" if row["n_seeds"] == 1 else "too few seeds or tasks, or no noise in scores",
    ).sentence


def _tied(board: Board, entry: dict[str, Any]) -> Iterator[str]:
    for question, on in list(compared_on(board).items())[:1]:
        rows = board["comparisons"][question]
        mine = next((row for row in rows if row["label"] == entry["label"]), None)
        if mine is None or not mine["group"] or entry["status"] != "measured":
            continue
        alike = [row["label"] for row in rows if row is not mine and set(row["group"] or "") & set(mine["group"])]
        more = f" and {len(alike) - 12} more" if len(alike) > 12 else ""
        if alike:
            yield f"Not separated on {on} from: {', '.join(alike[:12])}{more}."


def _facts(board: Board, entry: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    config, budget, cost = entry["config"] or {}, entry["budget"] or {}, entry["cost"] or {}
    lacks = "; ".join(incomplete(board, entry)) if place_of(board, entry) == "incomplete" else ""
    yield "Incomplete", lacks
    yield "Source", entry["source"]
    yield "Authors", ", ".join(entry["authors"])
    yield "Method", " + ".join(filter(None, (entry["method"], entry["rule"])))
    yield "Package", " ".join(filter(None, (entry["distribution"], entry["version"])))
    yield "Settings", _json(config.get("settings"))
    yield "Rule's settings", _json(config.get("rule_settings"))
    yield "Sampler", config.get("sampler")
    yield "Training format", config.get("train_format")
    yield "Learning rate", _json(budget.get("learning_rate") or None)
    yield "Rate searched", _SEARCHED.get(str(config.get("rate_searched")), "")
    yield "Recipe", _json({name: value for name, value in budget.items() if name != "learning_rate"})
    yield "Seeds", ", ".join(map(str, entry["seeds"]))
    yield "Precision", config.get("precision")
    yield "Outside of snibench", config.get("elsewhere")
    if cost:
        yield "Tuning", number(cost["seconds"], "seconds")
        yield "Peak memory", number(cost["peak_memory_bytes"], "bytes")
        yield "Parameters", f"{cost['trainable_parameters']:,} of {cost['total_parameters']:,} are tuned"
        yield "Devices", ", ".join(cost["devices"])
    for share, values in (entry["conflict"] or {}).items():
        score = values.get("score")
        if score is not None:
            yield f"Conflict at {100 * float(share):g} %", f"{score:.3f} (raw {values.get('score_raw') or nan:.3f})"
    provenance = entry["provenance"] or {}
    yield "Versions", ", ".join(f"{name} {text}" for name, text in provenance.get("versions", {}).items())
    yield "Commit", provenance.get("git_commit")


def _json(value: Any) -> str | None:
    if value in (None, {}, [], ""):
        return None
    if isinstance(value, dict):
        return ", ".join(f"{name} {json.dumps(one, ensure_ascii=False)}" for name, one in value.items())
    return json.dumps(value, ensure_ascii=False)


def _rows(entry: dict[str, Any], rows_url: str) -> list[str] | None:
    """Address, number and digest of the rows."""
    rows = entry["rows"]
    if rows is None:
        return None
    start = rows_url if not rows_url or rows_url.endswith("/") else rows_url + "/"
    return [start + quote(rows["path"]), f"{rows['count']:,} answers", rows["digest"]]


def _tables(entry: dict[str, Any], measures: Measures) -> Iterator[dict[str, Any]]:
    """One table for each key: category, format, combo and its conditions."""
    for protocol, by_measure in entry["metrics"].items():
        known = {name: measures.overall.get((protocol, name)) for name in by_measure["overall"]}
        yield _table(f"{protocol}: over all", "", {"": by_measure["overall"]}, known, across=False)
        for key, groups in by_measure["by"].items():
            names = dict.fromkeys(name for group in groups.values() for name in group)
            columns = {
                name: measures.by.get((protocol, key, name)) or _of_part(measures, protocol, key, name)
                for name in names
            }
            titles = " and ".join(measures.titles.get(part, part) for part in key.split(", "))
            yield _table(f"{protocol}: by {titles.lower()}", titles, groups, columns, across=True)


def _of_part(measures: Measures, protocol: str, key: str, name: str) -> Column | None:
    """The column of a key that one frame has with others beside it."""
    return next((column for (own, _, field), column in measures.by.items() if own == protocol and field == name), None)


def _table(
    title: str, key: str, groups: dict[str, Any], columns: dict[str, Column | None], *, across: bool
) -> dict[str, Any]:
    """A row for each group with its measures; not ``across``: a row for each measure of the one group."""
    shown = {name: _readable(name, column) for name, column in columns.items()}
    if not across:
        ((_, named),) = groups.items()
        rows = [[column.title, _text(named.get(name), column), _n(named.get(name))] for name, column in shown.items()]
        return {"title": title, "heads": ["Measure", "Value [95% CI]", "n"], "rows": rows}
    rows = [
        [
            printable(group, 200),
            *(_text(named.get(name), column) for name, column in shown.items()),
            _n(next(iter(named.values()), None)),
        ]
        for group, named in groups.items()
    ]
    heads = [" ".join(filter(None, heading(column, []))) for column in shown.values()]
    return {"title": title, "heads": [key, *heads, "n"], "rows": rows}


def _readable(name: str, column: Column | None) -> Column:
    plain = column or Column(name, name.replace("_", " ").capitalize(), "percent")
    return replace(plain, field="mean", low="ci_low", high="ci_high", mark="", also=())


def _text(measure: dict[str, Any] | None, column: Column) -> str:
    return MISSING if measure is None else cell(measure, column)


def _n(measure: dict[str, Any] | None) -> str:
    return MISSING if measure is None or measure["n"] is None else str(measure["n"])
