from __future__ import annotations

import pytest

from snibench.base.errors import first_line
from snibench.base.wording import counted, terminal_safe


def test_a_count_has_its_noun_in_the_right_number() -> None:
    assert [counted(n, "task") for n in (0, 1, 1204)] == ["0 tasks", "1 task", "1,204 tasks"]
    assert [counted(n, "entry") for n in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\u00e9 \U0001f600", "caf\u00e9 \U0001f600"),
        ("\x1b[2J", "\ufffd[2J"),
        ("a\tb\nc\u2028d", "a b c d"),
        ("\u202eevil", "\ufffdevil"),
        ("\udce9", "\ufffd"),
    ],
)
def test_no_text_can_steer_a_terminal(text: str, shown: str) -> None:
    assert terminal_safe(text) == shown


def test_what_is_to_be_kept_is_kept() -> None:
    assert terminal_safe("a\nb\rc", keep="\n") == "a\nb c"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n one \ntwo"), "one"),
        (ValueError("it failed:\nno room"), "it failed: no room"),
        (ValueError(), "ValueError"),
        (Mute(), "Mute"),
        (ValueError("\udce9"), "\\udce9"),
    ],
)
def test_an_error_is_said_on_one_line_whatever_it_is(error: Exception, line: str) -> None:
    assert first_line(error) == line
