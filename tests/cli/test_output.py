"""Standard output that takes nothing, breaks off, or is a terminal that obeys."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snibench.cli import main
from snibench.cli.output import show_text

COMMAND = [sys.executable, "-m", "snibench"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [["ls", "methods"], ["ls", "methods", "--json"], ["--help"], ["report", "--explain"]]
)
def test_an_output_that_takes_nothing_is_a_sentence(arguments: list[str]) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "Error: The output cannot be written (No space left on device). Send it elsewhere.\n"


def test_a_reader_that_has_read_enough_is_no_fault_to_speak_of() -> None:
    out, into = os.pipe()
    os.close(out)
    ended = subprocess.run([*COMMAND, "ls", "methods"], stdout=into, stderr=subprocess.PIPE, text=True, check=False)
    os.close(into)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_terminal_without_a_character_gets_an_escape() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = subprocess.run(
        [*COMMAND, "ls", "n\N{GREEK SMALL LETTER ALPHA}"], capture_output=True, env=environment, check=False
    )
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_not_shown_what_it_might_obey(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a,\x1b]0;title\x07,\x9b31m\n\tb\n"
    shown = {}
    for stream in (Terminal, io.StringIO):
        monkeypatch.setattr(sys, "stdout", stream())
        show_text(text)
        shown[stream] = sys.stdout.getvalue()
    assert shown[io.StringIO] == text
    assert shown[Terminal] == "a,�]0;title�,�31m\n\tb\n"


@pytest.mark.parametrize(
    "arguments",
    [["report", "n" * 300], ["run", "-m", "ours", "--model", "n" * 300], ["leaderboard", "export", "n" * 300]],
)
def test_a_name_that_is_too_long_is_a_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("Error: ")
    assert error.count("\n") == 1


def test_an_error_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ls", "\x1b[31mred"])
    assert "\x1b" not in capsys.readouterr().err
