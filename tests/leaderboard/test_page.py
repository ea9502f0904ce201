"""The page of a board: complete, inert whatever names say, and alive in a browser without any network."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from snibench.leaderboard.drawn import box, pareto
from snibench.leaderboard.page import page_html
from snibench.leaderboard.validate import faults

HOSTILE = "</script><img src=x onerror=alert(1)><b>'\"&$x_1$"


def crowd(board: Any, number: int) -> Any:
    """``board`` with entries made up until there are ``number``; their rows are those of the first ones."""
    crowd = copy.deepcopy(board)
    for i in range(len(crowd["entries"]), number):
        one = copy.deepcopy(board["entries"][1 + i % 3])
        one["label"] = f"{one['label']}(r={i})"
        one["cost"]["seconds"] += 3.0 * (i % 17)
        one["config"]["rate_searched"] = i % 2 == 0
        unseen = one["metrics"]["gap"]["overall"]["unseen"]
        unseen["mean"] = 0.2 + 0.6 * ((i * 37) % 101) / 101
        unseen["ci_low"], unseen["ci_high"] = unseen["mean"] - 0.1, unseen["mean"] + 0.1
        crowd["entries"].append(one)
        for rows in crowd["comparisons"].values():
            source = next(row for row in rows if row["label"] == board["entries"][1 + i % 3]["label"])
            rows.append({**source, "label": one["label"], "rank": 1.0 + (i * 13) % 97})
    return crowd


@pytest.fixture(scope="module")
def page(exported: Path, board: Any) -> str:
    return page_html(board, exported)


@pytest.fixture(scope="module")
def page_file(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "board.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def crowded(exported: Path, board: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crowd") / "board.html"
    path.write_text(page_html(crowd(board, 500), path), encoding="utf-8")
    return path


def data_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="board">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


# --------------------------------------------------------------------------------------- content


def test_verdicts_against_the_baseline_come_first(page: str, board: Any) -> None:
    start = page.index('id="verdicts"')
    assert start < page.index("<nav") < page.index("<table")
    line = re.search(r"<li>(Against unified-prompt on unseen tasks: .*?)</li>", page)
    assert line
    row = next(row for row in board["comparisons"]["unseen"] if row["label"] == "ours")
    assert (f"{row['outcome']}: ours" in line[1]) or row["outcome"] == "undecided"
    assert "points with 80 % power" in line[1]


def test_the_details_of_an_entry_have_its_verdicts_parts_recipe_and_rows(page: str, board: Any) -> None:
    place = next(i for i, entry in enumerate(board["entries"]) if entry["label"] == "ours")
    found = data_of(page)["entries"][place]
    assert any(text.startswith("ours against unified-prompt, unseen tasks: ") for text in found["sentences"])
    titles = [table["title"] for table in found["tables"]]
    assert any("by category" in title for title in titles)
    assert any("by group and format" in title or "format" in title for title in titles)
    facts = dict(found["facts"])
    assert facts["Rate searched"] == "yes"
    assert facts["Seeds"] == "0, 1"
    entry = board["entries"][place]
    assert found["rows"] == [entry["rows"]["path"], f"{entry['rows']['count']:,} answers", entry["rows"]["digest"]]
    category = next(table for table in found["tables"] if "category" in table["title"])
    unseen = entry["metrics"]["gap"]["by"]["category, metric"]
    assert {row[0] for row in category["rows"]} == set(unseen)


def test_links_to_rows_lead_where_they_lie(board: Any, exported: Path) -> None:
    found = data_of(page_html(board, exported, rows_url="https://example.org/rows"))["entries"][0]["rows"][0]
    assert found == f"https://example.org/rows/{board['entries'][0]['rows']['path']}"


def test_boxes_are_those_of_the_streams_in_the_rows(page: str, board: Any) -> None:
    boxes = data_of(page)["figures"]["boxes"]["choices"]
    assert boxes
    for drawn in boxes.values():
        assert {one[0] for one in drawn} == set(range(len(board["entries"])))
        assert all(low <= first <= middle <= third <= high for _, low, first, middle, third, high, *_ in drawn)


def test_without_rows_there_are_no_boxes_and_everything_else(board: Any, tmp_path: Path) -> None:
    figures = data_of(page_html(board, tmp_path / "board.json"))["figures"]
    assert "boxes" not in figures
    assert {"pareto", "conflict"} <= set(figures)


def test_the_pareto_front_holds_what_nothing_beats() -> None:
    points = [(0.0, 0.2), (3.0, 0.5), (2.0, 0.4), (4.0, 0.5), (3.0, 0.5), (5.0, 0.9), (6.0, 0.1)]
    assert pareto(points) == [0, 2, 1, 4, 5]
    assert pareto([]) == []


def test_a_box_has_quartiles_and_whiskers_inside_their_reach() -> None:
    import numpy as np

    assert box(np.array([0.0, 0.4, 0.5, 0.6, 1.0])) == [40.0, 40.0, 50.0, 60.0, 60.0, 50.0, 5]


def test_reported_and_incomplete_entries_stand_apart(board: Any, exported: Path) -> None:
    mixed = copy.deepcopy(board)
    mixed["entries"][3]["fits"] = {"done": 1, "planned": 2}
    mixed["comparisons"] = {
        name: [row for row in rows if row["label"] != "ours"] for name, rows in mixed["comparisons"].items()
    }
    empty = dict.fromkeys(
        ("version", "distribution", "config", "fits", "budget", "conflict", "forgetting", "cost", "provenance", "rows")
    )
    reported = {**mixed["entries"][0], **empty, "label": "theirs", "status": "reported", "source": "A paper."}
    mixed["entries"].append({**reported, "metrics": {}, "seeds": []})
    text = page_html(mixed, exported)
    table = text[text.index('id="table"') : text.index('id="incomplete"')]
    assert ">ours<" not in table
    assert text.index('id="incomplete"') < text.index("1 of 2 fits are done") < text.index('id="reported"')
    assert text.index('id="reported"') < text.index(">theirs<")


# ------------------------------------------------------------------------------------- a browser


CELLS = """[...document.querySelectorAll("#table tbody tr")].filter(row => !row.hidden)
  .map(row => row.querySelector('[data-field="FIELD"]')?.textContent ?? row.cells[0].textContent)"""


def cells(browser: Any, field: str) -> list[str]:
    return list(browser.run(CELLS.replace("FIELD", field)))


def click(browser: Any, selector: str) -> None:
    browser.run(f"document.querySelector({json.dumps(selector)}).click()")


def enter(browser: Any, id: str, value: str) -> None:
    place = f"document.getElementById('{id}')"
    browser.run(f"{place}.value = {json.dumps(value)}; {place}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def test_it_opens_without_an_error_and_asks_nobody(browser: Any, page_file: Path) -> None:
    browser.open(page_file)
    assert browser.run("document.querySelectorAll('.plot svg').length") == 3
    assert not browser.told("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    asked = {event["request"]["url"] for event in browser.told("Network.requestWillBeSent")}
    assert asked == {page_file.as_uri()}


def test_columns_sort_as_numbers(browser: Any, page_file: Path) -> None:
    browser.open(page_file)
    for _ in range(2):
        click(browser, '#table th[data-field="unseen"] button')
    means = [float(re.match(r"[\d.]+", text)[0]) for text in cells(browser, "unseen")]  # type: ignore[index]
    assert means == sorted(means, reverse=True)
    assert len(means) == 4
    state = "document.querySelector('#table th[data-field=\"unseen\"]').getAttribute('aria-sort')"
    assert browser.run(state) == "descending"


def test_search_outcome_and_searched_rates_filter(browser: Any, page_file: Path) -> None:
    browser.open(page_file)
    enter(browser, "search", "lora")
    assert cells(browser, "label") == ["mtl-lora"]
    assert browser.run("document.getElementById('count').textContent") == "1 of 4 entries"
    enter(browser, "search", "")
    outcomes = cells(browser, "outcome")
    enter(browser, "outcome", "worse")
    assert cells(browser, "outcome") == [one for one in outcomes if one == "worse"]


def test_the_question_of_the_comparison_can_be_chosen(browser: Any, page_file: Path, board: Any) -> None:
    browser.open(page_file)
    enter(browser, "question", "seen")
    shown = dict(zip(cells(browser, "label"), cells(browser, "rank"), strict=True))
    ranks = {row["label"]: f"{row['rank']:.2f}" for row in board["comparisons"]["seen"]}
    assert {name.removesuffix("baseline"): text for name, text in shown.items()} == ranks


def test_columns_can_be_hidden_and_shown(browser: Any, page_file: Path) -> None:
    browser.open(page_file)
    visible = "getComputedStyle(document.querySelector('#table td[data-field=\"FIELD\"]')).display"
    assert browser.run(visible.replace("FIELD", "peak_memory")) == "none"
    for field in ("peak_memory", "unseen"):
        click(browser, f'#columns input[value="{field}"]')
    assert browser.run(visible.replace("FIELD", "peak_memory")) == "table-cell"
    assert browser.run(visible.replace("FIELD", "unseen")) == "none"


def test_a_name_opens_its_details_and_escape_closes_them(browser: Any, page_file: Path) -> None:
    browser.open(page_file)
    browser.run("document.querySelector('#table button.open').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13
        )
    name = browser.run("document.querySelector('#table button.open').textContent")
    assert browser.run("document.getElementById('entry').open")
    assert browser.run("document.getElementById('entry-title').textContent") == name
    assert browser.run("document.querySelectorAll('#entry details table').length") >= 4
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Escape", code="Escape", windowsVirtualKeyCode=27)
    assert not browser.run("document.getElementById('entry').open")


def test_everything_that_can_be_used_has_a_name_and_takes_the_keyboard(browser: Any, page_file: Path) -> None:
    browser.open(page_file)
    unnamed = """[...document.querySelectorAll("button, select, input, [role=region], [role=img]")]
      .filter(one => !(one.textContent.trim() || one.labels?.length ||
        one.getAttribute("aria-label") || one.getAttribute("aria-labelledby"))).map(one => one.outerHTML)"""
    assert browser.run(unnamed) == []
    assert browser.run("[...document.querySelectorAll('#table th')].every(one => one.scope)")
    assert browser.run("document.querySelectorAll('#table button, #controls select').length") > 10
    assert browser.run("[...document.querySelectorAll('#table button')].every(one => one.tabIndex === 0)")


def test_names_are_text_in_the_table_the_details_and_the_figures(browser: Any, board: Any, tmp_path: Path) -> None:
    hostile = copy.deepcopy(board)
    for entry in hostile["entries"]:
        if entry["label"] == "ours":
            entry.update(label=HOSTILE, authors=[HOSTILE], version=HOSTILE)
            measure = {"mean": 0.5, "ci_low": None, "ci_high": None, "n": 1}
            entry["metrics"]["gap"]["by"]["category, metric"][HOSTILE] = {"unseen": measure}
    for rows in hostile["comparisons"].values():
        for row in rows:
            row["label"] = HOSTILE if row["label"] == "ours" else row["label"]
    hostile["suite"]["name"] = HOSTILE
    path = tmp_path / "hostile.html"
    path.write_text(page_html(hostile, tmp_path / "board.json"), encoding="utf-8")
    browser.open(path)
    for place in range(4):
        click(browser, f'#table tr[data-entry="{place}"] button.open')
        browser.run("document.getElementById('entry').close()")
    assert browser.run("document.querySelectorAll('img, main b, dialog b').length") == 0
    assert HOSTILE in browser.run("document.getElementById('table').textContent")
    assert not browser.told("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")


def test_a_link_to_rows_never_runs_a_script(browser: Any, board: Any, tmp_path: Path) -> None:
    path = tmp_path / "linked.html"
    path.write_text(page_html(board, tmp_path / "board.json", rows_url="javascript:alert(1)//"), encoding="utf-8")
    browser.open(path)
    click(browser, "#table button.open")
    assert browser.run("[...document.links].every(one => !one.href.startsWith('javascript'))")


def test_500_entries_are_shown_sorted_and_searched(browser: Any, crowded: Path) -> None:
    browser.open(crowded)
    assert len(cells(browser, "label")) == 500
    enter(browser, "search", "ours")
    found = cells(browser, "label")
    assert 100 < len(found) < 200
    assert all("ours" in one for one in found)
    assert not browser.told("Runtime.exceptionThrown")


def test_it_is_no_wider_than_a_phone_and_follows_the_reader_to_a_dark_page(browser: Any, crowded: Path) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=True)
    colours = []
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.open(crowded)
        assert browser.run("document.documentElement.scrollWidth") <= 400
        colours.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    browser.call("Emulation.setEmulatedMedia", features=[])
    browser.call("Emulation.clearDeviceMetricsOverride")
    assert colours[0] != colours[1]


def test_a_crowd_is_a_valid_board_but_for_its_rows(board: Any, exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "crowd.json"
    path.write_text(json.dumps(crowd(board, 20)), encoding="utf-8")
    assert {fault.reason.split(" ")[0] for fault in faults(path)} == {"there"}  # no rows beside it
