"""Text for people: counted nouns, and texts of files and plugins that cannot steer a terminal."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 task``, ``1,204 tasks``, ``2 entries``."""
    plural = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def terminal_safe(text: str, keep: str = "") -> str:
    """``text`` with " " for what is blank and "�" for what a terminal might obey, but for the characters of ``keep``.

    Escape sequences, bidirectional overrides and lone surrogates become "�": the text may come from anybody.
    """
    return "".join(c if c.isprintable() or c in keep else " " if c.isspace() else "�" for c in text)
