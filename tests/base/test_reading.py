"""Files that may come from anybody: one reader, with limits."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.numbers import MOST, finite_number, whole_number
from snibench.base.reading import NotJson, Unreadable, is_file, is_folder, json_value, read_bytes, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(VALUES)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert json_value(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ('"\\ud800"', "half a character"),
        ('{"\\udc00": 1}', "half a character"),
        ("1" * 5000, "4,300 digits"),
        ("[" * 100_000, "nested too deeply"),
        ("[NaN]", "NaN"),
        ("-Infinity", "-Infinity"),
    ],
)
def test_what_only_python_takes_for_json_is_refused(text: str, words: str) -> None:
    with pytest.raises(NotJson, match=words):
        json_value(text, finite=True)


def test_a_whole_character_in_two_escapes_is_one() -> None:
    assert json_value('"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_a_device_is_read_no_further_than_the_limit() -> None:
    with pytest.raises(Unreadable, match="larger than 1 MiB"):
        read_bytes(Path("/dev/zero"), 2**20)


@pytest.mark.parametrize("name", ["n" * 300, "a\0b", "missing", "."])
def test_a_name_that_no_file_has_is_a_sentence(name: str) -> None:
    with pytest.raises(Unreadable, match="cannot be read"):
        read_json(Path(name), 100)
    assert not is_file(Path(name))
    assert is_folder(Path(name)) == (name == ".")


def test_bytes_that_are_not_utf8_are_named_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'"caf\xe9"')
    with pytest.raises(Unreadable, match=r"not UTF-8 \(byte 4\)"):
        read_json(tmp_path / "x", 100)


def test_a_pipe_is_read_to_its_end() -> None:
    out, into = os.pipe()
    os.write(into, b'{"a": 1}')
    os.close(into)
    try:
        assert read_json(Path(f"/dev/fd/{out}"), 100) == {"a": 1}
    finally:
        os.close(out)


@given(st.text() | st.integers().map(str) | st.floats().map(str))
def test_a_number_is_in_its_range_or_a_sentence(text: str) -> None:
    for read in (whole_number, finite_number):
        try:
            number = read(text)
        except ValueError as error:
            said = str(error)
        else:
            said = ""
            assert -float("inf") < number < float("inf")
            assert read is finite_number or 0 <= number <= MOST
        assert len(said) < 200


@pytest.mark.parametrize("text", ["²", "٣", "1_0", "+1", "0x1", "", "-", "1.0", "9" * 5000, "-1"])
def test_only_plain_digits_are_a_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no whole number|is not from"):
        whole_number(text)
