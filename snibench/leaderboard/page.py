"""A board as one HTML file: verdicts, a table to sort, search and choose columns of, figures, and each entry's details.

Every text and number is laid out here; the script shows, hides and draws. Without it verdicts and table still stand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.registry import installed_names
from snibench.base.version import __version__
from snibench.leaderboard.columns import board_measures, compared_on
from snibench.leaderboard.drawn import figures_data
from snibench.leaderboard.entry_page import details
from snibench.leaderboard.show import AGAINST, board_report, headline_question, place_of
from snibench.report.cells import MISSING, cell, grid, heading
from snibench.report.fits import public_name
from snibench.report.glossary import GLOSSARY
from snibench.report.html import Html, data_block, document, element, joined, notes, sortable
from snibench.report.values import Column, Table, points

if TYPE_CHECKING:
    from snibench.leaderboard.pool import Board

_OUTCOMES = ("better", "worse", "equivalent", "undecided")
_AGAINST = tuple(column.field for column in AGAINST)
_HIDDEN = ("conflict_raw", "peak_memory", "version", "forgetting", "trainable_parameters", "seeds")
_SPAN = {"percent": (0.0, 1.0), "difference": (-1.0, 1.0)}  # of the axis in a cell


@installed_names()
def page_html(board: Board, path: Path, *, rows_url: str = "") -> str:
    """The valid ``board`` read from ``path`` as one HTML document that needs no network and no other file.

    Box plots need the rows beside ``path`` and are left out without them. ``rows_url``: where links to rows lead;
    empty: beside the page.
    """
    measures = board_measures(board)
    report = board_report(board, path)
    title = f"Leaderboard: {board['suite']['name']}, {public_name(board['model']['name'])}"
    tables = {table.name: table for table in report.tables}
    data = {
        "entries": [details(board, entry, measures, rows_url) for entry in board["entries"]],
        "questions": _compared(board),
        "figures": figures_data(board, measures, path.parent),
    }
    shown = [*([("Ranking", "ranking")] if "ranked" in tables else []), ("Figures", "figures")]
    shown += [
        (title, name)
        for name, title in (("incomplete", "Incomplete"), ("reported", "Reported elsewhere"))
        if name in tables
    ]
    shown += [("This board", "about"), ("Words", "words")]
    return document(
        title,
        element("header", element("h1", title), element("p", _lead(board), class_="lead")),
        _verdicts(board),
        element(
            "nav", [element("a", text, href=f"#{anchor}") for text, anchor in shown], aria_label="Parts of this page"
        ),
        element(
            "main",
            _ranking(board, tables["ranked"]) if "ranked" in tables else "",
            _figures(),
            [_plain(board, tables[name]) for name in ("incomplete", "reported") if name in tables],
            _about(board, path),
            element("section", element("h2", "Words", id="words"), _glossary()),
        ),
        element("dialog", element("div", id="entry-body"), id="entry", aria_labelledby="entry-title"),
        data_block("board", json.dumps(data, ensure_ascii=False, allow_nan=False)),
        style=_asset("board.css"),
        script=_asset("board.js"),
    )


@cache
def _asset(name: str) -> str:
    return (files("snibench.leaderboard") / "assets" / name).read_text(encoding="utf-8")


def _lead(board: Board) -> str:
    places = [place_of(board, entry) for entry in board["entries"]]
    parts = [f"{places.count('ranked')} entries measured"]
    parts += [f"{places.count('incomplete')} incomplete"] if "incomplete" in places else []
    parts += [f"{places.count('reported')} reported elsewhere"] if "reported" in places else []
    against = f" Compared with {board['baseline']}." if board["baseline"] else ""
    return f"{', '.join(parts)}.{against} Made by snibench {__version__}."


# -------------------------------------------------------------------------------------- verdicts


def _verdicts(board: Board) -> Html:
    """One line for each question: who is better than the baseline, who is worse, and what could be found."""
    lines = []
    for question, on in compared_on(board).items():
        rows = [row for row in board["comparisons"][question] if row["outcome"]]
        if not rows:
            continue
        named = {outcome: [row for row in rows if row["outcome"] == outcome] for outcome in _OUTCOMES}
        said = [
            f"{outcome}: {_names(named[outcome], question)}"
            for outcome in _OUTCOMES[:3]
            if named[outcome]
        ]  # fmt: skip
        if named["undecided"]:
            said.append(f"undecided: {len(named['undecided'])} of {len(rows)}")
        finds = sorted(row["mde"] for row in rows if row["mde"] is not None)
        power = (
            f" A pair in the middle finds {100 * finds[len(finds) // 2]:.1f} points with 80 % power." if finds else ""
        )
        text = f"Against {board['baseline']} on {on}: {'; '.join(said)}.{power}"
        lines.append(element("li", text))
    if not lines:
        return Html("")
    return element(
        "section", element("h2", "Verdicts", class_="hidden"), element("ul", lines, class_="verdicts"), id="verdicts"
    )


def _names(rows: list[dict[str, Any]], question: str) -> str:
    """The entries with their differences, the largest first; of many the first six."""
    rows = sorted(rows, key=lambda row: -abs(row["delta"] or 0.0))
    shown = [f"{row['label']} ({points(row['delta'])})" for row in rows[:6]]
    return ", ".join(shown) + (f" and {len(rows) - 6} more" if len(rows) > 6 else "")


# --------------------------------------------------------------------------------------- ranking


def _ranking(board: Board, table: Table) -> Html:
    # Differences of the gap are better the lower they are, those of other questions the higher: no arrow.
    against = {column.field: replace(column, better="") for column in table.columns if column.field in _AGAINST}
    columns = [*against.values(), *(column for column in table.columns if column.field not in against)]
    records = table.frame.to_dict("records")
    places = {entry["label"]: i for i, entry in enumerate(board["entries"]) if entry["status"] == "measured"}
    heads = [_head(Column("label", "Entry"), records, name=True), *(_head(column, records) for column in columns)]
    spans = {column.field: _span(column, records) for column in columns}
    rows = [_row(board, row, columns, places[row["label"]], spans) for row in records]
    questions = {name: on for name, on in compared_on(board).items() if board["comparisons"][name]}
    body = element(
        "table",
        element("caption", element("span", "Every complete entry. A name opens its details.")),
        element("thead", element("tr", heads)),
        element("tbody", rows),
        class_="sortable ranking",
        id="table",
    )
    return element(
        "section",
        element("h2", "Ranking", id="ranking"),
        _controls(columns, questions, headline_question(board)),
        element("div", body, class_="wide", tabindex="0", role="region", aria_label="Ranking"),
        notes(table.notes),
    )


def _head(column: Column, records: list[dict[Any, Any]], *, name: bool = False) -> Html:
    title, unit = heading(column, records)
    return element(
        "th",
        element("button", element("span", title), element("small", unit) if unit else "", type="button"),
        scope="col",
        class_=" ".join((*(["number"] if column.unit != "text" else []), *(["name"] if name else []))) or None,
        aria_sort="none",
        data_field=column.field,
    )


def _row(
    board: Board, row: dict[Any, Any], columns: list[Column], index: int, spans: dict[str, tuple[float, float] | None]
) -> Html:
    entry = board["entries"][index]
    label = entry["label"]
    name = element(
        "th",
        element("button", label, type="button", class_="open", data_entry=str(index), aria_haspopup="dialog"),
        element("small", "baseline", class_="tag") if label == board["baseline"] else "",
        scope="row",
        class_="name",
    )
    words = " ".join([label, entry["method"], entry["rule"], *entry["authors"]]).lower()
    searched = {"True": "yes", "False": "no"}.get(str((entry["config"] or {}).get("rate_searched")), "")
    cells = [_cell(row, column, spans[column.field]) for column in columns]
    return element(
        "tr", name, cells, data_entry=str(index), data_words=words, data_searched=searched,
        class_="baseline" if label == board["baseline"] else None,
    )  # fmt: skip


def _cell(row: dict[Any, Any], column: Column, span: tuple[float, float] | None) -> Html:
    text = cell(row, column)
    classes = ["number"] if column.unit != "text" else []
    if column.field == "delta" and text.endswith("*"):
        classes.append("better" if row["delta"] > 0 else "worse")
    bar = _bar(row.get(column.field), row.get(column.low), row.get(column.high), span) if text != MISSING else Html("")
    return element("td", text, bar, class_=" ".join(classes) or None, data_field=column.field)


def _span(column: Column, records: list[dict[Any, Any]]) -> tuple[float, float] | None:
    """The range of the axis that all cells of a column share; None where no interval is drawn."""
    values = [
        float(value)
        for row in records
        for value in (row.get(column.field), row.get(column.low), row.get(column.high))
        if isinstance(value, int | float) and value == value
    ]
    if column.unit not in _SPAN or not values:
        return None
    low, high = min(values), max(values)
    return (min(low, 0.0), max(high, 0.0)) if column.unit == "difference" else (min(low, 0.0), max(high, 1.0))


def _bar(value: Any, low: Any, high: Any, span: tuple[float, float] | None) -> Html:
    """The interval of a cell, drawn below its text; for the eye alone, as the text says the same."""
    ends = [one for one in (value, low, high) if isinstance(one, int | float) and one == one]
    if span is None or len(ends) < 3 or span[1] <= span[0]:
        return Html("")

    def at(one: float) -> str:
        return f"{100 * min(1.0, max(0.0, (one - span[0]) / (span[1] - span[0]))):.1f}%"

    style = f"--low:{at(low)};--high:{at(high)};--at:{at(value)};--zero:{at(0.0)}"
    return element("span", class_="interval", style=style, aria_hidden="true")


def _controls(columns: Sequence[Column], questions: Mapping[str, str], headline: str | None) -> Html:
    choices = [
        element(
            "label",
            element("input", type="checkbox", checked=column.field not in _HIDDEN, value=column.field),
            f" {column.title}",
        )
        for column in columns
    ]
    asked = [element("option", on, value=name, selected=name == headline) for name, on in questions.items()]
    outcomes = [
        element("option", text, value=value) for value, text in [("", "any"), *((one, one) for one in _OUTCOMES)]
    ]
    return element(
        "form",
        element("label", "Search ", element("input", type="search", id="search", placeholder="name, rule, author")),
        element("label", "Compare on ", element("select", asked, id="question")) if asked else "",
        element("label", "Outcome ", element("select", outcomes, id="outcome")) if asked else "",
        element("label", element("input", type="checkbox", id="searched"), " searched rates only"),
        element("details", element("summary", "Columns"), element("div", choices, class_="choices"), id="columns"),
        element("output", "", id="count", aria_live="polite"),
        class_="controls",
        id="controls",
    )


def _compared(board: Board) -> dict[str, dict[str, list[str]]]:
    """By question and label the cells of the columns of ``AGAINST``: text, and the colour of a star."""
    outcomes: dict[str, dict[str, list[str]]] = {}
    for question, rows in board["comparisons"].items():
        outcomes[question] = {
            row["label"]: [
                *(cell(row, column) for column in AGAINST),
                (row["outcome"] or "") if row["significant"] else "",
            ]
            for row in rows
        }
    return outcomes


# ---------------------------------------------------------------------------------------- others


def _figures() -> Html:
    """Places that the script draws in, each with its numbers as a table."""
    drawn = (
        ("pareto", "Cost against score", ""),
        ("conflict", "Gradient conflict against the generalization gap", ""),
        ("boxes", "Task combinations: streams that switch between two families", "Combo and history"),
    )
    return element(
        "section",
        element("h2", "Figures", id="figures"),
        [
            element(
                "figure",
                element("h3", title, id=f"{name}-title"),
                element("label", f"{choice} ", element("select", id=f"{name}-choice")) if choice else "",
                element("div", class_="plot", id=f"{name}-plot", role="img", aria_labelledby=f"{name}-title"),
                element("figcaption", "", id=f"{name}-caption"),
                element(
                    "details", element("summary", "The numbers"), element("div", id=f"{name}-numbers", class_="wide")
                ),
                id=name,
                hidden=True,
            )
            for name, title, choice in drawn
        ],
        element("noscript", element("p", "Figures and details of entries need JavaScript.")),
    )


def _plain(board: Board, table: Table) -> Html:
    title = "Incomplete" if table.name == "incomplete" else "Reported elsewhere"
    return element(
        "section", element("h2", title, id=table.name), sortable(grid(table), label=table.title), notes(table.notes)
    )


def _about(board: Board, path: Path) -> Html:
    request = board["suite"]["request"]
    chosen = {name: value for name, value in (request or {}).items() if value not in (None, [], False, 0)}
    facts = {
        "Suite": f"{board['suite']['name']}, SHA-256 {board['suite']['digest']}",
        "Chosen by": json.dumps(chosen, ensure_ascii=False),
        "Model": f"{board['model']['name']}, SHA-256 {board['model']['digest']}",
        "Protocols": ", ".join(f"{name} {one['version'] or ''}".strip() for name, one in board["protocols"].items()),
        "Questions per task, format and protocol": board["limit"] or "the protocols' own number",
        "Check it": f"snibench leaderboard verify {path.name}",
    }
    rows = [element("tr", element("th", name, scope="row"), element("td", str(value))) for name, value in facts.items()]
    return element(
        "section",
        element("h2", "This board", id="about"),
        element(
            "div",
            element("table", element("tbody", rows), class_="facts"),
            class_="wide",
            tabindex="0",
            role="region",
            aria_label="This board",
        ),
        element(
            "p",
            "Scores are computed again from the rows by that command, and the rows are held against the suite. Cost, "
            "conflict and forgetting are what the entries say.",
            class_="lead",
        ),
    )


def _glossary() -> Html:
    return element("dl", [joined([element("dt", term), element("dd", meaning)]) for term, meaning in GLOSSARY])
