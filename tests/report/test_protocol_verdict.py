"""A protocol of another package has its comparison and its verdict, in reports and on boards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from snibench.base.hashing import digest
from snibench.leaderboard.columns import compared_on
from snibench.report import build, compare
from snibench.report.page import page_html
from snibench.store import StoredRun

Make = Callable[..., StoredRun]
SOURCE = """
from snibench.api import Protocol


class Negation(Protocol):
    version = 1
    title = "Negation"
    verdict_on = "negated instructions"

    def plan(self, suite, limit):
        return ()

    def measure(self, answers, tasks):
        return {}

    def compared(self, answers):
        return answers["score"].where(answers["split"] == "unseen")
"""


def negated(made: StoredRun, install: Callable[..., Path], source: str) -> StoredRun:
    """The answers of protocol ``gap`` once more, as though ``negation`` had asked."""
    module = f"negating_{digest(source)[:8]}"  # a module that is imported once stays
    install("negating", {"snibench.protocols": {"negation": f"{module}:Negation"}}, {f"{module}.py": source})
    answers = made.answers
    copied = answers[answers["protocol"] == "gap"].assign(protocol="negation")
    return replace(made, answers=pd.concat([answers, copied], ignore_index=True))


@pytest.fixture
def results(make_results: Make, install: Callable[..., Path]) -> StoredRun:
    return negated(make_results(), install, SOURCE)


def test_it_is_compared_as_the_built_in_ones_are(results: StoredRun) -> None:
    report = build(results)
    own, usual = (report.table(f"comparison_{name}").frame.set_index("method") for name in ("negation", "unseen"))
    numbers = ["mean", "delta", "delta_low", "delta_high", "p_holm", "n_tasks"]  # of the same answers
    pd.testing.assert_frame_equal(own[numbers], usual.loc[own.index, numbers])
    sentences = {one.question: one.sentence for one in report.verdicts if one.scope == "tasks like these"}
    assert ", negated instructions: " in sentences["negation"]
    assert sentences["negation"] == sentences["unseen"].replace("unseen tasks", "negated instructions")
    assert "negated instructions" in set(compare(results, "ours", "unified-prompt").table("comparison").frame["on"])


def test_its_comparison_stands_with_the_others_on_the_page(results: StoredRun) -> None:
    text = page_html(build(results))
    section = text.split("Better than the baseline?</h2>")[1].split("</section>")[0]
    assert "Compared with unified-prompt: negated instructions" in section


def test_a_board_says_what_it_is_on_and_names_one_that_is_not_installed(results: StoredRun) -> None:
    board = {"comparisons": {"negation": [], "gap": [], "\x1b[31mother": []}}
    assert compared_on(board) == {
        "gap": "generalization gap",
        "\x1b[31mother": "�[31mother",
        "negation": "negated instructions",
    }


@pytest.mark.parametrize(
    ("line", "broken", "note"),
    [
        ("        return {}", "        raise KeyError('lost')", "'negation' are not shown: KeyError: 'lost'."),
        ("        return {}", "        return [1]", "'negation' are not shown: TypeError: measure returned list"),
        ("        return answers", "        return 1 / 0 * answers", "'negation' has no verdict: ZeroDivisionError"),
        ("        return answers", "        return answers.head(3)", "'negation' has no verdict: ValueError"),
    ],
)
def test_one_that_fails_is_named_and_everything_else_is_shown(
    line: str, broken: str, note: str, make_results: Make, install: Callable[..., Path]
) -> None:
    assert SOURCE.count(line) == 1
    report = build(negated(make_results(), install, SOURCE.replace(line, broken)))
    assert any(note in one for one in report.notes)
    assert "comparison_unseen" in {table.name for table in report.tables}
    assert ("negation" in {one.question for one in report.verdicts}) == ("are not shown" in note)
