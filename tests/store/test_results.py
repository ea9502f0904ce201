"""Several runs in one folder: which fits are read together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from stored_specs import LORA, OURS

from snibench.base.types import FitRecord, FitSpec, Manifest, Mixture, ModelRef, Recipe
from snibench.report.fits import labels
from snibench.report.tables import selected
from snibench.store import Store, StoredRun, load_results, write_frame


@pytest.fixture
def run(tmp_path: Path):
    """``run(spec, ...)``: fits and manifest as one command leaves them."""
    store = Store(tmp_path)

    def done(*specs: FitSpec, version: int = 1, protocol: str = "gap", status: str = "done") -> StoredRun:
        for spec in specs:
            store.begin(spec)
            write_frame(store.folder(spec.id) / "tasks.parquet", pd.DataFrame({"task": ["a"]}))
            write_frame(store.answers_path(spec.id, protocol, "q"), pd.DataFrame({"protocol": [protocol]}))
            store.seal(FitRecord.of(spec, status))  # type: ignore[arg-type]
        store.write_manifest(
            Manifest(
                tuple(spec.id for spec in specs),
                labels={spec.id: spec.label for spec in specs},
                question_sets={spec.id: {protocol: "q"} for spec in specs},
                protocol_versions={protocol: version},
            )
        )
        return load_results(tmp_path) if status == "done" else None  # type: ignore[return-value]

    return done


def together(run, *earlier: FitSpec, last: FitSpec = OURS, **options: object) -> list[str]:
    for spec in earlier:
        run(spec, **options)
    folder = run(last).folder
    assert labels(load_results(folder)) == [last.label]
    return labels(load_results(folder, earlier=True))


def test_a_finished_fit_of_an_earlier_run_is_read_too(run) -> None:
    assert together(run, LORA) == ["ours", "lora"]


@pytest.mark.parametrize(
    "changed",
    [
        replace(LORA, suite_digest="1"),
        replace(LORA, model=ModelRef("tiny", "1", "0")),
        replace(LORA, precision="bfloat16"),
        replace(LORA, recipe=replace(LORA.recipe, steps=10)),
        replace(LORA, recipe=replace(LORA.recipe, max_input=64)),
        replace(LORA, train_format="template"),
    ],
    ids=["suite", "model", "precision", "steps", "input", "format"],
)
def test_what_does_not_compare_is_left_out(run, changed: FitSpec) -> None:
    assert together(run, changed) == ["ours"]


def test_the_learning_rate_is_the_methods_own_and_an_untuned_model_has_no_recipe(run) -> None:
    untuned = replace(LORA, label="untuned", mixture=Mixture(()), recipe=Recipe(steps=0), train_format="")
    other = replace(LORA, recipe=replace(LORA.recipe, learning_rate=5e-2))
    assert together(run, untuned, other) == ["ours", "lora", "untuned"]


def test_of_equal_rows_the_latest_counts(run) -> None:
    first, second = (replace(LORA, recipe=replace(LORA.recipe, learning_rate=rate)) for rate in (1e-2, 1e-3))
    for spec in (first, second, OURS):
        results = run(spec)
    read = load_results(results.folder, earlier=True)
    assert [(spec.label, spec.recipe.learning_rate) for spec in read.specs] == [("ours", 1e-3), ("lora", 1e-3)]
    assert read.manifest.notes == ("From earlier runs in this folder: lora.",)
    run(first)
    run(OURS)
    assert load_results(results.folder, earlier=True).specs[1].recipe.learning_rate == 1e-2


def test_what_failed_or_was_asked_in_another_version_is_left_out(run) -> None:
    assert together(run, LORA, status="failed") == ["ours"]


def test_answers_to_a_protocol_that_has_changed_since_are_left_out(run) -> None:
    run(LORA, version=1)
    folder = run(OURS, version=2).folder
    read = load_results(folder, earlier=True)
    assert list(read.answers["method"]) == ["ours"]


def test_a_fit_keeps_what_earlier_runs_asked_it(run) -> None:
    run(OURS, protocol="gap")
    folder = run(OURS, protocol="formats").folder
    assert list(load_results(folder).answers["protocol"]) == ["formats"]
    assert sorted(load_results(folder, earlier=True).answers["protocol"]) == ["formats", "gap"]


def test_methods_can_be_chosen(run) -> None:
    run(LORA)
    run(replace(LORA, label="full", method="full"))
    read = load_results(run(OURS).folder, earlier=True)
    assert labels(selected(read, ["lora", "ours"])) == ["ours", "lora"]
    with pytest.raises(Exception, match="Unknown method 'our'"):
        selected(read, ["our"])
