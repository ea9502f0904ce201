"""Fetching from real servers on this machine: HTTP and git, broken off in the middle and gone on with."""

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from official import load_tasks

from snibench.base.errors import DataError, UsageError
from snibench.data.checks import check_folder
from snibench.data.fetching import RECEIPT, changed_files, fetch
from snibench.data.fetching.order import Order

WriteTask, WriteLists = Callable[..., Path], Callable[..., Path]


@pytest.fixture
def official(tmp_path: Path, write_task: WriteTask, write_lists: WriteLists) -> Path:
    """A data set in the official layout: 60 train tasks, 2 test tasks, 1 excluded."""
    train = [f"task{number:03}_train" for number in range(60)]
    for name in (*train, "task900_test", "task901_test", "task999_excluded"):
        write_task(name)
    write_lists(train, ["task900_test", "task901_test"], ["task999_excluded"])
    (tmp_path / "LICENSE").write_text("Apache")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/code.py").write_text("print('not data')")
    return tmp_path


def archive_of(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("LICENSE", "splits", "src", "tasks"):
            archive.add(folder / name, f"natural-instructions-abc/{name}")
    return packed.getvalue()


class Served(BaseHTTPRequestHandler):
    """Serves one body with ranges; the first ``breaks`` answers end early."""

    body = b""
    breaks = 0
    tag = '"one"'
    asked: list[str | None] = []  # noqa: RUF012 (a fresh class for each test)

    def do_GET(self) -> None:
        kind = type(self)
        wanted = self.headers.get("Range")
        kind.asked.append(wanted)
        start = 0
        if wanted and self.headers.get("If-Range") == kind.tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(kind.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(kind.body)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", kind.tag)
        self.send_header("Content-Length", str(len(kind.body) - start))
        self.end_headers()
        rest = kind.body[start:]
        if kind.breaks > 0:
            kind.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(official: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Served]]]:
    """(address of the archive, its handler)."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    kind = type("Handler", (Served,), {"body": archive_of(official), "asked": []})
    web = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}/natural-instructions.tar.gz", kind
    web.shutdown()
    web.server_close()


def equal_to_official(folder: Path, official: Path) -> bool:
    names = sorted(path.stem for path in (folder / "tasks").glob("*.json"))
    return "task999_excluded" not in names and load_tasks(folder) == load_tasks(official, names) and len(names) == 62


# ----------------------------------------------------------------------------------------- HTTP


def test_an_archive_becomes_a_folder_that_loads_with_the_tasks_of_the_track_alone(
    server: tuple[str, type[Served]], official: Path, tmp_path: Path
) -> None:
    receipt = fetch(Order(server[0]), tmp_path / "data")
    assert equal_to_official(tmp_path / "data", official)
    assert not (tmp_path / "data/src").exists()
    assert sorted(receipt.files) == sorted(json.loads((tmp_path / "data" / RECEIPT).read_text())["files"])
    assert not list(tmp_path.glob(".data*"))
    assert {finding.severity for finding in check_folder(tmp_path / "data", partial=True)} == {"warning"}


def test_a_connection_that_breaks_off_is_taken_up_where_it_ended(
    server: tuple[str, type[Served]], official: Path, tmp_path: Path
) -> None:
    address, kind = server
    kind.breaks = 2
    fetch(Order(address), tmp_path / "data")
    size = len(kind.body)
    assert kind.asked == [None, f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]
    assert equal_to_official(tmp_path / "data", official)


def test_a_fetch_that_gave_up_goes_on_with_the_same_call(
    server: tuple[str, type[Served]], official: Path, tmp_path: Path
) -> None:
    address, kind = server
    kind.breaks = 4
    with pytest.raises(DataError, match=r"broke off after .* bytes .*goes on from there"):
        fetch(Order(address), tmp_path / "data")
    assert not (tmp_path / "data").exists()
    fetch(Order(address), tmp_path / "data")
    assert kind.asked[-1] is not None
    assert equal_to_official(tmp_path / "data", official)


def test_a_file_that_changed_on_the_server_is_taken_anew(
    server: tuple[str, type[Served]], official: Path, tmp_path: Path
) -> None:
    address, kind = server
    kind.breaks = 4
    with pytest.raises(DataError):
        fetch(Order(address), tmp_path / "data")
    kind.tag, kind.body = '"two"', archive_of(official)
    fetch(Order(address), tmp_path / "data")
    assert equal_to_official(tmp_path / "data", official)


def test_another_digest_than_the_one_asked_for_unpacks_nothing(
    server: tuple[str, type[Served]], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="SHA-256"):
        fetch(Order(server[0], sha256="0" * 64), tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "name", ["root/tasks/../../outside.json", "/tmp/outside.json", "root/splits/../../outside.txt"]
)
def test_an_archive_cannot_write_outside_its_folder(
    server: tuple[str, type[Served]], official: Path, tmp_path: Path, name: str
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for part in ("splits", "tasks"):
            archive.add(official / part, f"root/{part}")
        evil = tarfile.TarInfo(name)
        evil.size = 2
        archive.addfile(evil, io.BytesIO(b"{}"))
    server[1].body = packed.getvalue()
    try:
        fetch(Order(server[0], track="all"), tmp_path / "data")
        left_out = True
    except DataError:
        left_out = False
    assert left_out == name.endswith(".json")  # no task's path, or a list's that leads outside
    assert not list(tmp_path.rglob("outside.*"))
    assert not Path("/tmp/outside.json").exists()


def test_what_is_no_archive_is_refused_in_a_sentence(server: tuple[str, type[Served]], tmp_path: Path) -> None:
    server[1].body = b"<html>not found</html>"
    with pytest.raises(DataError, match="is not an archive of the data set"):
        fetch(Order(server[0]), tmp_path / "data")


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        fetch(Order("http://127.0.0.1:9/x.tar.gz"), tmp_path / "data")


def test_a_file_changed_after_the_fetch_is_found_by_check(server: tuple[str, type[Served]], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    fetch(Order(server[0]), folder)
    assert changed_files(folder) == []
    victim = folder / "tasks/task900_test.json"
    victim.write_text(victim.read_text().replace("input 7", "input seven"))
    (folder / "tasks/task901_test.json").unlink()
    found = [finding for finding in check_folder(folder, partial=True) if "fetch" in finding.message]
    assert [(finding.severity, finding.file) for finding in found] == [
        ("error", "tasks/task900_test.json"),
        ("error", "tasks/task901_test.json"),
    ]


# ------------------------------------------------------------------------------------------ git

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def git_server(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A git daemon on this machine that serves ``official`` and allows partial clones."""
    base = tmp_path_factory.mktemp("served")
    work, bare = base / "work", base / "sni.git"
    shutil.copytree(official, work)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = clean | {f"GIT_{role}_{part}": "test@test" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], check=True, capture_output=True, env=who)

    git("init", "--quiet", str(work))
    git("-C", str(work), "add", ".")
    git("-C", str(work), "commit", "--quiet", "-m", "data")
    git("clone", "--quiet", "--bare", str(work), str(bare))
    git("-C", str(bare), "config", "uploadpack.allowFilter", "true")
    git("-C", str(bare), "config", "uploadpack.allowAnySHA1InWant", "true")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    daemon = subprocess.Popen(
        ["git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={port}", f"--base-path={base}", str(base)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean,
        start_new_session=True,
    )
    try:
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"git://127.0.0.1:{port}/sni.git"
    finally:
        os.killpg(daemon.pid, 15)
        daemon.wait()


@needs_git
def test_a_repository_gives_the_files_of_the_track_and_names_its_commit(
    git_server: str, official: Path, tmp_path: Path
) -> None:
    receipt = fetch(Order(git_server), tmp_path / "data")
    assert equal_to_official(tmp_path / "data", official)
    assert len(receipt.revision) == 40
    assert not (tmp_path / "data/src").exists()


@needs_git
def test_a_fetch_stopped_between_two_batches_asks_only_for_the_rest(
    git_server: str, official: Path, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        fetch(Order(git_server), tmp_path / "data", stop)
    here = sorted((tmp_path / ".data.fetching/tree/tasks").glob("*.json"))
    assert 0 < len(here) < 62
    # A file that a kill left half written is not taken for whole.
    here[0].write_text("{")
    seen: list[tuple[int, int]] = []
    fetch(Order(git_server), tmp_path / "data", lambda what, done, total: seen.append((done, total)))
    others = 4  # three lists and the licence
    assert seen[0] == (len(here) - 1 + others, 62 + others)
    assert equal_to_official(tmp_path / "data", official)


@needs_git
def test_a_server_that_goes_away_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"git cannot fetch from .*goes on from there"):
        fetch(Order("git://127.0.0.1:9/none.git"), tmp_path / "data")
    assert not (tmp_path / "data").exists()


# ------------------------------------------------------------------------------- mirrors of the hub

needs_datasets = pytest.mark.skipif(find_spec("datasets") is None, reason="needs snibench[train]")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A mirror as the hub has it: JSON lines below train/ and test/, one row per reference."""
    home = tmp_path / "mirror"
    for split, task in (("train", "task001_a"), ("train", "task002_b"), ("test", "task003_c")):
        rows = [
            {
                "task_name": task,
                "id": f"{task}-{number}",
                "definition": f"Say what {task} says.",
                "inputs": f"input {number}",
                "targets": target,
                "pos_0_input": "good",
                "pos_0_output": "yes",
                "pos_0_explanation": "because",
                "neg_0_input": "odd",
                "neg_0_output": "maybe",
                "neg_0_explanation": "",
            }
            for number in range(30)
            for target in (["yes", "yeah"] if number == 3 else ["no" if number % 2 else "yes"])
        ]
        (home / split).mkdir(parents=True, exist_ok=True)
        (home / split / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return home


@needs_datasets
def test_a_flattened_mirror_is_put_back_into_the_official_layout(mirror: Path, tmp_path: Path) -> None:
    table = tmp_path / "TASKS.tsv"
    table.write_text("task\tcategory\tdomain\tsource\ntask001_a\tSentiment Analysis\tNews\tsst\n")
    receipt = fetch(Order(f"hub:{mirror}", table=table), tmp_path / "data")
    tasks = load_tasks(tmp_path / "data")
    assert list(tasks) == ["task001_a", "task002_b", "task003_c"]
    one = tasks["task001_a"]
    assert len(one.instances) == 30
    assert one.instances[3].outputs == ("yes", "yeah")
    assert (one.card.category, one.card.sources, one.card.domains) == ("Sentiment Analysis", ("sst",), ("News",))
    assert one.card.positive[0].explanation == "because"
    assert tasks["task003_c"].card.category == "Unknown"
    assert (tmp_path / "data/splits/default/test_tasks.txt").read_text() == "task003_c\n"
    assert "2 tasks have no category" in receipt.notes[0]


@needs_datasets
def test_a_mirror_without_the_columns_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "mirror"
    home.mkdir()
    (home / "train.jsonl").write_text('{"prompt": "a", "response": "b"}\n')
    with pytest.raises(DataError, match="has no column 'task_name'"):
        fetch(Order(f"hub:{home}"), tmp_path / "data")


@pytest.mark.parametrize("place", ["checksum", "middle", "end"])
def test_an_archive_that_was_damaged_and_then_mended_on_the_server_is_fetched_anew(server, tmp_path, place) -> None:
    url, handler = server
    whole = handler.body
    cuts = {
        "checksum": whole[:-8] + bytes(4) + whole[-4:],
        "middle": whole[: len(whole) // 2] + bytes(64) + whole[len(whole) // 2 + 64 :],
        "end": whole[: len(whole) // 2],
    }
    handler.body = cuts[place]
    with pytest.raises(DataError, match="fetches it anew"):
        fetch(Order(url), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    handler.body = whole
    receipt = fetch(Order(url), tmp_path / "out")
    assert "tasks/task900_test.json" in receipt.files


def test_a_receipt_that_names_a_file_elsewhere_is_refused(tmp_path) -> None:
    for name in ("../secret", "/etc/passwd", "n" * 5000):
        (tmp_path / RECEIPT).write_text(json.dumps({"files": {name: "0"}}), encoding="utf-8")
        assert len(changed_files(tmp_path)) == 1
    for text in ('{"files": []}', "[" * 100_000, "{"):
        (tmp_path / RECEIPT).write_text(text, encoding="utf-8")
        assert "is not the receipt" in changed_files(tmp_path)[0][1]
