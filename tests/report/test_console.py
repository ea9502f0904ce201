from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from snibench.report import Report, build
from snibench.report.console import plain_text, render
from snibench.store import StoredRun

HOSTILE = "[bold red]ours[/] \x1b[2J\u202e| <b>"


def rendered(report: Report, width: int, **console: object) -> str:
    out = io.StringIO()
    render(report, Console(file=out, width=width, **console))  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(report: Report, width: int) -> None:
    assert max(cell_len(line) for line in rendered(report, width).splitlines()) <= width


def test_eighty_columns_lose_no_number_that_two_hundred_show(report: Report) -> None:
    narrow, wide = (rendered(report, width) for width in (80, 200))
    shown = set(narrow.split())
    assert {word for word in wide.split() if any(c.isdigit() for c in word)} <= shown


def test_what_is_no_terminal_gets_no_control_codes(report: Report) -> None:
    assert "\x1b" not in rendered(report, 80)


def test_no_color_is_respected(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    colours = ("\x1b[32m", "\x1b[1;32m", "\x1b[1;36m", "\x1b[36m")
    assert any(code in rendered(report, 80, force_terminal=True, color_system="standard") for code in colours)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any(code in rendered(report, 80, force_terminal=True) for code in colours)


def test_names_from_plugins_are_shown_and_not_interpreted(results: StoredRun) -> None:
    answers = results.answers.assign(method=results.answers["method"].replace("ours", HOSTILE))
    specs = tuple(replace(spec, label=HOSTILE) if spec.label == "ours" else spec for spec in results.specs)
    text = rendered(build(replace(results, answers=answers, specs=specs)), 200)
    assert "[bold red]ours[/] �[2J�| <b>" in text
    assert "\x1b" not in text


def test_causes_of_failures_are_shown_with_their_brackets(report: Report) -> None:
    assert "[bold]nan[/bold]" in rendered(report, 200)


def test_a_repeated_key_is_written_once(report: Report) -> None:
    table = plain_text(report).split("Median stream accuracy")[1].split("History:")[0]
    assert table.count("Sentiment + Topic") == 1
    assert table.count("unified-prompt") == 2


def test_plain_text_has_no_trailing_blanks(report: Report) -> None:
    assert all(line == line.rstrip() for line in plain_text(report).splitlines())


def test_footers_name_tests_unit_draws_and_what_could_be_found(report: Report) -> None:
    text = " ".join(plain_text(report).split())
    tests = ("sign-flip permutation", "12 sources (12 tasks)", "4,096 sign patterns", "Holm", "Finds")
    assert all(words in text for words in tests)
