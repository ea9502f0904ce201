"""Choice of the tasks and instances of a protocol. Text seeds only, so no hash order can change a question."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from random import Random

from snibench.base.errors import UsageError, unknown
from snibench.base.registry import FORMATS
from snibench.base.types import Question, SuiteData


def chosen_tasks(suite: SuiteData, count: int | None, seed: int) -> tuple[str, ...]:
    """At most ``count`` tasks, half seen and half unseen, taken from the categories in turn.

    A side that is short gives its places to the other. Both sides go through the categories in one order, so
    that a category with seen and unseen tasks is represented on both sides or on neither, where it can be.
    ``None`` chooses every task. Seen tasks come first.
    """
    if count is None:
        return (*suite.seen, *suite.unseen)
    seen = min(len(suite.seen), max(count - count // 2, count - len(suite.unseen)))
    return (*_spread(suite, suite.seen, seed)[:seen], *_spread(suite, suite.unseen, seed)[: count - seen])


def chosen_seen(suite: SuiteData, count: int | None, seed: int) -> tuple[str, ...]:
    """At most ``count`` seen tasks, taken from the categories in turn; ``None`` chooses every one."""
    return suite.seen if count is None else tuple(_spread(suite, suite.seen, seed)[:count])


def check_choices(noun: str, names: Sequence[str], allowed: Sequence[str]) -> None:
    """Raises UsageError unless ``names`` are some of ``allowed``, at least one; ``noun``: what they are."""
    if not names:
        raise UsageError(f"At least one {noun} has to be named: {', '.join(allowed)}.")
    for name in names:
        if name not in allowed:
            raise unknown(noun, name, allowed)


def check_formats(names: Sequence[str]) -> None:
    """Look every format up and import none.

    Raises:
        UsageError: If one is not installed; suggests the closest name.
    """
    for name in names:
        if ".py:" not in name:
            FORMATS.entry(name)


def _spread(suite: SuiteData, side: Sequence[str], seed: int) -> list[str]:
    """``side``, so ordered that any head of it covers as many categories as it can."""
    category = {name: task.card.category for name, task in suite.tasks.items()}
    categories = sorted(set(category.values()))
    Random(f"{seed}|categories").shuffle(categories)
    columns = [sorted(name for name in side if category[name] == wanted) for wanted in categories]
    for wanted, column in zip(categories, columns, strict=True):
        Random(f"{seed}|{wanted}").shuffle(column)
    return [name for row in zip_longest(*columns) for name in row if name is not None]


def held_out_questions(
    suite: SuiteData, protocol: str, task: str, format: str, instances: int | None, limit: int | None
) -> list[Question]:
    """One question per evaluated instance of ``task``: the first ``min(instances, limit)`` of its pool.

    The head, not a draw: suites order a pool so that any head of it is balanced over the labels, and a smaller
    limit asks a subset of the questions of a larger one.
    """
    pool = suite.evaluation[task]
    asked = min([len(pool), *(bound for bound in (instances, limit) if bound is not None)])
    seen = task in suite.seen
    return [
        Question(protocol, task, instance.id, format, "held_out" if seen else "unseen", seen)
        for instance in pool[:asked]
    ]
