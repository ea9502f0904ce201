"""A protocol of another package has its comparison and its verdict, in reports and on boards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

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


@pytest.fixture
def results(make_results: Make, install: Callable[..., Path]) -> StoredRun:
    """The answers of protocol ``gap`` once more, as though ``negation`` had asked."""
    install("negating", {"snibench.protocols": {"negation": "negating:Negation"}}, {"negating.py": SOURCE})
    made = make_results()
    answers = made.answers
    copied = answers[answers["protocol"] == "gap"].assign(protocol="negation")
    return replace(made, answers=pd.concat([answers, copied], ignore_index=True))


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
