"""Protocols describe every frame, and docs/protocols.md every column, in the protocol's own section."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from snibench.base.types import SuiteData
from snibench.contracts import Protocol
from snibench.protocols.combos import Combos
from snibench.protocols.formats import Formats
from snibench.protocols.gap import Gap

MANUAL = Path(__file__).parents[2] / "docs" / "protocols.md"
EVERYTHING = [
    Gap(dataclasses.replace(Gap.quick, modes=("split", "crossfit"), instances=2)),
    Formats(dataclasses.replace(Formats.quick, instances=2)),
    Combos(dataclasses.replace(Combos.quick, modes=("switch", "train"), instances=2)),
]


def section(name: str) -> set[str]:
    """The words in backticks below the heading of a protocol."""
    text = MANUAL.read_text(encoding="utf-8").split(f"\n## `{name}`\n")[1].split("\n## ")[0]
    return set(re.findall(r"`([a-z0-9_]+)`", text))


@pytest.mark.parametrize("protocol", EVERYTHING, ids=lambda protocol: type(protocol).__name__)
def test_every_frame_and_column_stands_in_the_manual(
    protocol: Protocol, suite: SuiteData, tasks: pd.DataFrame, answer: Callable[..., pd.DataFrame]
) -> None:
    written = section(type(protocol).__name__.lower())
    frames = protocol.measure(answer(protocol.plan(suite, None), {"ours": 2, "theirs": 2}), tasks)
    assert set(frames) <= written
    assert all(len(frame) for frame in frames.values())
    for name, frame in frames.items():
        ends = {f"{column}{end}" for column in written for end in ("_low", "_high")}
        assert not set(frame.columns) - written - ends - {"method", "category"}, name


@pytest.mark.parametrize("protocol", EVERYTHING, ids=lambda protocol: type(protocol).__name__)
def test_every_frame_is_described_by_columns_that_it_has(
    protocol: Protocol, suite: SuiteData, tasks: pd.DataFrame, answer: Callable[..., pd.DataFrame]
) -> None:
    answers = answer(protocol.plan(suite, None), {"ours": 2, "theirs": 2}).assign(ranked_exact_match=1.0)
    frames = protocol.measure(answers, tasks)
    assert set(frames) == set(protocol.frames)
    for name, layout in protocol.frames.items():
        described = {field for column in (*layout.keys, *layout.columns) for field in column.fields}
        assert described <= set(frames[name].columns), name
        assert set(layout.summary) <= {column.field for column in layout.columns}
        assert not layout.headline or layout.headline in layout.summary


@pytest.mark.parametrize("protocol", [Gap, Formats, Combos])
def test_every_column_says_what_its_number_is(protocol: type[Protocol]) -> None:
    for name, frame in protocol.frames.items():
        for column in (*frame.keys, *frame.columns):
            assert column.description, f"{name}.{column.field}"
