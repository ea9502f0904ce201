"""Locks: for whom a process waits, what is said where a file system has none, and temporary folders of the killed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from snibench.base.errors import StoreError
from snibench.store import Store, leftovers, locks, write_json
from snibench.store.locks import HOLDER, held, is_free

HOLDING = """
import sys
from pathlib import Path
from snibench.store.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock of a folder until its input ends."""
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "fit")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def wait(folder: Path, process: subprocess.Popen[str]) -> list[str]:
    """Sentences of a wait that ends as soon as something is said."""
    said: list[str] = []
    assert process.stdin is not None

    def hear(sentence: str) -> None:
        said.append(sentence)
        process.stdin.close()  # type: ignore[union-attr]  # it is a pipe

    with held(folder, hear):
        pass
    return said


def test_a_process_that_waits_says_for_whom_and_since_when(holder, tmp_path) -> None:
    assert not is_free(tmp_path / "fit")
    (said,) = wait(tmp_path / "fit", holder)
    assert said.startswith(f"waiting for process {holder.pid} on ")
    assert " (-c " in said
    assert "since 2" in said
    assert is_free(tmp_path / "fit")


def test_a_killed_process_holds_nothing(holder, tmp_path) -> None:
    holder.kill()
    holder.wait()
    with held(tmp_path / "fit", pytest.fail):
        assert json.loads((tmp_path / "fit" / HOLDER).read_text("utf-8"))["pid"] == os.getpid()
    assert not (tmp_path / "fit" / HOLDER).exists()


def test_who_holds_it_is_text_of_a_file_and_cannot_command_a_terminal(holder, tmp_path) -> None:
    word = {"pid": 1, "host": "\x1b[31mred", "command": "x" * 9999, "since": "\n"}
    (tmp_path / "fit" / HOLDER).write_text(json.dumps(word), "utf-8")
    (said,) = wait(tmp_path / "fit", holder)
    assert said.isprintable()
    assert len(said) < 1000


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without flock, as some network ones are."""
    import filelock

    def refuse(self, *arguments, **named):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)


def test_without_flock_a_lock_that_another_host_left_is_explained(no_flock, tmp_path) -> None:
    soft = tmp_path / ".lock.soft"
    soft.write_text("4711\nelsewhere\n", "utf-8")
    (tmp_path / HOLDER).write_text(
        json.dumps({"pid": 4711, "host": "elsewhere", "command": "snibench run", "since": "2026-01-01T00:00:00"}),
        "utf-8",
    )
    said: list[str] = []

    def hear(sentence: str) -> None:
        said.append(sentence)
        soft.unlink()  # as the sentence advises

    with held(tmp_path, hear):
        pass
    assert said == [
        f"waiting for process 4711 on elsewhere (snibench run), which works in {tmp_path} since 2026-01-01T00:00:00. "
        f"This file system has no locks that end with their process: if that one has ended, delete {soft}."
    ]


def test_without_flock_one_at_a_time_holds_the_lock(no_flock, tmp_path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with held(tmp_path):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_a_folder_that_cannot_be_locked_is_a_sentence(tmp_path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StoreError, match=r"The folder '.*file' cannot be locked \(.*\)\. Make it writable"),
        held(tmp_path / "file"),
    ):
        pass


def test_the_next_run_removes_temporary_folders_of_killed_ones_and_of_nobody_else(tmp_path) -> None:
    fit = tmp_path / "fit"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with leftovers.temporary_folder(tmp_path) as mine:
        pattern = mine.name.replace(f".{os.getpid()}.", ".{}.")
        for folder in (fit, fit / "adapter"):
            (folder / pattern.format(dead.pid) / "deep").mkdir(parents=True)
        (fit / pattern.format(os.getpid())).mkdir()
        (fit / ".tmp.other-host.1.x").mkdir()
        with Store(tmp_path).locked("fit"):
            left = {path.name for path in fit.rglob(".tmp.*")}
    assert left == {pattern.format(os.getpid()), ".tmp.other-host.1.x"}
    os.utime(fit / ".tmp.other-host.1.x", (0, 0))
    with Store(tmp_path).locked("fit"):
        assert not (fit / ".tmp.other-host.1.x").exists()


def test_where_the_clock_was_set_back_nobody_elses_folder_is_removed(tmp_path) -> None:
    foreign = tmp_path / "fit" / ".tmp.other-host.1.x"
    foreign.mkdir(parents=True)
    os.utime(foreign, (4e9, 4e9))  # of a time that is to come
    with Store(tmp_path).locked("fit"):
        assert foreign.exists()


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file_and_a_folder_that_is_found(tmp_path) -> None:
    write_json(tmp_path / "it.json", {"old": True})
    script = (
        "import os, sys; from pathlib import Path; from snibench.store import write_whole\n"
        "write_whole(Path(sys.argv[1]), lambda new: (new.write_text('half'), os.kill(os.getpid(), 9)))"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "it.json")], check=False)
    assert json.loads((tmp_path / "it.json").read_text("utf-8")) == {"old": True}
    assert len(leftovers.abandoned(tmp_path)) == 1
    assert locks.is_free(tmp_path)
