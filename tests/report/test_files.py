from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from snibench.report import build, to_json
from snibench.report.files import WRITERS, csv_text, latex_text, markdown_text, rows_as_json
from snibench.report.values import Column, Report, Table
from snibench.store import StoredRun


def report_of(frame: pd.DataFrame, title: str = "T") -> Report:
    table = Table(
        "t", title, frame, (Column("method", "Method"),), (Column("x", "X", "percent", "higher", "low", "high"),)
    )
    return Report("R", (table,), ("A note.",), pd.DataFrame(), "", "0" * 64)


SMALL = pd.DataFrame({"method": ["a", "b"], "x": [0.125, np.nan], "low": [0.1, np.nan], "high": [0.2, np.nan]})


def test_json_has_every_table_with_raw_and_adjusted_p(report: Report) -> None:
    loaded = json.loads(to_json(report))
    rows = loaded["tables"]["comparison_unseen"]["rows"]
    assert {"p", "p_holm", "p_seed", "p_seed_holm", "df", "n_tasks", "n_sources", "n_seeds"} <= set(rows[0])
    assert any("sign-flip" in note for note in loaded["tables"]["comparison_unseen"]["notes"])
    assert re.fullmatch("[0-9a-f]{64}", loaded["rows_digest"])
    assert loaded["failed"][0]["status"] == "diverged"
    assert set(loaded["tables"]) == {table.name for table in report.tables}


def test_json_and_markdown_begin_with_the_verdicts(report: Report) -> None:
    loaded = json.loads(to_json(report))["verdicts"]
    assert [verdict["sentence"] for verdict in loaded] == [verdict.sentence for verdict in report.verdicts]
    assert loaded[0]["outcome"] == report.verdicts[0].outcome
    lines = markdown_text(report).splitlines()
    assert lines[2].startswith(r"- mtl-lora against unified-prompt, unseen tasks: ")


def test_csv_keeps_a_measure_out_of_the_key_column_of_its_name() -> None:
    keyed = Table("keyed", "T", pd.DataFrame({"formats": ["group I"], "score": [0.1]}), (Column("formats", "F"),), ())
    frame = pd.DataFrame({"method": ["a"], "formats": [0.5]})
    summary = Table("summary", "S", frame, (Column("method", "M"),), (Column("formats", "F", "percent"),))
    report = replace(report_of(SMALL), tables=(keyed, summary))
    rows = [row for row in csv.DictReader(io.StringIO(csv_text(report))) if row["table"] == "summary"]
    assert [(row["formats"], row["measure"], row["value"]) for row in rows] == [("", "formats", "0.5")]


def test_json_keeps_numbers_in_full_and_writes_null_for_what_is_not_known() -> None:
    rows = json.loads(to_json(report_of(SMALL)))["tables"]["t"]["rows"]
    assert rows == [
        {"method": "a", "x": 0.125, "low": 0.1, "high": 0.2},
        {"method": "b", "x": None, "low": None, "high": None},
    ]


def test_frames_become_json_without_numpy_and_infinities() -> None:
    frame = pd.DataFrame({"i": np.array([1]), "f": [math.inf], "l": [np.array([1.5])], "n": [pd.NA]})
    assert rows_as_json(frame) == [{"i": 1, "f": None, "l": [1.5], "n": None}]


def test_csv_is_tidy_with_fractions_and_intervals(report: Report) -> None:
    rows = pd.read_csv(io.StringIO(csv_text(report)), dtype={"value": str})
    found = rows.query("table == 'gap' and method == 'ours' and measure == 'unseen'")
    gap = report.table("gap").frame.set_index("method").loc["ours"]
    assert float(found["value"].iloc[0]) == gap["unseen"]
    assert found["low"].iloc[0] == gap["unseen_low"]


def test_a_measure_of_one_table_is_no_key_though_another_table_has_a_key_of_its_name(report: Report) -> None:
    rows = pd.read_csv(io.StringIO(csv_text(report)), dtype=str, keep_default_na=False)
    summary = rows[rows["table"] == "summary"]
    assert "formats" in set(summary["measure"])
    assert set(summary["formats"]) == {""}
    for table in report.tables:
        others = {key.field for one in report.tables for key in one.keys} - {key.field for key in table.keys}
        own = rows[rows["table"] == table.name]
        assert (own[sorted(others)] == "").all(axis=None), table.name


def test_csv_holds_nothing_that_a_spreadsheet_would_run() -> None:
    frame = SMALL.assign(method=["=HYPERLINK(0)", "@b"])
    names = [row["method"] for row in csv.DictReader(io.StringIO(csv_text(report_of(frame))))]
    assert set(names) == {"'=HYPERLINK(0)", "'@b"}


def test_markdown_has_a_row_for_each_method_and_escapes_what_would_break_it() -> None:
    text = markdown_text(report_of(SMALL.assign(method=["a|b", "<script>"])))
    assert r"| a\|b | 12.5 [10.0, 20.0] |" in text
    assert r"\<script\>" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}


def test_latex_escapes_what_would_break_it() -> None:
    text = latex_text(report_of(SMALL.assign(method=["a_b & 5% #1", r"\input{x}"]), title="Gap ↑"))
    assert r"a\_b \& 5\% \#1" in text
    assert r"\textbackslash{}input\{x\}" in text
    assert r"$\uparrow$" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_every_writer_is_a_function_of_the_report_alone(results: StoredRun, kind: str) -> None:
    assert WRITERS[kind](build(results)) == WRITERS[kind](build(results))


def test_percent_is_written_for_people_only(report: Report) -> None:
    value = report.table("summary").frame.set_index("method").loc["ours", "unseen"]
    assert f"{100 * value:.1f}" in markdown_text(report)
    assert repr(float(value)) in to_json(report)
