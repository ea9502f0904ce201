"""Layout of a protocol's frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

FigureId = Literal["gap", "categories", "formats", "combos", "combo-streams"]
Unit = Literal["text", "percent", "share", "difference", "points", "number", "count", "p", "seconds", "bytes"]


@dataclass(frozen=True, slots=True)
class Column:
    """Layout of one column of a frame.

    ``percent``, ``share``, ``difference`` and ``points`` take fractions; a share is shown without decimals, a
    difference in points with its sign. ``low`` and ``high`` name the fields with the ends of the interval, ``n``
    the one with the number of units behind the value, ``mark`` a boolean one that puts a star behind it. The fields
    in ``also`` follow behind a slash. A key with ``about`` describes its row but does not tell it from others.
    ``description`` says what the number is, where the title is too short for that.

    Leaderboards take the columns of fractions that name their ``n``.
    """

    field: str
    title: str
    unit: Unit = "text"
    better: Literal["higher", "lower", ""] = ""
    low: str = ""
    high: str = ""
    n: str = ""
    mark: str = ""
    also: tuple[str, ...] = ()
    about: bool = False
    description: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field of the frame that the column shows or leans on."""
        return tuple(name for name in (self.field, self.low, self.high, self.n, self.mark, *self.also) if name)


METHOD = Column("method", "Method", description="the method, as -m takes it")


@dataclass(frozen=True, slots=True)
class Frame:
    """Layout of one frame of a protocol: the columns that name a row, and the columns with its numbers.

    ``across`` names a key whose values become columns where the table is drawn, of the first of ``columns`` alone. A
    frame with ``detail`` is too long to read and stands in CSV and JSON alone. ``summary``: the fields of a frame with
    one row per method that stand in the summary, and their headings there; ``headline`` is the one that boards are
    sorted by, and that stands on a report's one screen; ``summary_note`` explains them. A column whose field a frame
    has not is left out.

    ``figure``: the figure that is drawn of the frame; it takes the fields of the built-in frame that names the same.
    """

    title: str
    keys: tuple[Column, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    across: str = ""
    detail: bool = False
    summary: Mapping[str, str] = field(default_factory=dict)
    headline: str = ""
    summary_note: str = ""
    figure: FigureId | Literal[""] = ""


def described(frames: Mapping[str, Frame], meanings: Mapping[str, str]) -> dict[str, Frame]:
    """``frames`` whose columns have a description: that of ``FRAME.FIELD`` in ``meanings``, or of ``FIELD``."""

    def column(frame: str, one: Column) -> Column:
        known = meanings.get(f"{frame}.{one.field}", meanings.get(one.field, one.description))
        return replace(one, description=known)

    return {
        name: replace(
            frame,
            keys=tuple(column(name, one) for one in frame.keys),
            columns=tuple(column(name, one) for one in frame.columns),
        )
        for name, frame in frames.items()
    }
