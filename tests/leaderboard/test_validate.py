from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from snibench.base.errors import DataError
from snibench.leaderboard.show import board_report
from snibench.leaderboard.validate import MOST_FAULTS, faults, read_board, schema
from snibench.report.console import plain_text

Spoil = Callable[[Any], None]


def put(*path: str | int, value: Any) -> Spoil:
    def spoil(board: Any) -> None:
        at = board
        for part in path[:-1]:
            at = at[part]
        at[path[-1]] = value

    return spoil


def drop(*path: str | int) -> Spoil:
    def spoil(board: Any) -> None:
        at = board
        for part in path[:-1]:
            at = at[part]
        del at[path[-1]]

    return spoil


GAP = ("entries", 1, "metrics", "gap")
UNSEEN = (*GAP, "overall", "unseen")


def test_the_schema_is_a_draft_2020_12_schema() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("spoil", "pointer", "reason"),
    [
        (drop("suite"), "(whole file)", "'suite'"),
        (put("extra", value=1), "(whole file)", "'extra'"),
        (put("schema_version", value=3), "/schema_version", "must be 2"),
        (put("schema_version", value=1), "/schema_version", "Export the run again"),
        (put("suite", "digest", value="xyz"), "/suite/digest", "64 hexadecimal"),
        (put("protocols", value={}), "/protocols", "empty"),
        (put("protocols", "gap", value=1), "/protocols/gap", "object"),
        (put("protocols", "gap", "version", value=None), "/protocols/gap/version", "must be known"),
        (drop("entries", 0, "authors"), "/entries/0", "'authors'"),
        (put("entries", 0, "status", value="guessed"), "/entries/0/status", "'measured'"),
        (put("entries", 0, "label", value=""), "/entries/0/label", "empty"),
        (put("entries", 1, "label", value="untuned"), "/entries/1/label", "/entries/0"),
        (put("entries", 1, "seeds", value=[]), "/entries/1/seeds", "empty"),
        (put("entries", 1, "seeds", value=[3, 3]), "/entries/1/seeds", "twice"),
        (put("entries", 1, "cost", "seconds", value=-1), "/entries/1/cost/seconds", "at least 0"),
        (put("entries", 1, "cost", value=None), "/entries/1/cost", "object"),
        (put("entries", 1, "rows", value=None), "/entries/1/rows", "object"),
        (put("entries", 1, "rows", "digest", value="0" * 64), "/entries/1/rows/digest", "changed"),
        (put("entries", 1, "rows", "path", value="gone.parquet"), "/entries/1/rows/path", "no file"),
        (put("entries", 1, "rows", "path", value="../../x"), "/entries/1/rows/path", "below"),
        (put("entries", 1, "rows", "path", value="/etc/passwd"), "/entries/1/rows/path", "below"),
        (put("entries", 1, "rows", "questions", "gap", value="0" * 64), "/entries/1/rows/questions/gap", "other"),
        (put("entries", 1, "rows", "questions", "new", value="0" * 64), "/entries/1/rows/questions/new", "/protocols"),
        (put("entries", 1, "fits", value={"done": 3, "planned": 2}), "/entries/1/fits", "more fits done"),
        (put("entries", 1, "fits", value={"done": 1, "planned": 2}), "/baseline", "no complete measured entry"),
        (put("entries", 3, "fits", value={"done": 1, "planned": 2}), "/comparisons/unseen/0/label", "has no rank"),
        (put("baseline", value="nobody"), "/baseline", "no complete measured entry"),
        (put("suite", "request", value=None), "/suite/request", "must be known"),
        (put("entries", 1, "metrics", value={}), "/entries/1/metrics", "empty"),
        (put(*GAP, value={"overall": {}, "by": {}}), "/entries/1/metrics/gap", "empty"),
        (put(*UNSEEN, "mean", value=72.4), "/entries/1/metrics/gap/overall/unseen/mean", "fractions"),
        (put(*UNSEEN, "mean", value="high"), "/entries/1/metrics/gap/overall/unseen/mean", "number"),
        (put(*UNSEEN, "ci_low", value=1.5), "/entries/1/metrics/gap/overall/unseen", "above"),
        (put(*UNSEEN, "ci_low", value=None), "/entries/1/metrics/gap/overall/unseen", "both ends"),
        (put(*UNSEEN, "n", value=None), "/entries/1/metrics/gap/overall/unseen/n", "must be known"),
        (put("comparisons", "unseen", 0, "outcome", value="best"), "/comparisons/unseen/0/outcome", "'better'"),
        (drop(*UNSEEN, "n"), "/entries/1/metrics/gap/overall/unseen", "'n'"),
        (put(*GAP[:-1], "a/b~c", value={"overall": {}, "by": {}}), "/entries/1/metrics/a~1b~0c", "/protocols"),
        (put("entries", 1, "label", value="a\x1b[2J"), "/entries/1/label", "control character"),
        (put("entries", 1, "label", value="\u202eabc"), "/entries/1/label", "control character"),
        (put("entries", 1, "label", value="\ud800"), "(whole file)", "half a character"),
        (put("entries", 1, "authors", value=["x" * 20_000]), "/entries/1/authors/0", "longer than"),
        (put("entries", 1, "config", "settings", value={"x": 10**400}), "/entries/1/config/settings/x", "64 bits"),
        (put("model", "digest", value=None), "/model/digest", "must be known"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_file_field_and_reason(
    board: Any, board_file: Path, spoil: Spoil, pointer: str, reason: str
) -> None:
    spoiled = copy.deepcopy(board)
    spoil(spoiled)
    board_file.write_text(json.dumps(spoiled), encoding="utf-8")
    found = [str(fault) for fault in faults(board_file)]
    assert any(f.startswith(f"{board_file}: {pointer}: ") and reason in f for f in found), found


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "line 1"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 200_000 + b"]" * 200_000, "nested"),
        (b'{"a": ' * 200 + b"1" + b"}" * 200, "nested"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "4,300 digits"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[]", "object"),
        (b"null", "object"),
        (b'"text"', "object"),
        (json.dumps({"entries": [1] * 1000}).encode(), f"more faults than the {MOST_FAULTS}"),
        (b"[" + b"0," * 2_100_000 + b"0]", "values"),
    ],
)
def test_what_is_no_board_gets_a_reason_and_no_traceback(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "board.json"
    path.write_bytes(content)
    found = faults(path)
    assert found
    assert any(reason in fault.reason for fault in found), [fault.reason for fault in found]
    with pytest.raises(DataError, match=r"board\.json"):
        read_board(path)


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert "cannot be read" in faults(tmp_path / "none.json")[0].reason
    assert "cannot be read" in faults(tmp_path)[0].reason


def test_rows_behind_a_link_out_of_the_folder_are_refused(board: Any, board_file: Path, tmp_path: Path) -> None:
    rows = board_file.parent / board["entries"][0]["rows"]["path"]
    outside = tmp_path / "outside.parquet"
    rows.rename(outside)
    rows.symlink_to(outside)
    assert any("leads out" in fault.reason for fault in faults(board_file))


def test_a_reported_entry_may_leave_out_what_nobody_knows(board: Any, board_file: Path) -> None:
    reported = copy.deepcopy(board)
    unknown = dict.fromkeys(
        ("version", "distribution", "config", "fits", "budget", "conflict", "forgetting", "cost", "provenance", "rows")
    )
    means = {"unseen": {"mean": 0.763, "ci_low": None, "ci_high": None, "n": None}}
    reported["entries"].append(
        {**reported["entries"][0], **unknown, "label": "theirs", "status": "reported", "seeds": []}
        | {"metrics": {"gap": {"overall": means, "by": {}}}, "source": "A paper, table 1."}
    )
    board_file.write_text(json.dumps(reported), encoding="utf-8")
    assert faults(board_file) == []
    shown = plain_text(board_report(read_board(board_file), board_file))
    assert shown.index("ours") < shown.index("Reported elsewhere") < shown.index("theirs")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside ``value``."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def test_a_key_that_spans_lines_is_pointed_to_on_one(board: Any, board_file: Path) -> None:
    spoiled = copy.deepcopy(board)
    spoiled["entries"][0]["conflict"] = {"a\nb\x1b": {"c": 3}}
    board_file.write_text(json.dumps(spoiled), encoding="utf-8")
    found = faults(board_file)
    assert found
    assert all(str(fault).isprintable() for fault in found)


@pytest.fixture(scope="module")
def slim(board: Any) -> Any:
    """The board with one group of each key and one comparison: every field, and few of each."""
    slim = copy.deepcopy(board)
    slim["entries"] = slim["entries"][:2]
    for entry in slim["entries"]:
        for one in entry["metrics"].values():
            one["by"] = {key: dict(list(groups.items())[:1]) for key, groups in list(one["by"].items())[:1]}
    labels = [entry["label"] for entry in slim["entries"]]
    slim["comparisons"] = {"unseen": [row for row in slim["comparisons"]["unseen"] if row["label"] in labels]}
    return slim


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_board_with_any_value_replaced_is_valid_or_faulty_and_never_a_crash(
    data: st.DataObject, slim: Any, board_file: Path
) -> None:
    spoiled = copy.deepcopy(slim)
    for place in data.draw(st.lists(st.sampled_from(places(slim)[1:]), min_size=1, max_size=3)):
        try:
            put(*place, value=data.draw(JSON))(spoiled)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier replacement removed the place
    board_file.write_text(json.dumps(spoiled), encoding="utf-8")
    found = faults(board_file)
    assert all(fault.reason and "\n" not in str(fault.pointer) for fault in found)
    if not found:
        text = plain_text(board_report(read_board(board_file), board_file))
        assert "\x1b" not in text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_get_a_fault_and_never_a_crash(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any.json"
    path.write_bytes(content)
    assert faults(path)


MARKUP = "[red]x[/red] <script>alert(1)</script> [/] [link=http://x]y[/link]"


def test_markup_in_names_is_shown_as_it_is_written(board: Any, board_file: Path) -> None:
    marked = copy.deepcopy(board)
    marked["entries"][0]["label"] = MARKUP
    for rows in marked["comparisons"].values():
        for row in rows:
            row["label"] = MARKUP if row["label"] == "untuned" else row["label"]
    board_file.write_text(json.dumps(marked), encoding="utf-8")
    assert faults(board_file) == []
    assert MARKUP in plain_text(board_report(read_board(board_file), board_file), width=300)
