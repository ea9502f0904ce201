"""The HTML report: complete, safe whatever names say, and alive in a browser without any network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from snibench.report import Report, build
from snibench.report.cells import grid
from snibench.report.html import Html, element, sortable
from snibench.report.layouts import METHOD
from snibench.report.page import page_html
from snibench.report.values import Column, Table
from snibench.store import StoredRun

HOSTILE = "<script>alert('x')</script>\"'&<b>$x_1$\u202e\x1b[31m"


class Elements(HTMLParser):
    """Every element of a page, with its attributes; fails where tags do not match."""

    VOID = ("meta", "br", "link", "path", "use", "rect", "image")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def figures(results: StoredRun, report: Report) -> list[Any]:
    pytest.importorskip("matplotlib")
    from snibench.report.figures import draw

    return draw(results, report)


@pytest.fixture(scope="module")
def page(results: StoredRun, report: Report, figures: list[Any]) -> str:
    return page_html(report, results, figures)


def test_it_has_every_table_figure_note_and_failure(page: str, report: Report, figures: list[Any]) -> None:
    elements = Elements(page)
    text = " ".join(elements.texts)
    captions = [table.title.split(" (")[0] for table in report.shown]
    assert all(caption in text for caption in captions)
    assert "loss is [bold]nan[/bold] at step 17" in text
    assert {figure.name for figure in figures} <= {attributes.get("id") for _, attributes in elements.found}
    assert all(note.split(":")[0] in text for note in report.notes)
    assert report.rows_digest in text


def test_verdicts_come_first_and_every_heading_is_in_the_navigation_once(page: str, report: Report) -> None:
    assert page.index(report.verdicts[0].sentence.split(",")[0]) < page.index("<nav>") < page.index("<main>")
    nav = page[page.index("<nav>") : page.index("</nav>")]
    links = re.findall(r'href="#([^"]*)"', nav)
    assert links == re.findall(r'<h2 id="([^"]*)"', page)
    assert links[0] == "summary"
    assert links[-1] == "provenance"
    assert re.findall(r'<caption( class="hidden")?><span>Summary<', page) == [' class="hidden"']


def test_comparisons_stand_in_one_section(page: str) -> None:
    assert "More</h2>" not in page
    section = page[page.index('id="better-than-the-baseline') : page.index('id="seen-and-unseen')]
    for title in ("mean over formats", "combos, above chance", "by format", "by combo and history"):
        assert title in section


def test_one_column_of_words_stays_in_sight_in_every_table(page: str) -> None:
    for table in re.findall(r'<table class="sortable">.*?</table>', page, re.DOTALL):
        head, *rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        places = {
            tuple(
                index for index, cell in enumerate(re.findall(r"<t[hd]([^>]*)>", row)) if re.search(r'[" ]name"', cell)
            )
            for row in (head, *rows)
        }
        assert len(places) == 1
        assert [len(place) for place in places] == [1]


def test_methods_as_columns_have_the_baseline_first_and_controls_last(page: str) -> None:
    table = re.search(r'<table class="sortable"><caption><span>Score by format.*?</table>', page, re.DOTALL)
    assert table
    heads = re.findall(r"<button[^>]*><span>(.*?)</span>", table[0])
    assert heads[-4:] == ["unified-prompt", "mtl-lora", "ours", "untuned"]


@pytest.mark.parametrize(
    ("text", "mark", "better", "said"),
    [
        ("+1.0 *", "significant", "higher", "better"),
        ("-1.0 *", "significant", "higher", "worse"),
        ("+1.0 *", "significant", "lower", "worse"),
        ("-1.0 *", "significant", "lower", "better"),
        ("+1.0 *", "unresolved", "lower", ""),
        ("+1.0", "significant", "lower", ""),
    ],
)
def test_a_star_has_the_colour_of_its_direction(text: str, mark: str, better: Any, said: str) -> None:
    value = float(text.split()[0]) / 100
    frame = pd.DataFrame({"method": ["ours"], "delta": [value], mark: ["*" in text]})
    column = Column("delta", "Δ", "difference", better, mark=mark)
    cell = re.findall(r"<td([^>]*)>([^<]*)", sortable(grid(Table("t", "T", frame, (METHOD,), (column,)))))
    assert cell[0][1] == text
    assert [word for word in ("better", "worse") if word in cell[0][0]] == ([said] if said else [])


def test_answers_stand_beside_the_baselines_where_the_scores_differ(results: StoredRun, report: Report) -> None:
    from snibench.report.answers import examples

    rows = examples(results, "unified-prompt", tasks=3)
    assert set(rows["method"]) == {"mtl-lora", "ours"}  # no controls
    assert (rows["score"] != rows["score_other"]).all()
    assert not rows.duplicated(["method", "task"]).any()
    assert (rows.groupby("method").size() <= 3).all()
    page = page_html(report, results)
    section = page[page.index('<h2 id="answers"') : page.index('<h2 id="words"')]
    assert "snibench answers --differ &#x27;unified-prompt&#x27;" in section
    assert section.count("<tr>") == 1 + len(examples(results, "unified-prompt"))
    assert 'id="answers"' not in page_html(replace(report, baseline=""), results)


def test_it_says_what_the_numbers_hang_on(page: str) -> None:
    for fact in ("a" * 64, "b" * 64, "c" * 64, "python", "3.11"):  # digests, versions
        assert fact in page


def test_names_from_anybody_are_text(make_results: Callable[..., StoredRun]) -> None:
    results = make_results()
    renamed = {"ours": HOSTILE}
    hostile = replace(
        results,
        answers=results.answers.assign(method=results.answers["method"].replace(renamed)),
        specs=tuple(replace(spec, label=renamed.get(spec.label, spec.label)) for spec in results.specs),
        records=tuple(replace(one, label=renamed.get(one.label, one.label)) for one in results.records),
        tasks=results.tasks.assign(category=results.tasks["category"].replace({"Word Analogy": HOSTILE})),
    )
    report = build(hostile)
    plain = page_html(report, hostile)
    elements = Elements(plain)
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert not any(tag == "b" for tag, _ in elements.found)
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert "\x1b" not in plain
    assert "\u202e" not in plain
    assert "alert('x')" in " ".join(elements.texts)  # shown as it is


def test_figures_with_such_names_are_drawn_and_are_no_markup(make_results: Callable[..., StoredRun]) -> None:
    pytest.importorskip("matplotlib")
    from snibench.report.figures import draw

    results = make_results({"untuned": 0.2, "unified-prompt": 0.5, "ours": 0.6}, seeds=(0, 1))
    renamed = {"ours": HOSTILE}
    hostile = replace(
        results,
        answers=results.answers.assign(method=results.answers["method"].replace(renamed)),
        specs=tuple(replace(spec, label=renamed.get(spec.label, spec.label)) for spec in results.specs),
    )
    report = build(hostile)
    elements = Elements(page_html(report, hostile, draw(hostile, report)))
    assert [tag for tag, _ in elements.found].count("script") == 1


def test_text_becomes_markup_only_as_html() -> None:
    assert element("p", "a < b", title='"quoted"') == '<p title="&quot;quoted&quot;">a &lt; b</p>'
    assert element("p", Html("<i>x</i>"), hidden=True) == "<p hidden><i>x</i></p>"
    assert element("p", ["a", "b"], class_=None) == "<p>ab</p>"


def test_nothing_in_it_points_anywhere(page: str) -> None:
    for tag, attributes in Elements(page).found:
        for name in ("href", "src", "xlink:href", "action", "srcset"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, name, value[:80])
    style = re.sub(r'"[^"]*"', "", page)
    assert "@import" not in style
    assert not re.search(r"url\((?!#)", style)


def test_figures_take_the_colours_of_the_page_and_share_no_names(page: str) -> None:
    ids = [attributes["id"] for _, attributes in Elements(page).found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "var(--ink, #1b1b1a)" in page
    assert not re.search(r"(?:fill|stroke): #1b1b1a", page)


# ------------------------------------------------------------------------------- in a browser

COLUMN = """
(() => {
  const titled = (table) => table.caption && table.caption.textContent.startsWith("TITLE");
  const table = [...document.querySelectorAll("table")].find(titled);
  const heads = [...table.tHead.rows[0].cells];
  const index = heads.findIndex(head => head.textContent.startsWith("HEAD"));
  CLICK
  return [heads[index].getAttribute("aria-sort"), [...table.tBodies[0].rows].map(row => row.cells[index].textContent)];
})()
"""


def column(browser: Any, title: str, head: str, *, click: bool = True) -> tuple[str, list[str]]:
    script = COLUMN.replace("TITLE", title).replace("HEAD", head)
    script = script.replace("CLICK", "heads[index].querySelector('button').click();" if click else "")
    state, cells = browser.run(script)
    return state, cells


def first_number(text: str) -> float:
    return float(re.match(r"[<+-]?[\d.,]+", text).group().lstrip("<").replace(",", ""))  # type: ignore[union-attr]


def test_a_browser_shows_it_without_errors_and_asks_nobody(browser: Any, page: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    browser.open(file)
    assert browser.run("document.querySelectorAll('figure svg').length") >= 6
    column(browser, "Summary", "Seen")
    assert not browser.told("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    asked = {event["request"]["url"] for event in browser.told("Network.requestWillBeSent")}
    assert {url for url in asked if not url.startswith("data:")} == {file.as_uri()}


def test_a_click_sorts_as_numbers_and_a_second_one_turns_round(browser: Any, page: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    browser.open(file)
    _, before = column(browser, "Summary", "Seen", click=False)
    up, rising = column(browser, "Summary", "Seen")
    down, falling = column(browser, "Summary", "Seen")
    numbers = [first_number(cell) for cell in rising]
    assert (up, down) == ("ascending", "descending")
    assert numbers == sorted(map(first_number, before))
    assert [first_number(cell) for cell in falling] == numbers[::-1]
    _, costs = column(browser, "Summary", "Conflict")  # the untuned model has none
    assert costs[-1] == "–"


def test_it_follows_the_reader_to_a_dark_page(browser: Any, page: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    colours = []
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.open(file)
        ink = "getComputedStyle(document.querySelector('figure svg [style*=\"--ink\"]'))"
        fill = browser.run(f"{ink}.fill + '|' + {ink}.stroke + getComputedStyle(document.body).backgroundColor")
        colours.append(fill)
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert colours[0] != colours[1]
