"""Loss per token on general text: zero where nothing is tuned, and recomputable from what a fit stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from snibench.report import build
from snibench.report.forgetting import forgetting
from snibench.store import StoredRun, write_frame


@pytest.fixture
def measured(results: StoredRun, tmp_path: Path) -> StoredRun:
    """The run with passages that "ours" reads 0.5 nats worse, give or take, and the others as before."""
    run = replace(results, folder=tmp_path)
    for spec in run.specs:
        rng = np.random.default_rng(spec.seed)
        before = rng.normal(3.0, 1.0, 40)
        after = before + (rng.normal(0.5, 0.2, 40) if spec.label == "ours" else 0.0)
        frame = pd.DataFrame({"passage": range(40), "tokens": 50, "before": before, "after": after})
        write_frame(tmp_path / spec.id / "forgetting.parquet", frame)
    return run


def test_it_is_the_mean_over_passages_of_after_minus_before(measured: StoredRun) -> None:
    rows = forgetting(measured).set_index("method")
    tables = [
        pd.read_parquet(measured.folder / spec.id / "forgetting.parquet")
        for record, spec in zip(measured.records, measured.specs, strict=True)
        if spec.label == "ours" and record.status == "done"
    ]
    row = rows.loc["ours"]
    assert row["forgetting"] == pytest.approx(np.mean([(table["after"] - table["before"]).mean() for table in tables]))
    assert 0.3 < row["forgetting_low"] < row["forgetting"] < row["forgetting_high"] < 0.7
    assert (row["n_passages"], row["n_seeds"]) == (40, len(tables))


def test_a_model_that_did_not_change_forgot_nothing(measured: StoredRun) -> None:
    row = forgetting(measured).set_index("method").loc["untuned"]
    assert (row["forgetting"], row["forgetting_low"], row["forgetting_high"]) == (0.0, 0.0, 0.0)


def test_it_stands_in_the_summary_and_in_its_table(measured: StoredRun, results: StoredRun) -> None:
    report = build(measured)
    assert report.table("summary").frame.set_index("method").loc["ours", "forgetting"] == pytest.approx(0.5, abs=0.1)
    assert "forgetting" in [table.name for table in report.shown]
    assert "forgetting" not in [table.name for table in build(results).shown]  # earlier fits have none
