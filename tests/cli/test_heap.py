"""The heap that a run gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snibench.cli.heap import TUNABLES, on_glibc

pytestmark = pytest.mark.skipif(not on_glibc(), reason="another C library")


def starts(tmp_path: Path, *command: str, **environment: str) -> list[str]:
    """What the tunables were, each time that Python started for ``snibench COMMAND``."""
    seen = tmp_path / "seen"
    write = f"import os; print(os.environ.get('GLIBC_TUNABLES', 'unset'), file=open({str(seen)!r}, 'a'))\n"
    (tmp_path / "sitecustomize.py").write_text(write, "utf-8")
    clean = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    clean |= {"PYTHONPATH": str(tmp_path), **environment}
    done = subprocess.run([sys.executable, "-m", "snibench", *command], env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    return seen.read_text("utf-8").splitlines()


def test_a_run_starts_again_with_the_compact_heap(tmp_path: Path) -> None:
    assert starts(tmp_path, "run", "--help") == ["unset", TUNABLES]


def test_other_commands_do_not(tmp_path: Path) -> None:
    assert starts(tmp_path, "report", "--help") == ["unset"]


@pytest.mark.parametrize("own", ["", "glibc.malloc.arena_max=2"])
def test_whoever_sets_the_tunables_decides(tmp_path: Path, own: str) -> None:
    assert starts(tmp_path, "run", "--help", GLIBC_TUNABLES=own) == [own]
