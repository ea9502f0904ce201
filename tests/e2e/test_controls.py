"""Controls of the verdict: a method against itself earns no star, and a known loss is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from snibench.cli import main
from snibench.report import build
from snibench.store import StoredRun, load_results

pytestmark = pytest.mark.slow

SMALL = ["--protocol", "gap", "--conflict", "off", "--no-baseline", "--per-step", "8,4", "--limit", "3"]


def part(run: StoredRun, label: str, seeds: dict[int, int]) -> StoredRun:
    """The fits of ``run`` with some seeds, under another label and as other seeds."""
    pairs = [
        (replace(record, label=label, seed=seeds[spec.seed]), replace(spec, label=label, seed=seeds[spec.seed]))
        for record, spec in zip(run.records, run.specs, strict=True)
        if spec.seed in seeds and spec.recipe.steps
    ]
    rows = run.answers[run.answers["seed"].isin(list(seeds)) & (run.answers["method"] != "untuned").to_numpy()]
    rows = rows.assign(method=label, seed=rows["seed"].map(seeds).astype(int))
    return replace(run, answers=rows, records=tuple(r for r, _ in pairs), specs=tuple(s for _, s in pairs))


def against(first: StoredRun, second: StoredRun) -> pd.DataFrame:
    """The comparison of two parts on unseen and on seen tasks, ``second`` as the baseline."""
    both = replace(
        first,
        answers=pd.concat([first.answers, second.answers], ignore_index=True),
        records=(*first.records, *second.records),
        specs=(*first.specs, *second.specs),
    )
    report = build(both, second.specs[0].label)
    rows = [report.table(name).frame.set_index("method") for name in ("comparison_unseen", "comparison_held_out")]
    return pd.DataFrame([frame.loc[first.specs[0].label] for frame in rows], index=["unseen", "seen"])


def tuned(folder: Path, method: str, steps: int, seeds: str) -> StoredRun:
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", method, "--steps", str(steps), "--seeds", seeds, *SMALL, "-o", str(folder)])
    assert not ended.value.code
    return load_results(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """LoRA of the usual rank, 30 steps, four seeds."""
    return tuned(tmp_path_factory.mktemp("whole"), "lora", 30, "0,1,2,3")


def test_a_method_against_itself_with_other_seeds_has_no_star(whole: StoredRun) -> None:
    for name in ((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)):
        first, second = (part(whole, label, {seed: i for i, seed in enumerate(own)})
                         for label, own in zip("ab", name, strict=True))  # fmt: skip
        rows = against(first, second)
        assert not rows["significant"].any()
        assert (rows["delta_low"] < rows["delta_high"]).all()


def test_a_third_of_the_steps_is_found_to_be_worse_on_seen_tasks(whole: StoredRun, tmp_path: Path) -> None:
    seeds = {seed: seed for seed in range(4)}
    fewer = tuned(tmp_path, "lora", 10, "0,1,2,3")
    rows = against(part(fewer, "fewer", seeds), part(whole, "whole", seeds))
    assert rows.loc["seen", "delta"] < 0
    assert rows.loc["seen", "significant"]
    assert rows.loc["seen", "outcome"] == "worse"
