"""`snibench clean`: lists, then removes, and touches nothing that a record or a run under way needs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stored_specs import LORA, OURS

from snibench.base.types import FitRecord, Manifest
from snibench.cli import main
from snibench.store import Store
from snibench.store.locks import held


def clean(folder: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["clean", str(folder), *options])
    return int(ended.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = Store(tmp_path / "runs")
    unlisted, under_way = replace(LORA, seed=7, label="unlisted"), replace(LORA, seed=8)
    for spec in (LORA, OURS, unlisted, under_way):
        place = store.begin(spec)
        (place / "checkpoint.safetensors").write_bytes(b"x" * 2**20)
        (place / "checkpoint.previous.safetensors").write_bytes(b"x")
        if spec is not OURS and spec is not under_way:
            store.seal(FitRecord.of(spec, "done"))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    import re

    from snibench.store.leftovers import temporary_folder

    with temporary_folder(store.root) as mine:
        name = re.sub(r"\.\d+\.", f".{gone.pid}.", mine.name)
    (store.folder(LORA.id) / name).mkdir()
    search = store.root / "searches" / "s"
    search.mkdir(parents=True)
    for file in ("search.json", "0.1.json", "0.1.checkpoint.safetensors", "0.2.checkpoint.safetensors"):
        (search / file).touch()
    store.write_manifest(Manifest((LORA.id, OURS.id, under_way.id)))
    return store.root


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_it_lists_and_removes_nothing_unless_asked(folder, capsys) -> None:
    before = files(folder)
    assert clean(folder) == 0
    assert "Nothing was removed; --yes removes it." in capsys.readouterr().out
    assert files(folder) == before


def test_what_no_record_needs_goes_and_all_else_stays(folder, capsys) -> None:
    before = files(folder)
    assert clean(folder, "--yes") == 0
    said = capsys.readouterr().out
    removed = before - files(folder)
    unlisted = replace(LORA, seed=7, label="unlisted").id
    assert {path for path in removed if ".tmp." not in path} == {
        *(f"{fit}/checkpoint{part}.safetensors" for fit in (LORA.id, unlisted) for part in ("", ".previous")),
        "searches/s/0.1.checkpoint.safetensors",
    }
    assert len(removed) == 6
    assert all(Path(path).name in said for path in removed)
    assert "Removed: 6, 2.0 MiB." in said
    assert clean(folder) == 0
    assert "can go" in capsys.readouterr().out


def test_fits_that_no_run_lists_go_only_on_request(folder) -> None:
    unlisted = replace(LORA, seed=7, label="unlisted").id
    assert clean(folder, "--yes", "--unlisted") == 0
    assert not (folder / unlisted).exists()
    assert (folder / LORA.id / "record.json").exists()
    assert (folder / OURS.id / "checkpoint.safetensors").exists()


def test_a_fit_under_way_is_left_alone(folder) -> None:
    with held(folder / LORA.id):
        assert clean(folder, "--yes", "--unlisted") == 0
    assert (folder / LORA.id / "checkpoint.safetensors").exists()


def test_a_folder_without_a_run_is_refused(tmp_path, capsys) -> None:
    assert clean(tmp_path, "--yes", "--unlisted") == 2
    assert "There is no run in" in capsys.readouterr().err
