"""Settings of protocols, of ours and of other packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snibench.base.errors import UsageError
from snibench.base.types import SuiteRequest
from snibench.plan.plan import plan
from snibench.plan.protocols import protocols_of, settings_of_methods
from snibench.plan.request import RunRequest

SOURCE = """
from dataclasses import dataclass

from snibench.api import Protocol, UsageError


@dataclass(frozen=True)
class Settings:
    cut: float = 0.5
    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] | None = None


class Cuts(Protocol):
    Settings = Settings
    quick = Settings(cut=0.25)
    version = 1

    def check(self):
        if self.settings.cut > 1:
            raise UsageError("The cut is at most 1.")

    def plan(self, suite, limit):
        return []

    def measure(self, answers, tasks):
        return {}
"""


def request(*protocols: str, **settings: str) -> RunRequest:
    return RunRequest(
        methods=("lora",),
        suite=SuiteRequest("mini", tasks=8),
        model="tiny",
        protocols=protocols,
        settings={key.replace("__", "."): value for key, value in settings.items()},
    )


@pytest.fixture
def cuts(install: Callable[..., Path]) -> None:
    install("cuts-plugin", {"snibench.protocols": {"the-cuts": "cuts_plugin:Cuts"}}, {"cuts_plugin.py": SOURCE})


@pytest.mark.usefixtures("cuts")
def test_a_setting_reaches_the_protocol_that_it_names_and_no_method() -> None:
    asked = request("gap", "the-cuts", gap__modes="split, crossfit", the_cuts__cut="0.75", the_cuts__sizes="1,2", r="4")
    protocols = protocols_of(asked)
    assert protocols["gap"].settings.modes == ("split", "crossfit")
    assert protocols["gap"].settings.tasks == protocols["gap"].quick.tasks
    assert (protocols["the-cuts"].settings.cut, protocols["the-cuts"].settings.sizes) == (0.75, (1, 2))
    assert settings_of_methods(asked) == {"r": "4"}


@pytest.mark.usefixtures("cuts")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"the_cuts__cot": "1"}, "Unknown setting of the-cuts 'cot'. Did you mean 'cut'?"),
        ({"the_cuts__cut": "high"}, "the-cuts: cut must be a number, but got 'high'"),
        ({"the_cuts__sizes": "1,two"}, "the-cuts: sizes must be a whole number, but got 'two'"),
        ({"the_cuts__cut": "2"}, "The cut is at most 1."),
        ({"gap__modes": "cross"}, "Unknown mode of gap 'cross'"),
        ({"gap__format": "definitoin"}, "Unknown format 'definitoin'"),
        ({"formats__tasks": "3"}, "'formats.tasks' is a setting of protocol 'formats', which is not asked"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_loaded(settings: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=r"Unknown|must be|at most|not asked") as error:
        plan(request("gap", "the-cuts", **settings))
    assert words in str(error.value)


def test_items_with_a_comma_are_separated_by_semicolons() -> None:
    pairs = "Mood=Sentiment Analysis/Text Categorization,mini601_market_same;"
    asked = request("combos", combos__pairs=pairs)
    assert protocols_of(asked)["combos"].settings.pairs == (pairs.removesuffix(";"),)


def test_patterns_of_formats_are_the_protocols_own() -> None:
    (protocol,) = protocols_of(request("formats", formats__formats="tk_def*,definition")).values()
    chosen = protocol.chosen_formats  # type: ignore[attr-defined]
    assert chosen[-1] == "definition"
    assert "tk_definition" in chosen
    with pytest.raises(UsageError, match=r"Unknown format 'surfaces-\*'"):
        protocols_of(request("formats", formats__formats="surfaces-*"))
