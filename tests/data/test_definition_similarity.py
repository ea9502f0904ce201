"""Similarity of definitions: by hand, and as scikit-learn has it."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from snibench.data.definition_similarity import definition_similarity

TEXTS = ["Classify the review as good or bad.", "Say whether the review is good.", "Translate to French", ""]


def test_equal_definitions_are_alike_and_those_without_a_common_word_are_not() -> None:
    found = definition_similarity(["Sort the words", "sort THE words!", "Translate it"])
    assert found[0, 1] == pytest.approx(1.0)
    assert found[0, 2] == 0.0


def test_it_is_the_value_worked_out_by_hand() -> None:
    # two texts: "a" in both (idf 1), "b" and "c" in one each (idf ln(3/2) + 1); "b" twice (tf 1 + ln 2)
    rare = log(3 / 2) + 1
    twice = (1 + log(2)) * rare
    expected = 1 / ((1 + twice**2) ** 0.5 * (1 + rare**2) ** 0.5)
    assert definition_similarity(["a b b", "a c"])[0, 1] == pytest.approx(expected)


def test_a_definition_without_words_is_like_nothing() -> None:
    found = definition_similarity(TEXTS)
    assert not found[3].any()
    assert np.allclose(found, found.T)


def test_it_is_scikit_learns() -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    vectors = text.TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit_transform(TEXTS)
    assert np.allclose((vectors @ vectors.T).toarray(), definition_similarity(TEXTS))
