"""Pairs of task families that a user names, as combos of a suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from snibench.base.errors import UsageError, unknown
from snibench.base.types import Combo, SuiteData


def parse_pairs(pairs: Sequence[str]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Name -> the categories and tasks of both sides, from texts ``NAME=A,.../B,...``.

    Raises:
        UsageError: If a text does not read so, or a name comes twice.
    """
    pairs_by_name: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for text in pairs:
        name, _, sides = (part.strip() for part in text.partition("="))
        parts = [tuple(one.strip() for one in side.split(",") if one.strip()) for side in sides.split("/")]
        if not name or len(parts) != 2 or not all(parts):
            raise UsageError(
                f"A pair of task families is NAME=A,.../B,... with categories or tasks on both sides, but got '{text}'."
            )
        if name in pairs_by_name:
            raise UsageError(f"Two pairs are called '{name}'. Give each a name of its own.")
        pairs_by_name[name] = (parts[0], parts[1])
    return pairs_by_name


def combos_of(suite: SuiteData, pairs: Sequence[str]) -> tuple[Combo, ...]:
    """The combos that are asked: those of ``pairs``, or the suite's own if there are none.

    Raises:
        UsageError: If a pair names what the suite has not, or a task on both sides.
    """
    if not pairs:
        return suite.combos
    return tuple(
        _combo(name, *(tuple(_members(suite, name, side)) for side in sides))
        for name, sides in parse_pairs(pairs).items()
    )


def _members(suite: SuiteData, combo: str, side: Sequence[str]) -> Iterator[str]:
    """The tasks that one side names, in the order of the suite; a category stands for all its tasks."""
    categories = {task.card.category for task in suite.tasks.values()}
    for name in side:
        if name not in suite.tasks and name not in categories:
            near = get_close_matches(name, suite.tasks, n=1)  # not all tasks: they may be hundreds
            raise unknown(f"category or task of pair '{combo}'", name, {*categories, *near})
    yield from (name for name, task in suite.tasks.items() if name in side or task.card.category in side)


def _combo(name: str, a: tuple[str, ...], b: tuple[str, ...]) -> Combo:
    if both := [task for task in a if task in b]:
        raise UsageError(f"Pair '{name}' has the task '{both[0]}' on both sides. Name it, or its category, on one.")
    return Combo(name, a, b)
