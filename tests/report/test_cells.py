from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.report.cells import LONGEST, MISSING, cell, grid, number, printable
from snibench.report.values import Column, Table, Unit


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.7236, "percent", "72.4"),
        (0.024, "difference", "+2.4"),
        (-0.024, "difference", "-2.4"),
        (0.082, "points", "8.2"),
        (0.25, "share", "25%"),
        (0.0004, "p", "<0.001"),
        (0.0412, "p", "0.041"),
        (1_234_567, "count", "1,234,567"),
        (99.94, "seconds", "99.9 s"),
        (600, "seconds", "10.0 min"),
        (7200, "seconds", "2.0 h"),
        (300 * 2**20, "bytes", "300 MiB"),
        (24 * 2**30, "bytes", "24.0 GiB"),
        (True, "text", "yes"),
        (float("inf"), "number", "∞"),
    ],
)
def test_numbers_are_written_in_their_unit(value: float, unit: str, text: str) -> None:
    assert number(value, unit) == text  # type: ignore[arg-type]


def test_an_interval_stands_behind_its_mean() -> None:
    column = Column("mean", "Mean", "percent", low="low", high="high")
    assert cell({"mean": 0.5, "low": 0.4, "high": 0.6}, column) == "50.0 [40.0, 60.0]"


def test_an_interval_that_cannot_be_estimated_is_left_out() -> None:
    column = Column("mean", "Mean", "percent", low="low", high="high")
    assert cell({"mean": 0.5, "low": np.nan, "high": np.nan}, column) == "50.0"


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
def test_what_was_not_measured_is_a_dash(nothing: object) -> None:
    assert cell({"wins": nothing, "ties": 1}, Column("wins", "W/T/L", "count", also=("ties",))) == MISSING


def test_a_star_marks_what_is_significant_and_nothing_else() -> None:
    column = Column("delta", "Δ", "difference", mark="significant")
    assert cell({"delta": 0.1, "significant": True}, column) == "+10.0 *"
    assert cell({"delta": 0.1, "significant": False}, column) == "+10.0"


@given(st.text())
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= LONGEST


def test_escape_sequences_and_direction_overrides_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[31mb\u202ec\ud800d\ne") == "a�[31mb�c�d e"


def test_a_key_that_is_the_same_in_all_rows_moves_into_the_title() -> None:
    frame = pd.DataFrame({"schedule": ["alternate"] * 2, "method": ["a", "b"], "x": [0.1, 0.2]})
    keys = (Column("schedule", "Schedule"), Column("method", "Method"))
    shown = grid(Table("t", "Streams", frame, keys, (Column("x", "X", "percent"),)))
    assert shown.title == "Streams (schedule alternate)"
    assert shown.rows == (("a", "10.0"), ("b", "20.0"))


def test_a_table_drawn_across_methods_has_a_column_for_each_and_a_dash_where_one_has_no_value() -> None:
    frame = pd.DataFrame({"format": ["f", "f", "g"], "method": ["a", "b", "a"], "x": [0.1, 0.2, 0.3]})
    keys = (Column("format", "Format"), Column("method", "Method"))
    shown = grid(Table("t", "T", frame, keys, (Column("x", "X", "percent", "higher"),), across="method"))
    assert [title for title, _ in shown.headings] == ["Format", "a", "b"]
    assert shown.headings[1][1] == "% ↑"
    assert shown.rows == (("f", "10.0", "20.0"), ("g", "30.0", MISSING))


@pytest.mark.parametrize("unit", ["percent", "points", "difference", "share", "number"])
def test_what_rounds_to_zero_has_no_minus(unit: Unit) -> None:
    assert "-" not in number(-0.0, unit)
    assert "-" not in number(-0.0004, unit)
    assert number(-0.01, unit).startswith("-")


def test_metrics_are_named_in_words() -> None:
    column = Column("metric", "Metric")
    shown = [cell({"metric": name}, column) for name in ("exact_match", "rouge_l", "above_chance", "bleu")]
    assert shown == ["exact match", "ROUGE-L", "above chance", "bleu"]


def test_formats_are_written_without_underscores_and_other_names_as_they_are() -> None:
    row = {"format": "tk_def_pos2", "task": "task12_a_b"}
    assert [cell(row, Column(name, name)) for name in row] == ["tk def pos2", "task12_a_b"]
