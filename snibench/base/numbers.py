"""Numbers from texts: whole ones that every part of a run can hold, and finite ones."""

from __future__ import annotations

import math

MOST = 2**31 - 1  # what tables, tensors and random generators take alike
_LONGEST = 40  # characters of a value that a sentence repeats


def whole_number(text: str, least: int = 0, most: int = MOST) -> int:
    """The whole number that ``text`` is, in plain digits.

    Raises:
        ValueError: If it is none, or not from ``least`` to ``most``; says so.
    """
    plain = text.strip()
    digits = plain.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"'{shown(text)}' is no whole number")
    # A text of many digits is not read at all: the cost grows with the square of its length.
    number = int(plain) if len(digits) <= len(str(MOST)) else MOST + 1
    if not least <= number <= most:
        raise ValueError(f"'{shown(plain)}' is not from {least:,} to {most:,}")
    return number


def finite_number(text: str) -> float:
    """The number that ``text`` is.

    Raises:
        ValueError: If it is none, or infinite; says so.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"'{shown(text)}' is no finite number")
    return number


def shown(text: str) -> str:
    """``text``, cut where it is long."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
