"""The heat map of gradient conflict: the numbers that it shows, and words from anybody."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from snibench.report.figures import conflict_map


def pairs(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["first", "second", "cosine"])


CATEGORIES = {"a": "Word Analogy", "b": "Data to Text", "c": "Word Analogy"}


def test_seeds_are_averaged_and_every_pair_is_in_the_numbers_once() -> None:
    seeds = pairs(("a", "b", -0.4), ("a", "c", 0.1), ("b", "c", 0.2), ("a", "b", -0.2))
    figure = conflict_map({"ours": seeds}, categories=CATEGORIES)
    rows = list(csv.DictReader(io.StringIO(figure.csv())))
    found = {(row["first"], row["second"]): float(row["cosine"]) for row in rows}
    assert found == pytest.approx({("a", "b"): -0.3, ("a", "c"): 0.1, ("b", "c"): 0.2})
    assert {row["first"]: row["first_category"] for row in rows} == {"a": "Word Analogy", "b": "Data to Text"}


def test_tasks_stand_together_by_category_and_the_scale_is_centred_at_zero() -> None:
    axes = conflict_map({"ours": pairs(("a", "b", -0.4), ("a", "c", 0.1))}, categories=CATEGORIES).canvas.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", "a", "c"]
    low, high = axes.collections[0].get_clim()
    assert (low, high) == (-0.4, 0.4)


def test_the_same_numbers_give_the_same_bytes() -> None:
    first, second = (
        conflict_map({"ours": pairs(("a", "b", -0.4), ("b", "c", 0.1))}, categories=CATEGORIES) for _ in range(2)
    )
    assert first.svg() == second.svg() == first.svg()


def test_names_are_neither_markup_nor_mathematics() -> None:
    hostile = "$x^2$ </text><script>alert(1)</script> --> & \x1b[31m \u202e"
    figure = conflict_map({hostile: pairs((hostile, "$\\frac", 0.1))}, categories={hostile: "<b>"})
    root = ET.fromstring(figure.svg())
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert figure.png().startswith(b"\x89PNG")


def test_a_pair_that_is_too_noisy_is_shown_as_missing() -> None:
    figure = conflict_map({"ours": pairs(("a", "b", float("nan")), ("a", "c", -0.2))}, categories=CATEGORIES)
    assert figure.csv().splitlines()[1].endswith(",")
    assert figure.canvas.axes[0].collections[0].get_array().mask.sum() == 3 + 2 + 2  # diagonal, a-b, b-c
