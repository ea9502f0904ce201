"""The two sides of a suite: the seen and the unseen tasks of a split, without leaks, as many as are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from random import Random
from typing import Protocol

from snibench.base.errors import DataError, UsageError, unknown
from snibench.base.hashing import derive_seed
from snibench.base.types import Combo, SuiteRequest
from snibench.data.leakage import origins, source_keys

FEWEST_UNSEEN = 4  # a mean over fewer unseen tasks says nothing


class Described(Protocol):
    """Fields by which tasks are chosen; ``TaskCard`` has it, and so has the head of a task file."""

    @property
    def category(self) -> str:
        """The task's category."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The data sets that the task was made from."""


@dataclass(frozen=True, slots=True)
class Sides:
    """The tasks of a suite, in the order of its split lists, and one sentence for each thing left out."""

    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    notes: tuple[str, ...]


def choose_sides(
    cards: Mapping[str, Described],
    seen: Sequence[str],
    unseen: Sequence[str],
    request: SuiteRequest,
    *,
    combos: Sequence[Combo],
    drop_seen_on_source_overlap: bool,
    suits_combo: Callable[[str], bool] = lambda task: True,
) -> Sides:
    """The tasks of both sides that ``request`` leaves; asked again with its own result, it gives the same.

    In this order: seen tasks of a source that is also unseen are dropped, where the split says so and leaks are not
    allowed; ``request.categories`` narrows each side on which one of them occurs; ``request.tasks`` = n keeps n seen
    tasks, and unseen ones in the same proportion, but at least four, or n if that is less. A choice fills the sides of
    the combos first, one task each, and then takes turns among the categories, so that few tasks still answer every
    protocol. The tasks of a smaller choice are among those of a larger one.

    Args:
        cards: At least those in ``seen`` and ``unseen``.
        seen: Names of one side.
        unseen: Names of the other.
        request: Its ``tasks``, ``categories``, ``seed`` and ``allow_leak`` are heeded.
        combos: Their sides come first in a choice.
        drop_seen_on_source_overlap: See ``build_suite``.
        suits_combo: Whether a task that a combo names passes that combo's filters; asked of few tasks only.

    Raises:
        DataError: If a side is empty, or a task is on both.
        UsageError: If the request asks for less than one task, or for an unknown category.
    """
    if request.tasks is not None and request.tasks < 1:
        raise UsageError(f"The number of tasks must be at least 1, but is {request.tasks}.")
    if both := sorted(set(seen) & set(unseen)):
        raise DataError(
            f"{len(both)} tasks are on both sides of the split, {both[0]} first. Remove them from one list."
        )
    if not seen or not unseen:
        raise DataError(f"The split has no {'unseen' if seen else 'seen'} task. Choose another split or more tasks.")
    notes: list[str] = []
    if drop_seen_on_source_overlap and not request.allow_leak:
        seen, dropped = _drop_shared_sources(cards, seen, unseen)
        if not seen:
            raise DataError(
                "Every seen task shares a source with an unseen one, so none is left to train on. "
                "Choose another split, or keep them with --allow-leak."
            )
        notes += dropped
    if request.categories:
        known = {cards[task].category for task in (*seen, *unseen)}
        for category in request.categories:
            if category not in known:
                raise unknown("category", category, known)
        seen, unseen = (
            _narrow(cards, side, label, request.categories, notes)
            for side, label in ((seen, "seen"), (unseen, "unseen"))
        )
    if request.tasks is not None and request.tasks < len(seen):
        proportionate = round(request.tasks * len(unseen) / len(seen))
        wanted = max(proportionate, min(FEWEST_UNSEEN, request.tasks, len(unseen)))
        groups = [frozenset(side) for combo in combos for side in (combo.a, combo.b)]
        seen, unseen = (
            _first(side, count, cards, groups, suits_combo, Random(derive_seed(request.seed, "tasks", label)))
            for side, count, label in ((seen, request.tasks, "seen"), (unseen, wanted, "unseen"))
        )
    return Sides(tuple(seen), tuple(unseen), tuple(notes))


def _drop_shared_sources(
    cards: Mapping[str, Described], seen: Sequence[str], unseen: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The seen tasks without a source of the unseen side, and a sentence if that is not all of them."""
    flags = leak_flags(cards, unseen, seen)  # turned round: seen tasks that share with an unseen one
    if not flags:
        return list(seen), []
    by_descent = sum("source-leak" not in marks for marks in flags.values())
    note = (
        f"{len(flags)} of {len(seen)} seen tasks share a source with an unseen task and were left out, "
        f"{by_descent} of them under another name."
    )
    return [task for task in seen if task not in flags], [note]


def leak_flags(
    cards: Mapping[str, Described], these: Sequence[str], marked: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Marks of the tasks in ``marked`` that share a source with one in ``these``: by name, or by descent alone."""
    keys = {key for task in these for key in source_keys(cards[task].sources)}
    roots = {root for task in these for root in origins(cards[task].sources)}
    flags: dict[str, tuple[str, ...]] = {}
    for task in marked:
        if not roots.isdisjoint(origins(cards[task].sources)):
            by_name = not keys.isdisjoint(source_keys(cards[task].sources))
            flags[task] = ("source-leak", "alias-leak") if by_name else ("alias-leak",)
    return flags


def _narrow(
    cards: Mapping[str, Described], side: Sequence[str], label: str, categories: Collection[str], notes: list[str]
) -> list[str]:
    """The tasks of ``side`` in ``categories``, or all with a note if none is: splits often divide by category."""
    inside = [task for task in side if cards[task].category in categories]
    if not inside:
        notes.append(f"No {label} task is in {', '.join(categories)}, so all categories of that side stay.")
    return inside or list(side)


def _first(
    names: Sequence[str],
    count: int,
    cards: Mapping[str, Described],
    groups: Iterable[Collection[str]],
    suits_group: Callable[[str], bool],
    rng: Random,
) -> list[str]:
    """``count`` of ``names`` in their own order: one of each group, then turns among the categories."""
    shuffled = sorted(names)
    rng.shuffle(shuffled)
    taken: list[str] = []
    for group in groups:
        if not any(name in group for name in taken):
            taken += [name for name in shuffled if name in group and suits_group(name)][:1]
    turns = Counter(cards[name].category for name in taken)
    waiting: list[tuple[int, str]] = []
    for name in shuffled:
        if name not in taken:
            waiting.append((turns[cards[name].category], name))
            turns[cards[name].category] += 1
    order = taken + [name for _, name in sorted(waiting, key=itemgetter(0))]
    chosen = set(order[:count])
    return [name for name in names if name in chosen]
