from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pandas as pd
import pytest

from snibench.base.errors import UsageError
from snibench.base.registry import PROTOCOLS
from snibench.base.types import METHOD, Ask, Column, Frame, Mixture, Question, SuiteData, Turn
from snibench.contracts import Protocol
from snibench.protocols.choice import held_out_questions
from snibench.testing import check_protocol


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gap", {}),
        ("gap", {"modes": ("split", "crossfit"), "instances": 3}),
        ("formats", {}),
        ("combos", {}),
        ("combos", {"modes": ("train",), "instances": 3}),
    ],
)
def test_every_protocol_of_our_own_keeps_the_contract(name: str, changes: dict[str, Any]) -> None:
    kind = PROTOCOLS.get(name)
    check_protocol(kind, replace(kind.quick, **changes))


SHARE = Column("share", "Share", "percent", "higher", "share_low", "share_high", "n")


@dataclass(frozen=True)
class Settings:
    instances: int = 3
    names: tuple[str, ...] = ("a",)


class Sound(Protocol):
    """A protocol that keeps every promise; each broken one below differs in one point."""

    Settings: ClassVar[type] = Settings
    quick: ClassVar[Any] = Settings(2)
    version: ClassVar[int] = 1
    frames: ClassVar[Mapping[str, Frame]] = {"shares": Frame("Shares", (METHOD,), (SHARE,), summary={"share": "Share"})}

    def question(self, question: Question) -> Question:
        return question

    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        asked = [
            self.question(question)
            for task in (suite.seen[0], suite.unseen[0])
            for question in held_out_questions(suite, "sound", task, "definition", self.settings.instances, limit)
        ]
        return [Ask(Mixture(suite.seen), tuple(asked))]

    def row(self, method: str, share: float, count: int) -> dict[str, Any]:
        return {"method": method, "share": share, "share_low": share, "share_high": share, "n": count}

    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
        by = answers.groupby("method")["score"]
        return {"shares": pd.DataFrame(self.row(str(name), one.mean(), len(one)) for name, one in by)}


def test_a_sound_protocol_passes() -> None:
    check_protocol(Sound)


def asking(**changes: Any) -> type[Sound]:
    return type("Broken", (Sound,), {"question": lambda self, question: replace(question, **changes)})


def framed(frame: Frame) -> type[Sound]:
    return type("Broken", (Sound,), {"frames": {"shares": frame}})


def giving(**changes: Any) -> type[Sound]:
    def row(self: Sound, method: str, share: float, count: int) -> dict[str, Any]:
        return {**Sound.row(self, method, share, count), **changes}

    return type("Broken", (Sound,), {"row": row})


def comparing(values: Callable[[pd.DataFrame], Any]) -> type[Sound]:
    members = {"verdict_on": "shares", "compared": lambda self, answers: values(answers)}
    return type("Broken", (Sound,), members)


def test_a_sound_comparison_passes() -> None:
    check_protocol(comparing(lambda answers: answers["score"].where(answers["seen"])))


class NoVersion(Sound):
    version = "one"  # type: ignore[assignment]


class ForeignQuick(Sound):
    quick = {"instances": 3}  # noqa: RUF012 (the fault under test)


class LosesSettings(Sound):
    @dataclass(frozen=True)
    class Settings:
        names: list[str] | str = "a"
        instances: int = 3

        def __post_init__(self) -> None:
            if isinstance(self.names, str) and self.names != "a":
                raise UsageError("never")

    quick = Settings(names=("a", "b"))  # type: ignore[arg-type]


class Draws(Sound):
    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        random.random()
        return super().plan(suite, limit)


class Changes(Sound):
    calls = 0

    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        type(self).calls += 1
        (ask,) = super().plan(suite, limit)
        return [replace(ask, questions=ask.questions[type(self).calls % 2 :])]


class AsksNothing(Sound):
    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        return []


class OneNote(Sound):
    def notes(self, suite: SuiteData) -> Sequence[str]:
        return "all in one text"


class TunesOnUnseen(Sound):
    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        return [replace(ask, mixture=Mixture((*suite.seen, suite.unseen[0]))) for ask in super().plan(suite, limit)]


class AsksTwice(Sound):
    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        return [replace(ask, questions=ask.questions * 2) for ask in super().plan(suite, limit)]


class IgnoresLimit(Sound):
    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        return super().plan(suite, None)


class GivesAList(Sound):
    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Any:
        return [1]


class TakesTheFirst(Sound):
    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
        frames = super().measure(answers, tasks)
        return {"shares": frames["shares"].assign(first=answers["instance"].iloc[0] + answers["fit"].iloc[0])}


class Undescribed(Sound):
    frames = {}  # noqa: RUF012 (the fault under test)


class Twice(Sound):
    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
        return {name: pd.concat([frame] * 2) for name, frame in super().measure(answers, tasks).items()}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (NoVersion, "version"),
        (ForeignQuick, "quick must be of"),
        (LosesSettings, "survive the manifest"),
        (Draws, "global generator"),
        (Changes, "the second time"),
        (AsksNothing, "asks nothing"),
        (OneNote, "sentences"),
        (TunesOnUnseen, "not a seen task"),
        (AsksTwice, "twice of one fit"),
        (asking(task="gone"), "unknown task"),
        (asking(instance="gone"), "not among the evaluated"),
        (asking(format="gone"), "not installed"),
        (asking(seen=True, split="held_out"), "denies"),
        (asking(split="held_out"), "split"),
        (asking(variant="[1"), "not a JSON object"),
        (asking(history=(Turn("gone", "x"),)), "no context"),
        (IgnoresLimit, "more than ``limit``"),
        (GivesAList, "data frames by name"),
        (TakesTheFirst, "order of the rows"),
        (Undescribed, "describes none"),
        (Twice, "several rows"),
        (framed(Frame("", (METHOD,), (SHARE,))), "no title"),
        (framed(Frame("Shares", (Column("gone", "Gone"),), (SHARE,))), "has not"),
        (framed(Frame("Shares", (METHOD,), (SHARE,), across="side")), "no key"),
        (framed(Frame("Shares", (METHOD,), (Column("gone", "Gone", "percent"),))), "none of the columns"),
        (framed(Frame("Shares", (METHOD,), (replace(SHARE, n="many"),))), "are not there"),
        (framed(Frame("Shares", (METHOD,), (replace(SHARE, n=""),))), "leaderboard"),
        (framed(Frame("Shares", (METHOD,), (SHARE,), summary={"gone": "Gone"})), "none of its columns"),
        (framed(Frame("Shares", (METHOD,), (SHARE,), headline="share")), "not in its summary"),
        (framed(Frame("Shares", (METHOD, Column("n", "N")), (SHARE,), summary={"share": "S"})), "one row per method"),
        (giving(share=43.0, share_low=43.0, share_high=43.0), "fractions, not percents"),
        (giving(share_low=1.0, share_high=1.0), "outside of its interval"),
        (giving(n=0), "at least 1"),
        (comparing(lambda answers: answers["score"].mean()), "a value for each answer"),
        (comparing(lambda answers: answers["score"].reset_index(drop=True).iloc[1:]), "a value for each answer"),
        (comparing(lambda answers: 100 * answers["score"]), r"fractions in \[0, 1\]"),
        (comparing(lambda answers: answers["score"] * float("nan")), "counts no answer"),
        (comparing(lambda answers: answers["score"].cummax()), "order of the rows"),
    ],
)
def test_a_broken_protocol_is_named_with_its_promise(broken: type[Protocol], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_protocol(broken)
