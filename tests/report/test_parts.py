from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from snibench.report import build
from snibench.report.comparison import compare
from snibench.report.parts import families
from snibench.report.values import QUESTIONS
from snibench.store import StoredRun

Make = Callable[..., StoredRun]
SETTINGS = {
    "lora": {"rank": 8},
    "ours": {"rank": 8, "a": True, "b": True},
    "ours(a=false)": {"rank": 8, "a": False, "b": True},
    "ours(a=false,b=false)": {"rank": 8, "a": False, "b": False},
    "ours(rank=4,a=false)": {"rank": 4, "a": False, "b": True},
}
LEVELS = {"lora": 0.5, "ours": 0.8, "ours(a=false)": 0.5, "ours(a=false,b=false)": 0.8, "ours(rank=4,a=false)": 0.6}


@pytest.fixture(scope="module")
def results(make_results: Make) -> StoredRun:
    made = make_results(LEVELS)
    specs = [replace(spec, method=spec.label.partition("(")[0], settings=SETTINGS[spec.label]) for spec in made.specs]
    return replace(made, specs=tuple(specs))


def test_a_family_is_a_method_and_its_variants_with_switches_off(results: StoredRun) -> None:
    assert families(results) == {"ours": {"ours(a=false)": "a", "ours(a=false,b=false)": "a, b"}}


@pytest.mark.parametrize("other", [{"rule": "pcgrad"}, {"sampler": "deck"}, {"sampler_settings": {"t": 2.0}}])
def test_a_variant_under_another_rule_or_sampler_is_no_variant(results: StoredRun, other: dict[str, Any]) -> None:
    specs = [replace(spec, **other) if spec.label == "ours(a=false)" else spec for spec in results.specs]
    assert families(replace(results, specs=tuple(specs))) == {"ours": {"ours(a=false,b=false)": "a, b"}}


def test_a_part_adds_what_the_comparison_says_the_variant_lacks(results: StoredRun) -> None:
    frame = build(results).table("parts").frame.set_index("part")
    assert list(frame.index) == ["a", "a, b"]
    pair = compare(results, "ours", "ours(a=false)").table("comparison").frame.set_index("on")
    row = frame.loc["a"]
    assert row["unseen_delta"] == pytest.approx(pair.loc[QUESTIONS["unseen"], "delta"])
    assert row["seen_delta"] == pytest.approx(pair.loc[QUESTIONS["seen"], "delta"])
    assert 0.1 < row["unseen_low"] < row["unseen_delta"] < row["unseen_high"]
    assert row["unseen_p_holm"] < 0.05
    assert abs(frame.loc["a, b", "unseen_delta"]) < 0.1


def test_without_variants_there_is_no_table(make_results: Make) -> None:
    assert "parts" not in {table.name for table in build(make_results()).tables}
