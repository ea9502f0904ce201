"""``run --rank-labels``: a column beside the greedy answers, for runs that have none yet and for runs that have."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from snibench import metrics
from snibench.store import load_results

pytestmark = pytest.mark.slow


def test_ranked_labels_stand_beside_the_same_answers_and_change_no_score(snibench, small, tmp_path: Path) -> None:
    run = ["run", "-m", "lora", "--no-baseline", "--seeds", "0", "--protocol", "gap", *small, "-o", str(tmp_path)]
    assert snibench(*run).code == 0
    plain = load_results(tmp_path).answers
    assert "ranked" not in plain
    fits = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("adapter/*")}
    assert fits

    outcome = snibench(*run, "--rank-labels")
    assert outcome.code == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("adapter/*")} == fits  # asked again, not tuned
    results = load_results(tmp_path)
    ranked = results.answers
    key = ["task", "instance"]
    pd.testing.assert_frame_equal(
        plain.sort_values(key, ignore_index=True), ranked[plain.columns].sort_values(key, ignore_index=True)
    )
    labels = {row.task: row.labels for row in results.tasks.itertuples()}
    for row in ranked.to_dict("records"):
        if labels[row["task"]] is None:
            assert pd.isna(row["ranked"])
            assert pd.isna(row["ranked_exact_match"])
        else:
            assert row["ranked"] in set(labels[row["task"]])
            assert row["ranked_exact_match"] == metrics.exact_match(row["ranked"], tuple(row["targets"]))
    assert ranked["ranked_exact_match"].notna().any()
    assert "label ranked" in snibench("report", str(tmp_path), "--all").out

    assert snibench(*run).code == 0  # a run without it reads what it always wrote
    assert "ranked" not in load_results(tmp_path).answers
