"""Contents of a folder or a suite, task by task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from snibench.base.types import SuiteData, Task
from snibench.data.checks import SIDES
from snibench.data.natural_instructions import load_task, read_json, task_files
from snibench.data.split_lists import read_list


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task as tables show it."""

    name: str
    category: str
    side: str  # of the default split, or "seen" or "unseen"; "" = on none
    instances: int
    labels: int | None  # None = open
    metric: str
    licence: str  # of the instances


@dataclass(frozen=True, slots=True)
class SplitRow:
    """One list of a split."""

    split: str
    side: str
    listed: int
    here: int  # of those, with a file


@dataclass(frozen=True, slots=True)
class Overview:
    """Every task, and every list that divides them."""

    tasks: tuple[TaskRow, ...]
    splits: tuple[SplitRow, ...]
    notes: tuple[str, ...] = ()

    def categories(self) -> list[tuple[str, int, int]]:
        """Category, tasks, instances; most tasks first."""
        tasks = Counter(row.category for row in self.tasks)
        instances: Counter[str] = Counter()
        for row in self.tasks:
            instances[row.category] += row.instances
        return [(name, count, instances[name]) for name, count in sorted(tasks.items(), key=lambda p: (-p[1], p[0]))]

    def licences(self) -> list[tuple[str, int]]:
        """Licence of the instances, tasks; most tasks first."""
        return sorted(Counter(row.licence for row in self.tasks).items(), key=lambda pair: (-pair[1], pair[0]))


def describe_folder(folder: Path) -> Overview:
    """The tasks and split lists in ``folder``.

    Raises:
        DataError: If something in it cannot be read.
    """
    files = task_files(folder)
    lists = {
        (track.name, side): read_list(track / f"{side}_tasks.txt")
        for track in sorted(folder.glob("splits/*"))
        for side in SIDES
        if (track / f"{side}_tasks.txt").is_file()
    }
    side_of = {name: side for (track, side), names in lists.items() if track == "default" for name in names}
    tasks = tuple(_row(load_task(path), side_of.get(name, ""), _licence(path)) for name, path in files.items())
    splits = tuple(
        SplitRow(track, side, len(names), sum(name in files for name in names))
        for (track, side), names in lists.items()
    )
    return Overview(tasks, splits)


def describe_suite(suite: SuiteData) -> Overview:
    """The tasks and sides of ``suite``, which does not say under which licence its instances are."""
    sides = {"seen": suite.seen, "unseen": suite.unseen}
    return Overview(
        tuple(_row(suite.tasks[name], side, "Unknown") for side, names in sides.items() for name in names),
        tuple(SplitRow(suite.name, side, len(names), len(names)) for side, names in sides.items()),
        suite.notes,
    )


def _row(task: Task, side: str, licence: str) -> TaskRow:
    card = task.card
    labels = None if card.labels is None else len(card.labels)
    return TaskRow(card.name, card.category, side, len(task.instances), labels, card.metric, licence)


def _licence(path: Path) -> str:
    entry = read_json(path).get("Instance License")
    texts: Sequence[object] = entry if isinstance(entry, list) else [entry]
    return "; ".join(text for text in texts if isinstance(text, str)) or "Unknown"
