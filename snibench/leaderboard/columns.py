"""Titles and layouts of a board's measures: as their protocol describes them, or plainly by their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from snibench.base.errors import SnibenchError
from snibench.base.registry import PROTOCOLS
from snibench.report.cells import printable
from snibench.report.layouts import METHOD, summary_columns
from snibench.report.values import QUESTIONS, Column

if TYPE_CHECKING:
    from snibench.base.types import Frame
    from snibench.leaderboard.pool import Board

Key = tuple[str, str]  # protocol, measure


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures of a board. ``summary`` stand in its tables; ``headline`` is the one that boards are sorted by.

    ``overall``: every measure over all; ``by``: of groups, by protocol, key and measure. ``titles`` of keys.
    """

    summary: dict[Key, Column]
    headline: Key | None
    overall: dict[Key, Column]
    by: dict[tuple[str, str, str], Column]
    titles: dict[str, str]


def compared_on(board: Board) -> dict[str, str]:
    """The questions on which the entries of ``board`` are compared, the usual ones first, and what each is on."""
    usual = {name: on for name, on in QUESTIONS.items() if name in board["comparisons"]}
    further = sorted(set(board["comparisons"]) - set(usual))
    return usual | {name: _verdict_on(name) for name in further}


def _verdict_on(protocol: str) -> str:
    try:
        return str(PROTOCOLS.entry(protocol).load().verdict_on) or printable(protocol)
    except SnibenchError:
        return printable(protocol)


def board_measures(board: Board) -> Measures:
    """Measures of ``board``, described by the protocols that are installed; others have plain columns."""
    summary: dict[Key, Column] = {}
    overall: dict[Key, Column] = {}
    by: dict[tuple[str, str, str], Column] = {}
    titles: dict[str, str] = {}
    headlines: list[Key] = []
    for protocol in board["protocols"]:
        frames = _frames(protocol)
        for frame in frames:
            summary |= {(protocol, field): column for field, column in summary_columns(frame).items()}
            headlines += [(protocol, frame.headline)] if frame.headline in frame.summary else []
            keys = [key for key in frame.keys if key.field != METHOD.field and not key.about]
            titles |= {key.field: key.title for key in keys}
            group = ", ".join(key.field for key in keys)
            for column in frame.columns:
                if group:
                    by.setdefault((protocol, group, column.field), column)
                else:
                    overall.setdefault((protocol, column.field), column)
        if not frames:
            plain = {(protocol, name): _plain(name) for name in _names(board, protocol)}
            summary |= plain
            overall |= plain
    return Measures(summary, headlines[0] if headlines else None, overall, by, titles)


def _frames(protocol: str) -> list[Frame]:
    """The frames of an installed protocol; the name comes from anybody, so that no file is loaded."""
    if protocol not in PROTOCOLS.names():
        return []
    try:
        return list(PROTOCOLS.entry(protocol).load().frames.values())
    except SnibenchError:
        return []


def _names(board: Board, protocol: str) -> list[str]:
    measures = [entry["metrics"].get(protocol, {"overall": {}})["overall"] for entry in board["entries"]]
    return list(dict.fromkeys(name for one in measures for name in one))


def _plain(name: str) -> Column:
    return Column(name, name.replace("_", " ").capitalize(), "percent", low=f"{name}_low", high=f"{name}_high")
