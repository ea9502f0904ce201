"""Measures of the protocols on the rows, and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from snibench.base.codec import from_json
from snibench.base.errors import SnibenchError, first_line
from snibench.base.registry import PROTOCOLS
from snibench.report.layouts import laid_out, plain_frame
from snibench.report.values import Frame, Table

if TYPE_CHECKING:
    from snibench.contracts import Protocol
    from snibench.store import StoredRun


@dataclass(frozen=True)
class Measured:
    """The frames of one protocol, and how it describes them."""

    protocol: str
    title: str
    frames: Mapping[str, pd.DataFrame]
    layouts: Mapping[str, Frame]


def measured(results: StoredRun) -> tuple[tuple[Measured, ...], tuple[str, ...]]:
    """The frames of every protocol that was asked, and a sentence for each protocol that cannot be shown."""
    measures: list[Measured] = []
    faults = []
    names = results.answers["protocol"]
    asked_in_order = [*results.manifest.protocol_versions, *sorted(map(str, names.unique()))]
    for name in (one for one in dict.fromkeys(asked_in_order) if one in set(names)):
        try:
            protocol = as_planned(name, results)
        except SnibenchError as error:
            faults.append(f"Answers to protocol '{name}' are not shown. {error}")
            continue
        try:
            frames = protocol.measure(results.asked_by(name), results.tasks)
            if not isinstance(frames, Mapping):
                raise TypeError(f"measure returned {type(frames).__name__}, no frames by name")
        except Exception as error:  # of anybody's protocol: the others are shown all the same
            faults.append(f"Tables of protocol '{name}' are not shown: {type(error).__name__}: {first_line(error)}.")
            continue
        if why := _verdict_fault(protocol, results.asked_by(name)):
            faults.append(f"Protocol '{name}' has no verdict: {why}.")
        measures.append(Measured(name, protocol.title or f"Protocol {name}", frames, protocol.frames))
    return tuple(measures), tuple(faults)


def _verdict_fault(protocol: Protocol, answers: pd.DataFrame) -> str:
    """Why a protocol that promises a verdict has none; empty if it has one, or promises none."""
    try:
        if protocol.verdict_on:
            compared_rows(protocol, answers)
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {first_line(error)}"


def compared_rows(protocol: Protocol, answers: pd.DataFrame) -> pd.DataFrame:
    """The ``answers`` that count for a protocol's verdict, with what is compared as their ``score``.

    Raises:
        Exception: Whatever the protocol raises, or where it gives no number for each answer.
    """
    values = protocol.compared(answers)
    if not values.index.equals(answers.index):
        raise ValueError("compared gives no value for each answer")
    return answers.assign(score=values.astype(float)).dropna(subset=["score"])


def as_planned(name: str, results: StoredRun) -> Protocol:
    """The protocol with the settings that planned the run, its defaults where the run did not note them."""
    protocol_type = PROTOCOLS.get(name)
    noted = results.manifest.protocol_settings.get(name, {})
    settings = from_json(protocol_type.Settings, noted, results.folder / "manifest.json", remedy="Repeat the run.")
    protocol: Protocol = protocol_type(settings)
    return protocol


def protocol_tables(measures: Sequence[Measured]) -> list[Table]:
    """One table for each frame that has rows, in the order of ``Protocol.frames``; undescribed frames last."""
    return [
        laid_out(
            name,
            own.frames[name],
            own.layouts.get(name) or plain_frame(own.protocol, name, own.frames[name]),
            own.protocol,
            own.title,
        )
        for own in measures
        for name in dict.fromkeys((*own.layouts, *own.frames))
        if name in own.frames and len(own.frames[name])
    ]


def against(table: Table, baseline: str) -> Table:
    """``table`` with the differences from the baseline alone, if it has those of all pairs."""
    if "versus" not in table.frame or not baseline:
        return table
    return replace(table, frame=table.frame[table.frame["versus"] == baseline].reset_index(drop=True))
