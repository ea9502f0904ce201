"""Files of JSON lines, one object each, whose faults are named by file, line and field."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from snibench.base import reading
from snibench.base.errors import DataError
from snibench.data.task_faults import LONGEST_TEXT

LARGEST_FILE = 1 << 30  # bytes, also of what a gzip file holds


@dataclass(frozen=True, slots=True)
class Line:
    """One object of a JSON-lines file, with the place to name in errors."""

    where: str
    values: Mapping[str, Any]

    def text(self, *path: str, optional: bool = False) -> str:
        """The text at ``path``; empty where it is ``optional`` and missing."""
        value = self._value(path)
        if optional and value is None:
            return ""
        if not isinstance(value, str):
            raise self._error(path, value, "a text")
        return self._short(path, value)

    def texts(self, *path: str) -> tuple[str, ...]:
        """The texts at ``path``, at least one."""
        value = self._value(path)
        if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
            raise self._error(path, value, "a list of at least one text")
        return tuple(self._short(path, text) for text in value)

    def _short(self, path: tuple[str, ...], text: str) -> str:
        if len(text) > LONGEST_TEXT:
            raise DataError(
                f"{self.where}: '{'.'.join(path)}' has {len(text):,} characters, and at most {LONGEST_TEXT:,} are read."
                " Shorten it."
            )
        return text

    def _value(self, path: tuple[str, ...]) -> Any:
        value: Any = self.values
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _error(self, path: tuple[str, ...], value: Any, expected: str) -> DataError:
        found = "is missing" if value is None else "is something else"
        return DataError(f"{self.where}: '{'.'.join(path)}' must be {expected}, but {found}. Correct that line.")


# The first bytes of compressed files that are not read.
_PACKED = {b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def _unpacked(path: Path) -> bytes:
    """The bytes of ``path``, of a gzip file those inside."""
    content = reading.read_bytes(path, LARGEST_FILE)
    for start, name in _PACKED.items():
        if content.startswith(start):
            raise DataError(f"{path} is compressed ({name}). Unpack it first; of compressed files only .gz is read.")
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        with gzip.open(BytesIO(content)) as file:
            unpacked = file.read(LARGEST_FILE + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path} is a gzip file that is cut off or damaged. Fetch or write it again.") from None
    if len(unpacked) > LARGEST_FILE:
        raise reading.Unreadable(f"unpacks to more than {LARGEST_FILE // 2**20:,} MiB")
    return unpacked


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no JSON object. ``message`` completes "FILE, line N ..."."""

    where: str
    message: str


def read_lines(path: Path) -> Iterator[Line]:
    """The objects of the file ``path``, plain or gzip; empty lines are passed over.

    Raises:
        DataError: If the file cannot be read, or a line is no JSON object; names file and line.
    """
    for line in every_line(path):
        if isinstance(line, BadLine):
            raise DataError(f"{line.where} {line.message}")
        yield line


def every_line(path: Path) -> Iterator[Line | BadLine]:
    """As ``read_lines``, and the lines that are no JSON objects.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        content = reading.decoded(_unpacked(path))
    except reading.Unreadable as error:
        raise DataError(f"{path} {error}. Check the path, or write the file again in UTF-8.") from None
    for number, text in enumerate(content.split("\n"), start=1):  # splitlines() would also cut at U+2028
        if not text.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = reading.json_value(text)
        except reading.NotJson as error:
            fault = f"is not JSON: column {error.column}: {error}" if error.line else error
            yield BadLine(where, f"{fault}. Write one flat object a line.")
        else:
            is_object = isinstance(values, dict)
            yield Line(where, values) if is_object else BadLine(where, "is not a JSON object. Write one object a line.")
