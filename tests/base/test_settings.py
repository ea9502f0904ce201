"""Settings within their types and bounds, said by the owner's name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from snibench.base.bounds import Bounds, Count, Dropout, Positive, Share, Weight
from snibench.base.errors import PluginError, UsageError
from snibench.base.settings import make_settings, validated, with_texts

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True)
class Some:
    rank: Count = 8
    most: Count | None = None
    weight: Weight = 0.0
    rate: Positive = 1.0
    part: Share = 0.5
    dropout: Dropout = 0.0
    decay: Annotated[float, Bounds(above=0, most=1)] = 1.0

    def validate(self) -> None:
        if self.most is not None and self.most < self.rank:
            raise UsageError("most must be at least rank.")


@pytest.mark.parametrize(
    ("key", "text", "fault"),
    [
        ("rank", "0", "must be at least 1, but got 0"),
        ("most", "0", "must be at least 1, but got 0"),
        ("weight", "-0.5", "must be at least 0, but got -0.5"),
        ("rate", "0", "must be above 0, but got 0.0"),
        ("part", "1.01", "must be at least 0 and at most 1, but got 1.01"),
        ("dropout", "1", "must be at least 0 and below 1, but got 1.0"),
        ("decay", "0", "must be above 0 and at most 1, but got 0.0"),
        ("decay", "nan", "must be a number, but got 'nan'"),
    ],
)
def test_a_value_outside_of_its_bounds_is_refused_by_owner_and_name(key: str, text: str, fault: str) -> None:
    with pytest.raises(UsageError) as error:
        make_settings(Some, "some", {key: text})
    assert str(error.value).startswith(f"some: {key} {fault}")


@pytest.mark.parametrize(
    "texts", [{}, {"rank": "1", "most": "none"}, {"part": "1", "decay": "1"}, {"weight": "0", "dropout": "0"}]
)
def test_the_ends_of_an_interval_belong_to_it_where_they_should(texts: dict[str, str]) -> None:
    assert with_texts(Some(), "some", texts) == make_settings(Some, "some", texts)


@pytest.mark.parametrize(
    "changes", [{"rank": "8"}, {"rank": True}, {"rate": math.nan}, {"rate": math.inf}, {"most": 2.5}, {"rank": 2**40}]
)
def test_settings_made_in_python_are_held_to_their_types(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(changes))} (cannot be|must be)"):
        validated(Some(**changes))


def test_what_concerns_several_fields_is_asked_last() -> None:
    with pytest.raises(UsageError, match="most must be at least rank"):
        make_settings(Some, "some", {"most": "4"})


def test_settings_whose_types_cannot_be_read_are_their_plugin_s_fault() -> None:
    @dataclass(frozen=True)
    class Unread:
        price: Decimal | None = None

    class Plain:
        pass

    with pytest.raises(PluginError, match=r"The types of .*Unread cannot be read"):
        validated(Unread())
    with pytest.raises(PluginError, match="Plain has to be a frozen dataclass"):
        validated(Plain())
