from __future__ import annotations

import hashlib
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.hashing import canonical_json, derive_seed, digest, file_digest, normalise_answer, normalise_input

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("  The  Answer!\n", "the answer"),  # articles stay, unlike SQuAD's normalisation
        ("U.S.A.", "usa"),
        ("don't", "dont"),
        ("a-b_c", "abc"),
        ("Ünïcode — dash", "ünïcode — dash"),  # only ASCII punctuation goes
        ("...", ""),
    ],
)
def test_answers_are_normalised_as_the_official_metric_does(given_text: str, expected: str) -> None:
    assert normalise_answer(given_text) == expected


@given(st.text())
def test_normalising_an_answer_twice_changes_nothing(text: str) -> None:
    # Lower case of a few letters ("İ") is longer text, so the second pass starts from what the first made.
    once = normalise_answer(text)
    assert normalise_answer(once) == once.lower()


@given(st.text(alphabet=string.ascii_letters + string.punctuation + " \t\n"))
def test_a_normalised_answer_holds_no_punctuation_and_no_double_blank(text: str) -> None:
    normal = normalise_answer(text)
    assert not set(normal) & set(string.punctuation)
    assert "  " not in normal
    assert normal == normal.strip()


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [("Is it: (A) or\n\n(B)?", "is it a or b"), ("  x  ", "x"), ("a_b", "a_b"), ("", "")],
)
def test_inputs_are_compared_by_their_words(given_text: str, expected: str) -> None:
    assert normalise_input(given_text) == expected


@given(st.dictionaries(st.text(), JSON))
def test_the_order_of_keys_does_not_change_the_digest(value: dict[str, object]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


def test_the_digest_is_that_of_the_canonical_text() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_numbers_that_are_not_finite_have_no_digest(value: object) -> None:
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        digest(value)


def test_what_is_not_json_has_no_digest() -> None:
    with pytest.raises(TypeError):
        digest({"a": object()})


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_003)
    assert file_digest(path) == hashlib.sha256(b"x" * 1_000_003).hexdigest()


@given(st.lists(st.text() | st.integers()))
def test_a_seed_fits_every_generator(parts: list[str | int]) -> None:
    assert 0 <= derive_seed(*parts) < 2**63


def test_seeds_of_different_purposes_differ() -> None:
    parts: list[tuple[str | int, ...]] = [("a", 1), ("a1",), ("a", "1"), (1, "a"), ("a", 1, ""), ("a", 2)]
    assert len({derive_seed(*one) for one in parts}) == len(parts)


def test_a_seed_is_the_same_in_every_process_and_release() -> None:
    assert derive_seed("batches", 0) == int(hashlib.sha256(b'["batches",0]').hexdigest()[:16], 16) >> 1
