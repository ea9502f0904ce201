"""Normalisation and digests that data, formats, metrics and store share."""

import hashlib
import json
import re
import string
from pathlib import Path
from typing import Any

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NON_WORD = re.compile(r"\W+")


def normalise_answer(text: str) -> str:
    """``text`` as the official exact match compares it.

    Lower case, every character of ``string.punctuation`` dropped, white space collapsed. Articles stay.

    Source:
        yizhongw/Tk-Instruct, src/compute_metrics.py, ``normalize_answer``.
    """
    return " ".join(text.lower().translate(_PUNCTUATION).split())


def normalise_input(text: str) -> str:
    """``text`` as leakage checks compare it: lower case, every non-word run one blank, stripped."""
    return _NON_WORD.sub(" ", text.lower()).strip()


def canonical_json(value: Any) -> str:
    """The one JSON text of ``value``: sorted keys, no blanks, no NaN.

    Raises:
        ValueError: If a float is not finite.
        TypeError: If something in ``value`` is not JSON.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of ``canonical_json(value)``, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def derive_seed(*parts: str | int) -> int:
    """A seed in [0, 2**63) for one purpose, from the run's seed and what the numbers are for.

    Parts are joined unambiguously, so that ("a", 1) and ("a1",) differ.
    """
    return int(digest(list(parts))[:16], 16) >> 1
