"""Split lists: two files of task names, one a line, that say which tasks are seen and which are unseen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from random import Random

from snibench.base import reading
from snibench.base.errors import DataError
from snibench.base.hashing import derive_seed
from snibench.base.reading import quoted
from snibench.data.sides import FEWEST_UNSEEN

DRAWN = "drawn"  # the split that needs no lists
TRAIN, TEST = "train_tasks.txt", "test_tasks.txt"
_LARGEST_LIST = 16 * 2**20  # bytes
_SHOWN = 3  # names that a sentence repeats
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Lists:
    """The names on both sides of a split, before anything is known of the tasks."""

    seen: tuple[str, ...]
    unseen: tuple[str, ...]


def list_prefix(split: str, folder: Path | None = None) -> str | None:
    """Start of the paths of the lists that ``split`` names, or None if it names none.

    ``split`` is a folder in ``folder``/splits, the path of a folder, or a path to which the files' names are added.
    """
    if folder is not None and reading.is_folder(folder / "splits" / split):
        return str(folder / "splits" / split) + "/"
    if reading.is_folder(Path(split)):
        return split.rstrip("/") + "/"
    return split if reading.is_file(Path(f"{split}{TRAIN}")) else None


def read_lists(prefix: str) -> Lists:
    """Both lists behind ``prefix``; see ``read_list``."""
    return Lists(read_list(Path(f"{prefix}{TRAIN}")), read_list(Path(f"{prefix}{TEST}")))


def read_list(path: Path) -> tuple[str, ...]:
    """The task names in ``path``, one a line; blank lines and repetitions do not count.

    Raises:
        DataError: If the file is missing or not UTF-8, or a line cannot be a file's name.
    """
    lines = raw_lines(path)
    for number, line in enumerate(lines, start=1):
        if "/" in line or "\\" in line:
            raise DataError(
                f"{path}, line {number}: {quoted(line.strip())} is not a task name. Write it without folders."
            )
    return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))


def raw_lines(path: Path) -> list[str]:
    """The lines of a list as they are written.

    Raises:
        DataError: If the file is missing or not UTF-8.
    """
    try:
        return reading.read_text(path, _LARGEST_LIST).splitlines()
    except reading.Unreadable as error:
        raise DataError(f"{path} {error}. A split needs this list: one task name a line, in UTF-8.") from None


def drawn(categories: Mapping[str, str], seed: int) -> Lists:
    """A quarter of the tasks unseen, at least four, or half of few: of each category in proportion, none in whole.

    ``categories``: of every task, by its name, in the order that both lists keep.
    """
    left: dict[str, list[str]] = {}
    for name in sorted(categories):
        left.setdefault(categories[name], []).append(name)
    rng = Random(derive_seed(seed, "split"))
    for names in left.values():
        rng.shuffle(names)
    order = sorted(left)
    rng.shuffle(order)
    taken: Counter[str] = Counter()
    unseen: set[str] = set()
    while len(unseen) < max(len(categories) // 4, min(FEWEST_UNSEEN, len(categories) // 2)):
        category = max(order, key=lambda one: len(left[one]) / (taken[one] + 1))
        taken[category] += 1
        unseen.add(left[category].pop())
    seen = tuple(name for name in categories if name not in unseen)
    return Lists(seen, tuple(name for name in categories if name in unseen))


def present(
    lists: Lists, tasks: Collection[str], split: str, *, partial: bool, remedy: str
) -> tuple[Lists, tuple[str, ...]]:
    """The names that are ``tasks``, and a sentence about the others.

    Raises:
        DataError: If one is not known and the user does not go on without it; names the closest that is.
    """
    named = (*lists.seen, *lists.unseen)
    missing = [name for name in named if name not in tasks]
    if not missing:
        return lists, ()
    spare = set(tasks).difference(named)
    statement = f"{len(missing)} of {len(named)} tasks of split '{split}' have no file: {with_closest(missing, spare)}"
    if not partial:
        raise DataError(f"{statement}. {remedy}, or go on without them with --partial.")
    seen, unseen = (tuple(name for name in side if name in tasks) for side in (lists.seen, lists.unseen))
    return Lists(seen, unseen), (f"{statement}.",)


def with_closest(missing: Sequence[str], names: Collection[str]) -> str:
    """The first of ``missing``, each with the name among ``names`` that it nearly is."""

    def described(name: str) -> str:
        near = near_miss(name, names)
        return f"{name} (did you mean '{near}'?)" if near else name

    return ", ".join(map(described, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")


def near_miss(name: str, names: Collection[str]) -> str | None:
    """The name among ``names`` that ``name`` was meant to be: equal but for case, an ending or a few letters.

    Names of tasks are numbered: where both numbers and words differ, two names are those of two tasks.
    """
    name = name.removesuffix(".json")
    alike = {
        other.casefold(): other
        for other in names
        if _NUMBER.findall(other) == _NUMBER.findall(name) or _NUMBER.sub("", other) == _NUMBER.sub("", name)
    }
    near = get_close_matches(name.casefold(), alike, n=1, cutoff=0.85)
    return alike[near[0]] if near else None
