"""`snibench push` and `pull`: finished fits reach a URL and come back whole, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from stored_specs import LORA, OURS

from snibench.base.types import FitRecord, FitSpec, Manifest
from snibench.cli import main
from snibench.store import Store
from snibench.store.locks import held
from snibench.store.verifying import held_folder

fsspec = pytest.importorskip("fsspec")

FILES = ["tasks.parquet", "trace.parquet", "adapter/adapter_model.safetensors", "answers/gap-1.parquet"]
BEGUN = replace(LORA, seed=5, label="begun")
FAILED = replace(LORA, seed=6, label="failed")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    return int(ended.value.code or 0)


def finish(store: Store, spec: FitSpec, *further: str) -> FitRecord:
    place = store.begin(spec)
    for name in (*FILES, *further):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(f"{name} of {spec.label}")
    return store.seal(store.keep_tuned(FitRecord.of(spec, "done")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two finished fits, one that is only begun, and one that failed."""
    store = Store(tmp_path / "runs")
    finish(store, LORA)
    finish(store, OURS)
    store.begin(BEGUN)
    store.begin(FAILED)
    store.seal(FitRecord.of(FAILED, "failed", "a loss"))
    store.write_manifest(Manifest((LORA.id, OURS.id), labels={LORA.id: "lora"}))
    return store


@pytest.fixture
def url() -> Iterator[str]:
    files = fsspec.filesystem("memory")
    yield "memory://bucket/runs"
    for path in files.find("/bucket"):
        files.rm_file(path)


def states(folder: Path) -> dict[str, tuple[str, int]]:
    return {one.fit: (one.state, len(one.faults)) for one in held_folder(folder)}


def test_finished_fits_come_back_as_they_were_sealed(store: Store, url: str, tmp_path, capsys) -> None:
    assert run("push", store.root, url) == 0
    said = capsys.readouterr().out
    assert f"{BEGUN.id}: not copied, it is not finished" in said
    assert f"{FAILED.id}: not copied, it is failed" in said
    assert "Fits copied: 2, 0.0 MiB; already there: 0; not copied: 2." in said
    there = tmp_path / "there"
    assert run("pull", url, there) == 0
    assert states(there) == {LORA.id: ("sealed", 0), OURS.id: ("sealed", 0)}
    assert Store(there).manifest() == store.manifest()
    assert Store(there).tuned(LORA.id) == store.tuned(LORA.id)
    capsys.readouterr()
    assert run("push", store.root, url) == run("pull", url, there) == 0
    assert capsys.readouterr().out.count("Fits copied: 0, 0.0 MiB; already there: 2") == 2


def test_fits_of_several_folders_meet_and_each_folders_own_run_stays_its_last(store: Store, url: str, tmp_path) -> None:
    second = Store(tmp_path / "second")
    other = replace(LORA, seed=8, label="eighth")
    finish(second, other)
    second.write_manifest(Manifest((other.id,), question_sets={other.id: {"gap": "1"}}, protocol_versions={"gap": 1}))
    assert run("push", store.root, url) == run("push", second.root, url) == 0
    assert run("pull", url, store.root) == 0
    assert states(store.root)[other.id] == ("sealed", 0)
    assert store.manifest().fits == (LORA.id, OURS.id)
    assert store.manifest().earlier[other.id] == {"gap": "1"}


def test_a_fit_that_answered_more_since_is_completed_and_one_with_less_takes_nothing_away(
    store: Store, url: str, tmp_path
) -> None:
    there = tmp_path / "there"
    assert run("push", store.root, url) == run("pull", url, there) == 0
    finish(Store(there), LORA, "answers/formats-2.parquet")
    assert run("push", there, url) == 0
    assert run("push", store.root, url) == 0
    assert run("pull", url, store.root) == 0
    record = store.record(LORA.id)
    assert record is not None
    assert "answers/formats-2.parquet" in record.files
    assert states(store.root)[LORA.id] == ("sealed", 0)


def test_other_files_of_a_fit_replace_none(store: Store, url: str, tmp_path, capsys) -> None:
    assert run("push", store.root, url) == 0
    other = Store(tmp_path / "other")
    place = other.begin(LORA)
    (place / "trace.parquet").write_text("another tuning")
    before = other.seal(FitRecord.of(LORA, "done"))
    other.write_manifest(Manifest((LORA.id,)))
    assert run("push", other.root, url) == run("pull", url, other.root) == 1
    said = capsys.readouterr().out
    assert f"{LORA.id}: not copied, {url} has other files of it" in said
    assert f"{LORA.id}: not copied, '{other.root}' has other files of it" in said
    assert other.record(LORA.id) == before


def test_a_damaged_fit_is_not_pushed(store: Store, url: str, tmp_path, capsys) -> None:
    (store.folder(LORA.id) / "trace.parquet").write_text("changed of lora")
    assert run("push", store.root, url) == 1
    assert f"{LORA.id}: not copied, trace.parquet" in capsys.readouterr().out
    assert run("pull", url, tmp_path / "there") == 0
    assert states(tmp_path / "there")[OURS.id] == ("sealed", 0)
    assert not (tmp_path / "there" / LORA.id).exists()


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_what_was_harmed_there_is_not_pulled(harm: str, store: Store, url: str, tmp_path, capsys) -> None:
    assert run("push", store.root, url) == 0
    files, path = fsspec.filesystem("memory"), f"/bucket/runs/{LORA.id}/adapter/adapter_model.safetensors"
    if harm == "gone":
        files.rm_file(path)
    else:
        content = files.cat_file(path)
        files.pipe_file(path, content[:-1] if harm == "cut" else b"X" + content[1:])
    assert run("pull", url, tmp_path / "there") == 1
    assert f"{LORA.id}: not copied, what is at the URL is not what was sealed: adapter/" in capsys.readouterr().out
    assert not (tmp_path / "there" / LORA.id / "record.json").exists()
    assert states(tmp_path / "there")[OURS.id] == ("sealed", 0)


def test_a_push_that_was_cut_off_leaves_nothing_that_a_pull_takes(store: Store, url: str, tmp_path) -> None:
    assert run("push", store.root, url) == 0
    fsspec.filesystem("memory").rm_file(f"/bucket/runs/{LORA.id}/record.json")
    assert run("pull", url, tmp_path / "there") == 0
    assert not (tmp_path / "there" / LORA.id).exists()


@pytest.mark.parametrize("name", ["../outside.parquet", "/tmp/outside", "adapter/../../outside", ".lock", "x.py"])
def test_a_record_that_names_files_elsewhere_is_refused(name: str, store: Store, url: str, tmp_path, capsys) -> None:
    from snibench.store.seals import with_seal

    assert run("push", store.root, url) == 0
    files, path = fsspec.filesystem("memory"), f"/bucket/runs/{LORA.id}/record.json"
    raw = json.loads(files.cat_file(path))
    raw.pop("seal")
    raw["files"][name] = {"sha256": "0" * 64, "size": 1}
    files.pipe_file(path, json.dumps(with_seal(raw)).encode())
    assert run("pull", url, tmp_path / "there") == 1
    assert "is no record of fit" in capsys.readouterr().out
    assert not (tmp_path / "there" / LORA.id).exists()


def test_a_fit_under_way_is_left_and_an_unfinished_one_replaced(store: Store, url: str, tmp_path, capsys) -> None:
    assert run("push", store.root, url) == 0
    there = Store(tmp_path / "there")
    for spec in (LORA, OURS):
        there.begin(spec)
        (there.folder(spec.id) / "checkpoint.safetensors").write_text("half")
    with held(there.folder(OURS.id)):
        assert run("pull", url, there.root) == 0
    assert f"{OURS.id}: not copied, another process works on it" in capsys.readouterr().out
    assert (there.folder(OURS.id) / "checkpoint.safetensors").exists()
    assert not (there.folder(LORA.id) / "checkpoint.safetensors").exists()
    assert states(there.root)[LORA.id] == ("sealed", 0)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("bucket/runs", "is no URL"),
        ("nosuch://bucket", "cannot be used"),
        ("memory://empty", "There is nothing at 'memory://empty'"),
    ],
)
def test_a_url_that_cannot_be_is_a_sentence(url: str, said: str, tmp_path, capsys) -> None:
    assert run("pull", url, tmp_path / "there") == 2
    assert said in capsys.readouterr().err


def test_results_are_written_into_a_folder_not_to_a_url() -> None:
    from snibench.base.errors import StoreError

    with pytest.raises(StoreError, match="is a URL, and results are written into a folder"):
        Store(Path("s3://bucket/runs")).prepare()


def test_the_same_holds_of_s3(store: Store, tmp_path, monkeypatch) -> None:
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        assert run("push", store.root, "s3://bucket/runs") == 0
        assert run("pull", "s3://bucket/runs", tmp_path / "there") == 0
        assert states(tmp_path / "there") == {LORA.id: ("sealed", 0), OURS.id: ("sealed", 0)}
        assert run("pull", "s3://nosuch/runs", tmp_path / "none") == 2
    finally:
        server.stop()
