"""What a report is made of: tidy frames of fractions, and how a person should see their columns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snibench.base.types import METHOD, Column, Frame, Unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METHOD", "Column", "Frame", "Report", "Table", "Unit", "rows_digest"]


@dataclass(frozen=True)
class Table:
    """A tidy frame with one row per value of ``keys``, and the columns to show.

    ``across`` names a key whose values become columns where the table is drawn, of the first of ``columns`` alone;
    exports stay tidy and complete. ``protocol`` is empty for what belongs to no single protocol,
    ``section`` the heading above all tables of a protocol. A table with
    ``detail`` is too long to read and stands in CSV and JSON alone.
    """

    name: str
    title: str
    frame: pd.DataFrame
    keys: tuple[Column, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    protocol: str = ""
    section: str = ""
    across: str = ""
    detail: bool = False


@dataclass(frozen=True)
class Report:
    """Everything that tables, exports and leaderboards show, made of stored rows alone.

    ``rows_digest`` is over the answers that were read. ``baseline`` is empty where there is none.
    """

    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    failed: pd.DataFrame
    baseline: str
    rows_digest: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[Table, ...]:
        """The tables to read."""
        return tuple(table for table in self.tables if not table.detail)

    def table(self, name: str) -> Table:
        """The table called ``name``.

        Raises:
            KeyError: If there is none.
        """
        return {table.name: table for table in self.tables}[name]


def rows_digest(answers: pd.DataFrame) -> str:
    """A digest over what was asked and how it was scored, whatever the order of the rows; 64 hexadecimal digits.

    SHA-256 over the sorted 64-bit hashes of the rows: tells runs apart, and is no proof against forgery.
    """
    from pandas.util import hash_pandas_object

    columns = ["fit", "protocol", "variant", "format", "task", "split", "instance", "stream", "position", "score"]
    hashes = hash_pandas_object(answers[columns], index=False).sort_values().to_numpy(dtype="<u8")
    return hashlib.sha256(hashes.tobytes()).hexdigest()
