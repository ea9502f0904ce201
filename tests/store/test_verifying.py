"""`snibench verify`: every file of every fit of a folder is held against its digest, and each that differs is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from stored_specs import LORA, OURS

from snibench.base.types import FitRecord, FitSpec, Manifest
from snibench.cli import main
from snibench.store import Store
from snibench.store.locks import held

FILES = [
    *("tasks.parquet", "trace.parquet", "forgetting.parquet", "conflict/1.0.json", "conflict/1.0.parquet"),
    *("adapter/adapter_model.safetensors", "predictions/00000.parquet", "answers/gap-1.parquet"),
]
TUNED = replace(LORA, seed=5, label="tuned")


def verify(folder: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(folder), *options])
    return int(ended.value.code or 0)


def begin(store: Store, spec: FitSpec) -> FitRecord:
    place = store.begin(spec)
    for name in FILES:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(f"{name} of {spec.label}")
    return FitRecord.of(spec, "done")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two fits that are sealed, one of which no run lists, and one that is tuned."""
    store = Store(tmp_path / "runs")
    for spec in (LORA, OURS):
        store.seal(store.keep_tuned(begin(store, spec)))
    store.keep_tuned(begin(store, TUNED))
    store.write_manifest(Manifest((LORA.id, TUNED.id)))
    return store


def test_a_folder_as_it_was_sealed_is_intact(store: Store, capsys) -> None:
    assert verify(store.root) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{TUNED.id} (tuned): tuned, but not finished: repeat the run to go on", said[-1]]
    assert said[-1] == f"{3 * (len(FILES) + 1)} files of 3 fits are what was sealed."


@pytest.mark.parametrize("spec", [LORA, OURS, TUNED], ids=["listed", "unlisted", "tuned"])
@pytest.mark.parametrize("name", [*FILES, "spec.json"])
def test_each_file_that_was_changed_cut_or_removed_is_named(name: str, spec: FitSpec, store: Store, capsys) -> None:
    path = store.folder(spec.id) / name
    whole = path.read_bytes()
    flipped = whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]
    for harmed, fault in (
        (flipped, "was changed after"),
        (whole[:-1], f"bytes in place of {len(whole)}"),
        (None, "is missing"),
    ):
        if harmed is None:
            path.unlink()
        else:
            path.write_bytes(harmed)
        assert verify(store.root) == 1
        named = [line for line in capsys.readouterr().out.splitlines() if f"{spec.id} ({spec.label}): {name} " in line]
        assert [fault in line for line in named] == [True]
        path.write_bytes(whole)
    assert verify(store.root) == 0


@pytest.mark.parametrize("text", ['{"fit": ', "[]", None])
def test_a_record_that_is_not_what_was_written_is_named(text: str | None, store: Store, capsys) -> None:
    path = store.folder(LORA.id) / "record.json"
    edited = json.dumps({**json.loads(path.read_text("utf-8")), "seconds": 1.0})
    path.write_text(edited if text is None else text, "utf-8")
    assert verify(store.root) == 1
    said = capsys.readouterr().out
    assert f"{LORA.id} (lora): record.json " in said
    assert "1 of " in said
    assert "says what it makes again" in said


def test_a_fit_of_which_nothing_is_left_is_named(store: Store, capsys) -> None:
    import shutil

    shutil.rmtree(store.folder(LORA.id))
    assert verify(store.root) == 1
    assert "and so is all of the fit" in capsys.readouterr().out


def test_a_file_that_no_record_names_is_shown_and_no_fault(store: Store, capsys) -> None:
    (store.folder(LORA.id) / "conflict" / "0.5.parquet").write_text("mine")
    assert verify(store.root) == 0
    assert f"{LORA.id} (lora): conflict/0.5.parquet is in no record; no report reads it" in capsys.readouterr().out


def test_a_fit_under_way_and_one_without_digests_are_said(store: Store, capsys) -> None:
    path = store.folder(OURS.id) / "record.json"
    old = {name: value for name, value in json.loads(path.read_text("utf-8")).items() if name not in ("files", "seal")}
    path.write_text(json.dumps(old), "utf-8")
    with held(store.folder(LORA.id)):
        assert verify(store.root) == 0
    said = capsys.readouterr().out
    assert f"{LORA.id} (lora): another process works on it: not looked at" in said
    assert f"{OURS.id} (ours): stored by an older snibench, without digests" in said


def test_it_prints_json_and_writes_nothing(store: Store, capsys) -> None:
    (store.folder(LORA.id) / "answers" / "gap-1.parquet").write_text("1")
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if ".lock" not in path.name}
    assert verify(store.root, "--json") == 1
    fits = {one["fit"]: one for one in json.loads(capsys.readouterr().out)}
    assert [*fits[LORA.id]["faults"]] == ["answers/gap-1.parquet"]
    assert (fits[OURS.id]["state"], fits[OURS.id]["faults"]) == ("sealed", {})
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys) -> None:
    assert verify(tmp_path) == 2
    assert "There is no run in" in capsys.readouterr().err
