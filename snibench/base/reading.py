"""Files that may come from anybody: read up to a size, and JSON without what only Python takes for JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20
# An escape of half a character: a pair of them is one, and a text with a lone one cannot be written in UTF-8.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_NAME = 80  # characters of a name that a sentence repeats


class Unreadable(Exception):
    """A file or text that cannot be taken; the message completes "FILE ..." and has no full stop."""


class NotJson(Unreadable):
    """A text that is no JSON value. ``line`` and ``column`` of the fault, 0 where it has no place."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.line, self.column = line, column


def read_bytes(path: Path, most: int) -> bytes:
    """The bytes of ``path``, whatever it is: of a device that never ends no more than ``most`` are read.

    Raises:
        Unreadable: If it cannot be opened or read, or is larger than ``most`` bytes.
    """
    parts, size = [], 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                parts.append(block)
                if (size := size + len(block)) > most:
                    raise Unreadable(f"is larger than {most // 2**20:,} MiB")
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a null character in its name
        raise Unreadable(f"cannot be read: {error}") from error
    return b"".join(parts)


def read_text(path: Path, most: int) -> str:
    """The UTF-8 text of ``path``, without a byte order mark; see ``read_bytes``.

    Raises:
        Unreadable: Also if it is not UTF-8; names the byte.
    """
    return decoded(read_bytes(path, most))


def decoded(content: bytes) -> str:
    """``content`` as UTF-8, without a byte order mark.

    Raises:
        Unreadable: If it is not UTF-8; names the byte.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 (byte {error.start})") from None


Pairs = Callable[[list[tuple[str, Any]]], Any]


def json_value(text: str, pairs: Pairs | None = None, *, finite: bool = False) -> Any:
    """The JSON value of ``text``; every text in it can be written as UTF-8.

    Args:
        text: To be read.
        pairs: Makes an object of its keys and values in their order; default: a dict, the last of equal keys.
        finite: Refuse NaN and infinities. They are no JSON, but Python writes them, and some official tasks hold one.

    Raises:
        NotJson: For anything else.
    """
    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=_refused_constant if finite else None)
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise NotJson(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise NotJson("is nested too deeply") from None
    except UnicodeEncodeError:
        raise NotJson("holds half a character (a lone \\ud800-\\udfff)") from None
    except ValueError:  # Python refuses to read longer ones, whose cost grows with the square
        raise NotJson("holds a whole number of more than 4,300 digits") from None
    return value


def read_json(path: Path, most: int, pairs: Pairs | None = None, *, finite: bool = False) -> Any:
    """The JSON value in ``path``; see ``read_bytes`` and ``json_value``.

    Raises:
        Unreadable: If there is none; the message names line and column.
    """
    text = read_text(path, most)
    try:
        return json_value(text, pairs, finite=finite)
    except NotJson as error:
        if error.line:
            raise NotJson(f"is not JSON: line {error.line}, column {error.column}: {error}") from None
        raise


def _refused_constant(name: str) -> Any:
    raise NotJson(f"holds {name}, which is no JSON number")


def quoted(text: str) -> str:
    """``text`` in quotes, cut where it is long: a name may be anything."""
    return repr(text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…")


def is_file(path: Path) -> bool:
    """Whether ``path`` is a file; a name that no file can have is none, where ``Path`` would raise."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder; a name that no folder can have is none, where ``Path`` would raise."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
