"""Files of a finished fit, changed behind its back: found, named, and made again where they can be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from snibench.cli import main
from snibench.store import Store, load_results

TINY = [
    *("--no-baseline", "--protocol", "gap", "--seeds", "0", "--tasks", "4", "--steps", "2", "--per-step", "2,2"),
    *("--limit", "1", "--max-output", "4", "--conflict", "ends", "--executor", "inline"),
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seals") / "runs"
    with pytest.raises(SystemExit) as ended:
        main(["run", "-m", "lora", *TINY, "-o", str(folder)])
    assert not ended.value.code
    return folder


@pytest.fixture
def runs(original: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be harmed."""
    return Path(shutil.copytree(original, tmp_path / "runs"))


def fit(runs: Path) -> Path:
    return next(runs.glob("*/record.json")).parent


def rows(runs: Path) -> str:
    return str(load_results(runs).answers.sort_values(["task", "instance"]).to_json(orient="records"))


def again(snibench, runs: Path, *more: str):
    return snibench("run", "-m", "lora", *TINY, *more, "-o", runs)


def edit_scores(folder: Path) -> None:
    (path,) = folder.glob("answers/*.parquet")
    pd.read_parquet(path).assign(exact_match=1.0, rouge_l=1.0, score=1.0).to_parquet(path, index=False)


def edit_predictions(folder: Path) -> None:
    (path,) = folder.glob("predictions/*.parquet")
    pd.read_parquet(path).assign(prediction="yes").to_parquet(path, index=False)


def truncate_predictions(folder: Path) -> None:
    (path,) = folder.glob("predictions/*.parquet")
    path.write_bytes(path.read_bytes()[:200])


def edit_tasks(folder: Path) -> None:
    path = folder / "tasks.parquet"
    pd.read_parquet(path).assign(category="Mine").to_parquet(path, index=False)


def edit_forgetting(folder: Path) -> None:
    path = folder / "forgetting.parquet"
    pd.read_parquet(path).assign(after=0.0).to_parquet(path, index=False)


def edit_record(folder: Path) -> None:
    path = folder / "record.json"
    path.write_text(path.read_text("utf-8").replace('"seconds": ', '"seconds": 1'), "utf-8")


def truncate_record(folder: Path) -> None:
    (folder / "record.json").write_text('{"fit": ', "utf-8")


REPAIRED = {
    "answers/gap-": (edit_scores, "was changed after it was sealed|has [0-9,]+ bytes in place of"),
    "predictions/00000.parquet": (edit_predictions, "was changed after it was sealed|has [0-9,]+ bytes in place of"),
    "predictions/00000.parquet ": (truncate_predictions, "has 200 bytes in place of"),
    "spec.json": (lambda folder: (folder / "spec.json").unlink(), "is missing"),
    "tasks.parquet": (lambda folder: (folder / "tasks.parquet").unlink(), "is missing"),
    "forgetting.parquet": (edit_forgetting, "was changed after it was sealed|has [0-9,]+ bytes in place of"),
    "forgetting.parquet ": (lambda folder: (folder / "forgetting.parquet").unlink(), "is missing"),
    "tasks.parquet ": (edit_tasks, "was changed after it was sealed|has [0-9,]+ bytes in place of"),
    "record.json": (edit_record, "was changed after it was sealed"),
    "record.json ": (truncate_record, "is not JSON"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REPAIRED)
def test_a_changed_file_is_named_and_made_again_from_what_is_intact(name, snibench, original, runs) -> None:
    import re

    harm, said = REPAIRED[name]
    harm(fit(runs))
    ended = again(snibench, runs)
    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.out.splitlines() if name.strip() in line and "again" in line]
    assert re.search(said, line), line
    assert rows(runs) == rows(original)
    pd.testing.assert_frame_equal(*(pd.read_parquet(fit(one) / "forgetting.parquet") for one in (runs, original)))
    store = Store(runs)
    record = store.record(fit(runs).name)
    assert record is not None
    assert store.faults(record, by_size=()) == {}
    assert not [line for line in again(snibench, runs).out.splitlines() if name.strip() in line]


@pytest.mark.slow
def test_reports_and_boards_count_no_fit_whose_answers_were_changed(snibench, runs, tmp_path) -> None:
    folder = fit(runs)
    edit_scores(folder)
    for command in (("report", runs), ("compare", "lora", "lora", runs), ("leaderboard", "export", runs)):
        ended = snibench(*command, *(("-o", tmp_path / "board") if command[0] == "leaderboard" else ()))
        assert ended.code, command
        assert "answers/gap-" in ended.err
        assert "repeat the run" in ended.err


@pytest.mark.slow
def test_a_damaged_adapter_is_named_its_answers_stand_and_nothing_is_answered_with_it(snibench, original, runs) -> None:
    (weights,) = fit(runs).glob("adapter/*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-8])
    shown = snibench("report", runs, "--all")
    assert (shown.code, shown.err) == (0, "")
    assert f"adapter/{weights.name} has" in " ".join(shown.out.split())
    stands = again(snibench, runs)
    assert stands.code == 0
    assert "Its answers stand; only tuning makes it again: --overwrite failed." in stands.out
    assert rows(runs) == rows(original)
    further = again(snibench, runs, "--protocol", "formats", "--formats", "definition,keyword")
    assert further.code == 1
    said = further.out + further.err
    assert "prompts are left to be answered, but " in said
    assert "only tuning makes it again: --overwrite failed" in said
    mended = again(snibench, runs, "--overwrite", "failed")
    assert mended.code == 0
    assert "It is tuned again." in mended.out
    assert rows(runs) == rows(original)


@pytest.mark.slow
def test_another_adapter_of_the_same_size_is_not_used(snibench, runs) -> None:
    folder = fit(runs)
    (weights,) = folder.glob("adapter/*.safetensors")
    tensors = {name: tensor.zero_() for name, tensor in load_file(weights).items()}
    save_file(tensors, weights)
    shutil.rmtree(folder / "predictions")
    ended = again(snibench, runs)
    assert ended.code == 0
    assert "was changed after it was sealed" in ended.out
    assert "The answers that are stored stand." in ended.out


@pytest.mark.slow
def test_a_trace_that_was_changed_is_read_by_no_report(snibench, runs) -> None:
    path = fit(runs) / "trace.parquet"
    pd.read_parquet(path).assign(loss=0.0).to_parquet(path, index=False)
    results = load_results(runs)
    assert results.frames(fit(runs).name, "trace.parquet") == {}
    assert results.frames(fit(runs).name, "conflict/*.parquet")
    (note,) = [note for note in results.manifest.notes if "trace.parquet" in note]
    assert note.endswith("and is not read.")


@pytest.mark.slow
def test_a_forgetting_that_was_changed_is_read_by_no_report_and_needs_its_adapter(snibench, runs) -> None:
    from snibench.report.forgetting import forgetting

    assert len(forgetting(load_results(runs))) == 1
    edit_forgetting(fit(runs))
    assert len(forgetting(load_results(runs))) == 0
    (weights,) = fit(runs).glob("adapter/*.safetensors")
    save_file({name: tensor.zero_() for name, tensor in load_file(weights).items()}, weights)
    ended = again(snibench, runs)
    assert ended.code == 0
    (line,) = [line for line in ended.out.splitlines() if "forgetting.parquet" in line and "Its answers stand" in line]
    assert f"adapter/{weights.name} was changed after it was sealed" in line
    assert "only tuning makes it again: --overwrite failed" in line
    assert len(forgetting(load_results(runs))) == 0


@pytest.mark.slow
def test_a_file_that_the_record_does_not_name_is_read_by_no_report(runs) -> None:
    folder = fit(runs) / "conflict"
    (folder / "0.5.parquet").write_bytes((folder / "1.0.parquet").read_bytes())
    assert load_results(runs).frames(fit(runs).name, "conflict/*.parquet").keys() == {"0.0", "1.0"}


@pytest.mark.slow
def test_a_fit_stored_without_digests_is_read_with_a_note_and_sealed_by_the_next_run(snibench, runs) -> None:
    path = fit(runs) / "record.json"
    old = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({name: value for name, value in old.items() if name not in ("files", "seal")}), "utf-8")
    (note,) = [note for note in load_results(runs).manifest.notes if "digests" in note]
    assert note == (
        "1 of 1 fits were stored without digests, so that a change in them would not be found. "
        "The same run again seals them."
    )
    assert "was stored without digests" in again(snibench, runs).out
    assert json.loads(path.read_text("utf-8"))["files"].keys() == old["files"].keys()
    assert not [note for note in load_results(runs).manifest.notes if "digests" in note]


@pytest.mark.slow
def test_every_file_that_numbers_come_from_is_sealed(snibench, original) -> None:
    folder = fit(original)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    record = Store(original).record(folder.name)
    assert record is not None
    assert there - record.files.keys() == {"record.json", "tuned.json", ".lock"}
    ended = snibench("verify", original)
    assert (ended.code, ended.out) == (0, f"{len(record.files)} files of 1 fits are what was sealed.\n")
    assert {name.split("/")[0] for name in record.files} == {
        *("spec.json", "tasks.parquet", "trace.parquet", "forgetting.parquet"),
        *("conflict", "adapter", "predictions", "answers"),
    }
