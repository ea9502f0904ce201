"""``snibench run`` from one end to the other on the embedded suite and model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from official import OFFICIAL, needs_official

from snibench import metrics
from snibench.data.mini import tasks as mini_tasks
from snibench.store import load_results

pytestmark = pytest.mark.slow


def files(folder: Path) -> dict[str, int]:
    return {
        str(p): p.stat().st_mtime_ns
        for p in folder.rglob("*")
        if p.is_file() and p.name not in {"manifest.json", ".lock"}
    }


def test_every_method_meets_the_same_questions_and_every_fit_is_done(finished) -> None:
    results = load_results(finished)
    assert {record.status for record in results.records} == {"done"}
    assert {(spec.label, spec.seed) for spec in results.specs} == {
        *((label, 0) for label in ("untuned", "copy-input", "majority")),
        *((label, seed) for label in ("unified-prompt", "ours", "mtl-lora") for seed in (0, 1)),
    }
    asked = results.answers.groupby("fit")[["protocol", "task", "instance", "prompt_sha"]].apply(
        lambda rows: sorted(map(tuple, rows.to_numpy().tolist()))
    )
    assert all(questions == asked.iloc[0] for questions in asked)
    assert set(results.answers["protocol"]) == {"gap", "formats", "combos"}


def test_the_store_keeps_what_every_task_asks_for(finished) -> None:
    tasks, cards = load_results(finished).tasks, {name: task.card for name, task in mini_tasks().items()}
    assert dict(zip(tasks["task"], tasks["definition"], strict=True)) == {
        name: cards[name].definition for name in tasks["task"]
    }


def test_the_manifest_keeps_the_settings_that_planned_each_protocol(finished) -> None:
    kept = json.loads((finished / "manifest.json").read_text(encoding="utf-8"))["protocol_settings"]
    assert set(kept) == {"gap", "formats", "combos"}
    assert (kept["gap"]["instances"], kept["combos"]["length"]) == (20, 12)  # of profile quick, not the defaults


def test_every_stored_score_is_that_of_its_prediction(finished) -> None:
    answers = load_results(finished).answers
    cards = {name: task.card for name, task in mini_tasks().items()}
    for row in answers.to_dict("records"):
        em = metrics.exact_match(row["prediction"], tuple(row["targets"]))
        rl = metrics.rouge_l(row["prediction"], tuple(row["targets"]))
        assert (row["exact_match"], row["rouge_l"]) == (em, rl)
        assert row["score"] == {"exact_match": em, "rouge_l": rl}[cards[row["task"]].metric]


def test_seen_tasks_are_judged_on_instances_that_were_not_trained_on(finished) -> None:
    results = load_results(finished)
    spec = next(spec for spec in results.specs if spec.label == "ours")
    seen = results.answers[results.answers["seen"]]
    assert set(seen["task"]) <= set(spec.mixture.tasks)
    assert set(seen["split"]) == {"held_out"}
    assert not set(results.answers.loc[~results.answers["seen"], "task"]) & set(spec.mixture.tasks)


def test_floors_are_rows_of_the_tables_without_a_model_and_without_tests(finished, snibench, tmp_path) -> None:
    results = load_results(finished)
    floors = {spec.label: record for spec, record in zip(results.specs, results.records, strict=True) if spec.floor}
    assert set(floors) == {"copy-input", "majority"}
    assert all(record.total_parameters == 0 for record in floors.values())  # none was loaded
    assert snibench("report", finished, "--json", tmp_path / "all.json").code == 0
    tables = {name: one["rows"] for name, one in json.loads((tmp_path / "all.json").read_text())["tables"].items()}
    for name in ("summary", "gap", "format_spread", "comparison_unseen"):
        assert set(floors) < {row["method"] for row in tables[name]}, name
    untested = [row for row in tables["comparison_unseen"] if row["method"] in floors]
    assert all(row["mean"] is not None and row["p_holm"] is row["rank"] is row["group"] is None for row in untested)
    assert not set(floors) & {row["method"] for row in tables["format_ranks"]}
    closed = results.answers[results.answers["method"] == "majority"].merge(
        results.tasks[["task", "labels"]], on="task"
    )
    assert set(closed.loc[closed["labels"].isna(), "prediction"]) <= {""}


def test_tuning_lowers_the_loss_and_the_conflict_is_measured_at_both_ends(finished) -> None:
    results = load_results(finished)
    for spec, record in zip(results.specs, results.records, strict=True):
        if not spec.recipe.steps:
            assert record.trainable_parameters == 0
            continue
        trace = pd.read_parquet(finished / spec.id / "trace.parquet")
        assert len(trace) == 6
        assert set(record.conflict) == {"0.0", "1.0"}
        assert record.conflict["1.0"]["tasks"] >= 2
        assert 0 < record.trainable_parameters < record.total_parameters


def test_the_same_command_again_recomputes_nothing_and_shows_the_same(finished, snibench, measured) -> None:
    before = files(finished)
    shown = snibench("report", finished)
    again = snibench("run", "-m", "ours", "-m", "mtl-lora", "--seeds", "0,1", *measured, "-o", finished)
    assert again.code == 0
    assert files(finished) == before
    assert shown.out.strip() in again.out


def test_the_tables_of_all_protocols_and_the_comparison_are_shown(finished, snibench) -> None:
    shown = snibench("report", finished, "--all").out
    for words in ("Summary", "unified-prompt", "Gap", "Formats", "Combos", "Gradient conflict", "Compared with"):
        assert words.lower() in shown.lower()
    compared = snibench("compare", "ours", "unified-prompt", finished)
    assert compared.code == 0
    assert "ours" in compared.out


def test_a_dry_run_says_what_difference_the_run_will_find(snibench, measured, tmp_path) -> None:
    said = " ".join(snibench("run", "-m", "ours", "--seeds", "0,1", *measured, "--dry-run", "-o", tmp_path).out.split())
    assert "2 seeds: " in said
    assert "(from stored runs of mini with tiny)" in said or "no verdict can be reached" in said


def test_json_holds_every_method(finished, snibench, tmp_path, measured) -> None:
    target = tmp_path / "all.json"
    snibench("run", "-m", "ours", "-m", "mtl-lora", "--seeds", "0,1", *measured, "-o", finished, "--json", target)
    text = target.read_text(encoding="utf-8")
    json.loads(text)
    assert all(f'"{label}"' in text for label in ("untuned", "unified-prompt", "ours", "mtl-lora"))


def test_a_leaderboard_file_is_exported_validated_and_shown(finished, snibench, tmp_path) -> None:
    exported = snibench("leaderboard", "export", finished, "-o", tmp_path)
    assert exported.code == 0, exported.err
    (board,) = tmp_path.glob("*.json")
    assert snibench("leaderboard", "validate", board).code == 0
    assert "mtl-lora" in snibench("leaderboard", "show", board).out
    broken = json.loads(board.read_text(encoding="utf-8"))
    del broken["entries"][0]["method"]
    board.write_text(json.dumps(broken), encoding="utf-8")
    faulty = snibench("leaderboard", "validate", board)
    assert faulty.code == 1
    assert "method" in faulty.out + faulty.err


def test_a_further_protocol_asks_the_fits_that_are_there(finished, snibench, measured) -> None:
    before = files(finished)
    formats = ["--protocol", "formats", "--formats", "definition,keyword"]
    again = snibench("run", "-m", "ours", "--seeds", "0,1", *measured, *formats, "-o", finished)
    assert again.code == 0
    after = files(finished)
    kept = {path for path in before if "adapter" in path or "trace" in path or "tuned.json" in path}
    assert all(after[path] == before[path] for path in kept)
    new = {Path(path).parent.name for path in after.keys() - before.keys()}
    assert new == {"predictions", "answers"}
    snibench("run", "-m", "ours", "-m", "mtl-lora", "--seeds", "0,1", *measured, "-o", finished)  # the manifest back


def test_a_method_from_a_file_that_fails_is_a_row_with_its_cause(snibench, tmp_path, measured) -> None:
    (tmp_path / "mine.py").write_text(
        "from snibench.methods.base import BaseMethod\n"
        "class Broken(BaseMethod):\n"
        '    """Fails."""\n'
        "    def losses(self, model, batch):\n"
        "        raise ValueError('no such shape')\n",
        encoding="utf-8",
    )
    reference = f"{tmp_path / 'mine.py'}:Broken"
    ended = snibench("run", "-m", reference, "--seeds", "0", *measured, "--protocol", "gap", "-o", tmp_path / "runs")
    assert ended.code == 1
    assert "no such shape" in ended.out
    assert "unified-prompt" in ended.out


def all_three_protocols(snibench, measured, data: Path, folder: Path, *, unseen: int) -> None:
    options = ["--data", data, "--partial", "--profile", "quick", "--seeds", "0"]
    ended = snibench("run", "-m", "ours", *options, *measured, "--limit", "1", "-o", folder)
    assert ended.code == 0, ended
    results = load_results(folder)
    assert set(results.answers["protocol"]) == {"gap", "formats", "combos"}
    assert results.answers.groupby("seen")["task"].nunique().to_dict() == {False: unseen, True: 8}


def test_a_folder_in_the_official_layout_passes_through_every_protocol(snibench, measured, sample, tmp_path) -> None:
    all_three_protocols(snibench, measured, sample, tmp_path, unseen=8)


def test_a_file_of_ones_own_passes_through_all_three_protocols(snibench, tmp_path) -> None:
    path = tmp_path / "own.csv"
    rows = [f"{task} {n},{'yes' if n % 2 else 'no'},{task}" for task in ("a", "b", "c") for n in range(40)]
    path.write_text("\n".join(["input,output,task", *rows]), encoding="utf-8")
    few = ["--seeds", "0", "--steps", "2", "--limit", "1", "--max-output", "4", "--no-baseline"]
    ended = snibench("run", "-m", "lora", "--data", path, *few, "-o", tmp_path / "runs")
    assert ended.code == 0, ended
    results = load_results(tmp_path / "runs")
    assert set(results.answers["protocol"]) == {"gap", "formats", "combos"}
    assert results.answers.groupby("seen")["task"].nunique().to_dict() == {False: 1, True: 2}


@needs_official
def test_real_tasks_pass_through_all_three_protocols(snibench, measured, tmp_path) -> None:
    all_three_protocols(snibench, measured, OFFICIAL, tmp_path, unseen=4)


# --------------------------------------------------------------------------- kills and interrupts


def start(options: list[str], folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "snibench", "run", "-m", "ours", "--seeds", "0", *options, *more, "-o", folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def outcome(folder: Path) -> dict[str, object]:
    """All that decides the tables, but for time, memory and machine."""
    results = load_results(folder)
    order = ["fit", "protocol", "variant", "format", "task", "instance", "stream", "position"]
    return {
        "answers": results.answers.sort_values(order).to_json(orient="records"),
        "conflict": [record.conflict for record in results.records],
        "weights": sorted(path.read_bytes() for path in folder.glob("*/adapter/*.safetensors")),
    }


def finish(process: subprocess.Popen[str]) -> None:
    said = process.communicate()
    assert process.returncode == 0, said


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_a_killed_run_repeated_ends_in_the_same_tables(tmp_path, measured) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(measured, whole))
    # In tuning of the first fit, among its answers, and in the second fit.
    for moment in ("*/conflict/0.0.json", "*/predictions/*.parquet", "*/answers/gap-*.parquet"):
        process = start(measured, broken)
        wait_for(lambda moment=moment: list(broken.glob(moment)), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start(measured, broken))
    assert outcome(broken) == outcome(whole)


def test_an_interrupt_in_training_saves_the_state_and_exits_with_130(tmp_path, measured) -> None:
    process = start(measured, tmp_path / "runs", "--steps", "2000", "--conflict", "off")
    assert process.stdout is not None
    for line in process.stdout:
        if line.rstrip().endswith("tuning"):
            break
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, (out, err)
    assert "same command goes on" in err
    assert list((tmp_path / "runs").glob("*/checkpoint.safetensors"))
