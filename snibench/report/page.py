"""The report of a run as one HTML file: tables that sort, figures, and where every number comes from."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from snibench.base.version import __version__
from snibench.report.cells import Grid, grid, number
from snibench.report.glossary import GLOSSARY
from snibench.report.html import Html, document, drawing, element, joined, notes, sortable

if TYPE_CHECKING:
    from snibench.report.figures import Figure
    from snibench.report.values import Report, Table
    from snibench.store import StoredRun

# Heading, and the tables below it by name.
_BEFORE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Summary", ("summary", "failed")),
    (
        "Better than the baseline?",
        ("comparison", "comparison_unseen", "comparison_held_out", "comparison_gap", "comparison_formats",
         "comparison_combos", "categories_unseen", "categories_held_out", "tasks_unseen", "tasks_held_out",
         "format_measures_difference", "format_differences", "combo_mean_differences", "parts"),
    ),
)  # fmt: skip
_AFTER: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Gradient conflict", ("conflict",)),
    ("Cost and tuning", ("cost", "rates", "forgetting")),
    ("Task similarity", ("similarity", "similarity_combos", "similarity_unseen")),
)
# Figure -> the table whose section it stands in, as ``Table.drawn_as`` says.
_FIGURES = {
    "forest": "comparison_unseen",
    "ranks": "comparison_unseen",
    "gap": "gap",
    "figure3-categories": "categories",
    "figure2-formats": "formats",
    "format-differences": "format_differences",
    "figure4-combos": "combos",
    "combo-differences": "combo_mean_differences",
    "conflict": "conflict",
    "cost": "cost",
    "learning-curves": "cost",
    "similarity-unseen": "similarity",
    "similarity-combos": "similarity",
}


def page_html(report: Report, results: StoredRun | None = None, figures: Sequence[Figure] = ()) -> str:
    """``report`` as one HTML document that needs no network and no other file.

    Args:
        report: Its tables and notes.
        results: The run itself, for the software and devices of its fits.
        figures: What ``figures.draw`` made of it; empty where matplotlib is missing.
    """
    sections = list(_sections(report, figures))
    if results is not None and (said := _answers(report, results)):
        sections.append(("Answers", said))
    anchors = [*((title, _anchor(title)) for title, _ in sections), ("Words", "words"), ("Provenance", "provenance")]
    links = element("nav", [element("a", title, href=f"#{anchor}") for title, anchor in anchors])
    against = f" Compared with {report.baseline}." if report.baseline else ""
    warning = element("aside", notes(report.notes), class_="warn") if report.notes else Html("")
    return document(
        report.title,
        element(
            "header", element("h1", report.title), element("p", f"snibench {__version__}.{against}", class_="lead")
        ),
        _verdicts(report),
        links,
        element(
            "main",
            warning,
            [element("section", element("h2", title, id=_anchor(title)), body) for title, body in sections],
            element("section", element("h2", "Words", id="words"), _glossary()),
            element("section", element("h2", "Provenance", id="provenance"), _provenance(report, results)),
        ),
    )


def fragment_html(report: Report) -> str:
    """The tables and notes of ``report`` as markup that stands inside another document, such as a notebook."""
    sentences = notes([verdict.sentence for verdict in report.verdicts])
    tables = [_table(table) for table in report.shown]
    return joined(element("h3", report.title), sentences, notes(report.notes), tables)


def _sections(report: Report, figures: Sequence[Figure]) -> Iterable[tuple[str, Html]]:
    """Headings with what stands below them; what no section asks for comes last."""
    tables = list(report.shown)
    drawn = list(figures)
    for title, mine, names in _grouped(tables):
        pictures = [name for name, table in _FIGURES.items() if table in names]
        shown = [one for name in pictures for one in drawn if one.name == name]
        tables = [one for one in tables if one not in mine]
        drawn = [one for one in drawn if one not in shown]
        if mine or shown:
            yield title, joined(map(drawing, shown), [_table(one, below=title) for one in mine])
    if tables or drawn:
        yield "More", joined(map(drawing, drawn), map(_table, tables))


def _grouped(tables: Sequence[Table]) -> Iterator[tuple[str, list[Table], Collection[str]]]:
    """Each heading, its tables, and what figures find those by; a heading for each protocol."""
    own = [one for one in tables if not one.section]
    for title, names in _BEFORE:
        # A protocol's own comparison stands among the others.
        some = [*names, *(one.name for one in own if one.name.startswith("comparison_") and "comparison" in names)]
        yield title, [one for one in own if one.name in some], names
    for title in dict.fromkeys(one.section for one in tables if one.section):
        mine = [one for one in tables if one.section == title]
        yield title, mine, {one.drawn_as for one in mine}
    for title, names in _AFTER:
        yield title, [one for one in own if one.name in names], names


def _table(table: Table, below: str = "") -> Html:
    """``table`` with its notes; its title is not shown a second time ``below`` a heading that says the same."""
    return joined(sortable(grid(table), titled=table.title != below), notes(table.notes))


def _answers(report: Report, results: StoredRun) -> Html:
    """Some answers of each method beside the baseline's; empty where there is no baseline, or nothing differs."""
    from snibench.report.answers import examples

    if not report.baseline or not len(rows := examples(results, report.baseline)):
        return Html("")
    about = (
        f"Questions to which a method has another score than {report.baseline}: one a task, where the two are furthest "
        "apart. All of them: "
    )
    command = element("code", f"snibench answers --differ '{report.baseline}'")
    heads = (
        "Method",
        "Task",
        "Instance",
        "Format",
        "Seed",
        report.baseline,
        "The method",
        "Reference",
        "Score",
        "Baseline's",
    )
    cells = tuple(
        (one["method"], one["task"], one["instance"], one["format"], str(one["seed"]), one[report.baseline],
         one["prediction"], " | ".join(map(str, one["targets"])), number(one["score"], "percent"),
         number(one["score_other"], "percent"))
        for one in rows.to_dict("records")
    )  # fmt: skip
    numeric = (False, False, False, False, True, False, False, False, True, True)
    table = sortable(
        Grid("What was said", tuple((head, "%" * (head in heads[-2:])) for head in heads), cells, 2, numeric)
    )
    return joined(element("p", about, command), table)


def _verdicts(report: Report) -> Html:
    """The answers in sentences, above everything else."""
    if not report.verdicts:
        return Html("")
    lines = [
        element("li", one.sentence, class_=one.outcome + (" suite" if one.scope == "this suite" else ""))
        for one in report.verdicts
    ]
    return element("section", element("ul", lines, class_="verdicts"), id="verdicts")


def _glossary() -> Html:
    """Section with the glossary."""
    return element("dl", [joined([element("dt", term), element("dd", meaning)]) for term, meaning in GLOSSARY])


def _anchor(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")


# ------------------------------------------------------------------------------------ provenance


def _provenance(report: Report, results: StoredRun | None) -> Html:
    facts: dict[str, Any] = {"snibench": __version__, "rows_digest": report.rows_digest, **report.facts}
    if results is not None:
        facts |= {"protocol_versions": results.manifest.protocol_versions, "software": _software(results)}
    rows = [
        element("tr", element("th", key.replace("_", " "), scope="row"), element("td", _fact(value)))
        for key, value in facts.items()
    ]
    table = element("table", element("tbody", rows), class_="facts")
    return joined(element("div", table, class_="wide"), _fits(results) if results is not None else "")


def _fact(value: Any) -> Html:
    if isinstance(value, Mapping):
        return joined(
            [element("div", element("code", f"{key}: {_words(item)}")) for key, item in value.items()] or ["none"]
        )
    return element("code", _words(value))


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _software(results: StoredRun) -> dict[str, str]:
    """Every version that a fit was made with."""
    by_name: dict[str, set[str]] = {}
    for record in results.records:
        for name, version in record.versions.items():
            by_name.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(by_name.items())}


def _fits(results: StoredRun) -> Html:
    """Every fit: what it is, how it ended and where its folder is."""
    heads = ("Method", "Seed", "Fit", "Status", "Tuning", "Device", "Rate")
    rows = [
        (spec.label, str(spec.seed), record.fit, record.status, number(record.seconds, "seconds"), record.device,
         f"{spec.recipe.learning_rate:g}")
        for record, spec in zip(results.records, results.specs, strict=True)
    ]  # fmt: skip
    numeric = (False, True, False, False, True, False, True)
    return sortable(Grid("Fits", tuple((head, "") for head in heads), tuple(rows), 1, numeric))
