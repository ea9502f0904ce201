from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.codec import from_json, to_json
from snibench.base.errors import StoreError
from snibench.base.types import (
    FitRecord,
    FitSpec,
    Manifest,
    Mixture,
    ModelRef,
    Recipe,
    Search,
    SuiteRef,
    SuiteRequest,
    Trial,
)

SPEC = FitSpec(
    method="ours",
    rule="pcgrad",
    settings={"r": 8, "dropout": 0.0, "kappa": "one", "joint": True},
    source={"distribution": "snibench"},
    model=ModelRef("tiny", "b" * 64, "c" * 64),
    suite=SuiteRequest("mini", categories=("Title Generation",)),
    suite_digest="a" * 64,
    mixture=Mixture(("task1", "task2"), (0.25, 0.75)),
    train_format="definition",
    recipe=Recipe(steps=10, learning_rate=5e-3),
    seed=3,
    precision="float32",
    label="ours+pcgrad",
)
RECORD = FitRecord("f", "ours", "ours", "", 0, "done", notes=("a", "b"), conflict={"0.0": {"score": 0.1}})
MANIFEST = Manifest(
    fits=("f",),
    labels={"f": "ours"},
    question_sets={"f": {"gap": "q"}},
    protocol_versions={"gap": 2},
    suite=SuiteRef("mini", "a" * 64, ("one task was left out",)),
    baseline="lora",
    searches=(Search("ours", 1e-3, 2e-3, (Trial(2e-3, None, 1.0, 3, 0, "diverged", "not finite"),)),),
)


@pytest.mark.parametrize("value", [SPEC, RECORD, MANIFEST, Manifest()])
def test_what_is_written_is_read_as_the_same_value(value: Any) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    assert from_json(type(value), json.loads(text), Path("x.json"), remedy="") == value


@given(
    st.lists(st.text(min_size=1), max_size=3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
)
def test_any_fields_survive_the_way_through_a_file(names: list[str], rate: float, seed: int) -> None:
    value = Search("x", rate, rate, tuple(Trial(rate, rate, rate, 1, seed, name) for name in names))
    assert from_json(Search, json.loads(json.dumps(to_json(value))), Path("x"), remedy="") == value


def damaged(value: Any, *path: Any, new: Any) -> Any:
    raw = json.loads(json.dumps(to_json(value)))
    inner = raw
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return raw


@pytest.mark.parametrize(
    ("value", "path", "new", "said"),
    [
        (SPEC, ("recipe", "steps"), "10", "recipe.steps: expected int, got str"),
        (SPEC, ("seed",), 1.5, "seed: expected int, got float"),
        (SPEC, ("mixture", "tasks"), ["task1", 2], "mixture.tasks[1]: expected str, got int"),
        (RECORD, ("status",), "finished", "status: invalid enum value 'finished'"),
        (MANIFEST, ("searches", 0, "trials", 0, "steps"), None, "searches[0].trials[0].steps: expected int, got null"),
    ],
)
def test_a_value_of_another_type_is_refused_by_file_and_field(value: Any, path: Any, new: Any, said: str) -> None:
    with pytest.raises(StoreError) as refused:
        from_json(type(value), damaged(value, *path, new=new), Path("runs/f/it.json"), remedy="Delete it.")
    assert str(refused.value) == f"runs/f/it.json is damaged ({said}). Delete it."


def test_a_field_that_lacks_is_named() -> None:
    raw = to_json(RECORD)
    del raw["label"]
    with pytest.raises(StoreError, match=r"x is damaged \(object missing required field label\)"):
        from_json(FitRecord, raw, Path("x"), remedy="Delete it.")
    with pytest.raises(StoreError, match=r"x is damaged \(expected object, got array\)"):
        from_json(FitRecord, [raw], Path("x"), remedy="Delete it.")
