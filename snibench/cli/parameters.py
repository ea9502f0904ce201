"""Types of option values: lists, seeds, and numbers that every part of a run can hold."""

from __future__ import annotations

from typing import Any

import click

from snibench.base.bounds import Bounds
from snibench.base.numbers import finite_number, shown, whole_number

_MOST_SEEDS = 1000


class Count(click.ParamType[int]):
    """A whole number from ``least`` on."""

    name = "N"

    def __init__(self, least: int = 1) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        try:
            return whole_number(str(value), self.least)
        except ValueError as error:
            self.fail(f"a whole number from {self.least} on is wanted, but {error}", param, ctx)


class Number(click.ParamType[float]):
    """A finite number within bounds."""

    name = "NUMBER"

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            if self.bounds.hold(number := finite_number(str(value))):
                return number
            reason = f"'{shown(str(value))}' is not"
        except ValueError as error:
            reason = str(error)
        self.fail(f"a finite number {self.bounds} is wanted, but {reason}", param, ctx)


class Positive(Number):
    """A finite number above zero."""

    def __init__(self) -> None:
        super().__init__(Bounds(above=0))


class CommaList(click.ParamType[tuple[Any, ...]]):
    """``a,b,c`` as a tuple of texts."""

    name = "NAME,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The parts of ``value``, blanks around them dropped."""
        parts = value if isinstance(value, tuple) else str(value).split(",")
        return tuple(text for part in parts if (text := str(part).strip()))


class Seeds(CommaList):
    """``0,1,2`` or ``0-2`` as a tuple of whole numbers."""

    name = "N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:  # type: ignore[override]  # other parts
        """The numbers in ``value``."""
        text = shown(str(value))
        seeds: list[int] = []
        try:
            for part in super().convert(value, param, ctx):
                first, last = _ends(part)
                if last - first + len(seeds) >= _MOST_SEEDS:
                    self.fail(f"at most {_MOST_SEEDS:,} seeds, but got '{text}'", param, ctx)
                seeds += range(first, last + 1)
        except ValueError:
            self.fail(f"seeds are whole numbers such as 0,1,2 or 0-4, but got '{text}'", param, ctx)
        if not seeds or len(set(seeds)) != len(seeds):
            self.fail(f"name each seed once, but got '{text}'", param, ctx)
        return tuple(seeds)


def _ends(text: str) -> tuple[int, int]:
    """``3`` as (3, 3), ``0-4`` as (0, 4).

    Raises:
        ValueError: If it is neither.
    """
    first, dash, last = text.partition("-")
    return whole_number(first), whole_number(last if dash else first)


class PerStep(click.ParamType[tuple[int, int]]):
    """``K,M``: tasks per step, and instances of each."""

    name = "K,M"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The two numbers."""
        parts = [str(part) for part in value] if isinstance(value, tuple) else str(value).split(",")
        try:
            tasks, instances = (whole_number(part, least=1) for part in parts)
        except ValueError:
            self.fail(f"two positive whole numbers such as 8,4, but got '{shown(str(value))}'", param, ctx)
        return tasks, instances
