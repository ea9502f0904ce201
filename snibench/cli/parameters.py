"""Values of options that have parts: ``a,b``, ``0-4``, ``8,4``."""

from __future__ import annotations

from typing import Any

import click


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
        try:
            seeds = tuple(seed for part in super().convert(value, param, ctx) for seed in _range(part))
        except ValueError:
            self.fail(f"seeds are whole numbers such as 0,1,2 or 0-4, but got '{value}'", param, ctx)
        if not seeds or len(set(seeds)) != len(seeds):
            self.fail(f"name each seed once, but got '{value}'", param, ctx)
        return seeds


def _range(text: str) -> range:
    """``3`` as 3, ``0-4`` as 0 to 4.

    Raises:
        ValueError: If it is neither.
    """
    first, dash, last = text.partition("-")
    return range(int(first), int(last if dash else first) + 1)


class PerStep(click.ParamType[tuple[int, int]]):
    """``K,M``: tasks per step, and instances of each."""

    name = "K,M"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The two numbers."""
        parts = [str(part) for part in value] if isinstance(value, tuple) else str(value).split(",")
        if len(parts) != 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
            self.fail(f"two positive whole numbers such as 8,4, but got '{value}'", param, ctx)
        return int(parts[0]), int(parts[1])
