"""HTML that is safe by construction: text is escaped wherever it enters, and a document fetches nothing.

Parts that pages share (the report of a run, a leaderboard): elements, sortable tables, figures, the document itself.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

from snibench.report.cells import Grid, printable
from snibench.report.figures.figure import Figure
from snibench.report.figures.style import BAND, BASELINE, DARKER, FAINT, INK, OKABE_ITO, PAPER

LONGEST = 4000  # characters of a paragraph


class Html(str):
    """Markup; every other text is escaped before it becomes part of it."""

    __slots__ = ()


# Elements without an end.
_VOID = {"meta", "br", "link"}
# Inks of figures, by the custom property that a style sheet may set.
_INKS = {
    INK: "ink", FAINT: "faint", BAND: "band", PAPER: "paper", BASELINE: "baseline",
    **{color: f"m{index}" for index, color in enumerate((*OKABE_ITO, *DARKER))},
}  # fmt: skip


def element(name: str, /, *children: str | Iterable[str], **attributes: str | bool | None) -> Html:
    """``<name attributes>children</name>``. A child that is not ``Html`` is text, and escaped; so are attributes.

    A trailing underscore of an attribute's name is dropped (``class_``), others become hyphens; False and None leave
    it out, True sets it without a value.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.removesuffix("_").replace("_", "-")
        parts.append(key if value is True else f'{key}="{html.escape(printable(value, LONGEST))}"')
    start = f"<{' '.join(parts)}>"
    return Html(start if name in _VOID else f"{start}{joined(*children)}</{name}>")


def joined(*children: str | Iterable[str]) -> Html:
    """``children`` one after the other, each escaped if it is text."""
    flat = (part for child in children for part in ([child] if isinstance(child, str) else child))
    return Html("".join(part if isinstance(part, Html) else html.escape(printable(part, LONGEST)) for part in flat))


def notes(lines: Sequence[str]) -> Html:
    """A list of sentences; nothing if there is none."""
    return element("ul", [element("li", line) for line in lines], class_="notes") if lines else Html("")


def sortable(cells: Grid, *, label: str = "", titled: bool = True) -> Html:
    """``cells`` as a table whose columns sort on a click, with headers that a screen reader can follow.

    The last column of words that names a row stays in sight while the others scroll. Not ``titled``: the title is for
    screen readers alone.
    """
    heads = [
        element(
            "th",
            element("button", element("span", title), element("small", unit) if unit else "", type="button"),
            scope="col",
            class_=" ".join(_classes(cells, place)) or None,
            aria_sort="none",
        )
        for place, (title, unit) in enumerate(cells.headings)
    ]
    rows = [element("tr", [_cell(text, cells, place) for place, text in enumerate(row)]) for row in cells.rows]
    table = element(
        "table",
        element("caption", element("span", cells.title), class_=None if titled else "hidden"),
        element("thead", element("tr", heads)),
        element("tbody", rows),
        class_="sortable",
    )
    return element("div", table, class_="wide", tabindex="0", role="region", aria_label=label or cells.title)


def _classes(cells: Grid, column: int) -> list[str]:
    texts = [index for index in range(cells.keys) if not cells.numeric[index]]
    names = texts[-1] if texts else 0  # of the column that names a row best
    return [*(["number"] if cells.numeric[column] else []), *(["name"] if column == names else [])]


def _cell(text: str, cells: Grid, column: int) -> Html:
    classes = _classes(cells, column) + (["long"] if len(text) > 40 and not cells.numeric[column] else [])
    if text.endswith(" *") and (better := cells.better[column] if cells.better else ""):
        classes.append("better" if text.startswith("-") == (better == "lower") else "worse")
    key = column < cells.keys
    return element("th" if key else "td", text, scope="row" if key else None, class_=" ".join(classes) or None)


def drawing(figure: Figure) -> Html:
    """``figure`` in the page: its drawing in the page's own inks, its words, and its numbers to keep."""
    numbers = base64.b64encode(figure.csv().encode()).decode()
    return element(
        "figure",
        element("h3", figure.title, id=f"{figure.name}-title"),
        element("div", inline(figure), class_="drawing"),
        element(
            "figcaption",
            figure.caption,
            Html(f' <a download="{figure.name}.csv" href="data:text/csv;base64,{numbers}">The numbers (CSV)</a>'),
        ),
        id=figure.name,
    )


def inline(figure: Figure) -> Html:
    """The SVG of ``figure`` as a part of a page: names of its own, and custom properties for inks."""
    svg = figure.svg(words=False)
    svg = svg[svg.index("<svg") :]
    own = f"{figure.name}-"
    svg = re.sub(r'(\bid="|xlink:href="#|url\(#)', lambda found: found[1] + own, svg)
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda found: _ink(found[0]), svg)
    return Html(svg.replace("<svg ", f'<svg role="img" aria-labelledby="{own}title" ', 1))


def _ink(color: str) -> str:
    return f"var(--{_INKS[color]}, {color})" if color in _INKS else color


def data_block(name: str, text: str) -> Html:
    """JSON ``text`` in the page under the id ``name``, for a script to read; nothing in it is markup."""
    inert = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Html(f'<script type="application/json" id="{html.escape(name)}">{inert}</script>')


def document(title: str, *body: str, style: str = "", script: str = "") -> str:
    """A whole page. It carries its style and its script, and its policy lets it fetch nothing at all.

    ``style`` and ``script``: further ones of this page, from a file of the package.
    """
    style = _asset("page.css") + style
    scripts = [one for one in (_asset("page.js"), script) if one]
    allowed = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts
    )
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; img-src data:; "
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy + "base-uri 'none'; form-action 'none'"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        Html(f"<style>{style}</style>"),
    ]
    ends = [Html(f"<script>{one}</script>") for one in scripts]
    page = element("html", element("head", head), element("body", *body, ends), lang="en")
    return f"<!doctype html>\n{page}\n"


@cache
def _asset(name: str) -> str:
    return (files("snibench.report") / "assets" / name).read_text(encoding="utf-8")
