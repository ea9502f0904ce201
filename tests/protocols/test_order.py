"""A protocol measures rows, whatever their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snibench.base.types import SuiteData
from snibench.contracts import Protocol
from snibench.protocols.combos import Combos
from snibench.protocols.formats import Formats
from snibench.protocols.gap import Gap

PROTOCOLS = [
    Gap(dataclasses.replace(Gap.quick, instances=4)),
    Formats(dataclasses.replace(Formats.quick, instances=4)),
    Combos(dataclasses.replace(Combos.quick, streams=3)),
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: type(protocol).__name__)
def test_the_order_of_the_rows_changes_nothing(
    protocol: Protocol, suite: SuiteData, tasks: pd.DataFrame, answer: Callable[..., pd.DataFrame]
) -> None:
    rows = answer(protocol.plan(suite, None), {"untuned": 1, "ours": 2})
    expected = protocol.measure(rows, tasks)

    @settings(max_examples=5, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1))
    def unchanged(seed: int) -> None:
        order = {"frac": 1.0, "random_state": seed}
        for name, frame in protocol.measure(rows.sample(**order), tasks.sample(**order)).items():
            pd.testing.assert_frame_equal(frame, expected[name])

    unchanged()
