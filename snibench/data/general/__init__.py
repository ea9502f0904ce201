"""General English: short passages written for snibench and given to the public domain (CC0 1.0)."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from snibench.base.errors import SnibenchError

DIGEST = "2c6c0cc34f13810e5f3a229ec555c86fe73936b45d10d41400e62f6febd1e9ef"  # SHA-256 of passages.txt


def passages() -> tuple[str, ...]:
    """The passages, one a line of ``passages.txt``.

    Raises:
        SnibenchError: If the file is not the one that numbers of other runs come from.
    """
    content = (files("snibench.data.general") / "passages.txt").read_bytes()
    if hashlib.sha256(content).hexdigest() != DIGEST:
        raise SnibenchError(
            "passages.txt of snibench was changed, so forgetting cannot be compared. Reinstall snibench."
        )
    return tuple(content.decode().splitlines())
