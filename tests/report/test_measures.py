"""A protocol of another package: measured as it was planned, and shown as it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snibench.base.types import SuiteRequest
from snibench.leaderboard.export import export
from snibench.leaderboard.show import board_report
from snibench.leaderboard.validate import faults, read_board
from snibench.leaderboard.verify import verify
from snibench.report import build
from snibench.report.brief import brief
from snibench.report.page import page_html
from snibench.report.tables import build_brief
from snibench.store import StoredRun

SOURCE = '''
from dataclasses import dataclass

from snibench.api import METHOD, Column, Frame, Protocol


@dataclass(frozen=True)
class Settings:
    cut: float = 0.5
    names: tuple[str, ...] = ("a",)


class Shares(Protocol):
    """The share of tasks whose score is above a cut."""

    Settings = Settings
    quick = Settings()
    version = 3
    title = "Shares of tasks"
    frames = {
        "shares": Frame(
            "Tasks above the cut",
            keys=(METHOD,),
            columns=(Column("share", "Above", "percent", "higher", "share_low", "share_high", "n_tasks"),),
            notes=("The cut is a setting.",),
            summary={"share": "Above"},
            headline="share",
        )
    }

    def plan(self, suite, limit):
        return []

    def measure(self, answers, tasks):
        import pandas as pd

        means = answers.groupby(["method", "task"])["score"].mean().reset_index()
        above = means.assign(share=(means["score"] > self.settings.cut).astype(float)).groupby("method")["share"]
        frame = above.mean().to_frame().assign(n_tasks=above.size()).reset_index()
        return {
            "shares": frame.assign(share_low=frame["share"] - 0.1, share_high=frame["share"] + 0.1),
            "undescribed": pd.DataFrame({"method": frame["method"], "what": 0.25}),
        }
'''


@pytest.fixture
def shares(make_results: Callable[..., StoredRun], install: Callable[..., Path]) -> StoredRun:
    install("shares-plugin", {"snibench.protocols": {"shares": "shares_plugin:Shares"}}, {"shares_plugin.py": SOURCE})
    results = make_results()
    rows = results.answers[results.answers["protocol"] == "gap"].assign(protocol="shares")
    return replace(results, answers=rows, manifest=replace(results.manifest, protocol_versions={"shares": 3}))


def planned(results: StoredRun, settings: dict[str, dict[str, Any]]) -> StoredRun:
    return replace(results, manifest=replace(results.manifest, protocol_settings=settings))


def test_a_protocol_measures_with_the_settings_that_planned_the_run(shares: StoredRun) -> None:
    def highest(cut: float | None) -> float:
        noted = {} if cut is None else {"shares": {"cut": cut, "names": ["a", "b"]}}
        frame = build(planned(shares, noted)).table("shares").frame
        return float(frame["share"].max())

    assert highest(-1.0) == 1.0
    assert highest(1.0) == 0.0
    assert highest(None) == highest(0.5)


def test_stored_settings_of_another_version_are_a_note_and_no_traceback(shares: StoredRun) -> None:
    report = build(planned(shares, {"shares": {"cut": "half"}}))
    assert any("protocol 'shares' are not shown" in note and "cut" in note for note in report.notes)


def test_its_table_has_its_title_interval_and_heading_and_its_column_joins_the_summary(shares: StoredRun) -> None:
    report = build(shares)
    table = report.table("shares")
    assert (table.title, table.section, table.notes) == (
        "Tasks above the cut", "Shares of tasks", ("The cut is a setting.",)
    )  # fmt: skip
    assert (table.columns[0].low, table.columns[0].high) == ("share_low", "share_high")
    summary = report.table("summary")
    assert "above" in {column.field for column in summary.columns}
    assert summary.frame["above"].notna().all()
    for short in (brief(report), build_brief(shares)):  # on one screen, too
        assert "above" in {column.field for column in short.table("summary").columns}
    assert report.table("undescribed").title == "shares: undescribed"
    assert '<h2 id="shares-of-tasks">Shares of tasks</h2>' in page_html(report)


def test_its_board_validates_and_verifies_and_is_sorted_by_its_headline(shares: StoredRun, tmp_path: Path) -> None:
    cut = planned(shares, {"shares": {"cut": 0.6}})
    said = np.where(cut.answers["score"] == 1, "yes", "no")  # what has that score
    own = tuple(replace(spec, suite=SuiteRequest("own")) for spec in cut.specs)
    path = export(replace(cut, answers=cut.answers.assign(prediction=said), specs=own), tmp_path / "board.json").path
    assert faults(path) == []
    board = read_board(path)
    assert board["protocols"]["shares"]["version"] == 3
    assert board["suite"]["name"] == "own"
    measure = board["entries"][0]["metrics"]["shares"]["overall"]["share"]
    assert measure["ci_high"] - measure["ci_low"] == pytest.approx(0.2)
    # Verifying measures the rows with the settings that the run was planned with.
    assert verify(path).faults == ()
    table = board_report(board, path).tables[0]
    assert table.notes[0].startswith("Sorted by Above")
    assert table.frame["above"].is_monotonic_decreasing


LEVELS = """
from snibench.protocols.gap import Gap


class Levels(Gap):
    title = "Levels"
    frames = {"levels": Gap.frames["gap"]}

    def measure(self, answers, tasks):
        frame = super().measure(answers, tasks)["gap"]
        return {"levels": frame, "summary": frame, "gap": frame}
"""


def test_a_frame_is_drawn_as_what_it_says_and_its_name_displaces_no_table_of_the_report(make_results, install) -> None:
    pytest.importorskip("matplotlib")
    from snibench.report.figures import draw

    install("levels", {"snibench.protocols": {"levels": "levels_plugin:Levels"}}, {"levels_plugin.py": LEVELS})
    results = make_results()
    rows = results.answers[results.answers["protocol"] == "gap"].assign(protocol="levels")
    results = replace(results, answers=rows, manifest=replace(results.manifest, protocol_versions={"levels": 3}))
    report = build(results)
    names = [table.name for table in report.tables]
    assert len(set(names)) == len(names)
    assert report.table("summary").section == ""
    assert report.table("levels.summary").section == report.table("gap").section == "Levels"
    assert "gap" in {figure.name for figure in draw(results, report)}
    page = page_html(report, results, draw(results, report))
    assert page.index("<svg", page.index('<h2 id="levels">')) < page.index('<h2 id="cost-and-tuning">')
    plain = replace(report, tables=tuple(replace(table, figure="") for table in report.tables))
    assert "gap" not in {figure.name for figure in draw(results, plain)}  # although a table has that name
