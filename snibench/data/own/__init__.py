"""Suite ``own``: tasks from CSV, TSV or JSON-lines files of one's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, final

from snibench.base.errors import DataError, UsageError, unknown
from snibench.base.reading import quoted
from snibench.base.types import Combo, SuiteData, SuiteRequest, Task
from snibench.contracts import Suite
from snibench.data.own.rows import RowFault
from snibench.data.own.tasks import FEWEST_ROWS, Gathered, gather, large_enough, own_files, remarks
from snibench.data.split_lists import DRAWN, Lists, drawn, list_prefix, present, read_lists
from snibench.data.splits import build_suite

HELD_OUT = 100  # evaluation instances per task, at most half of a seen one
_MOST_COMBOS = 4


@final
class Own(Suite):
    """Tasks from a CSV, TSV or JSON-lines file with the columns input and output, or a folder of such files.

    A file is a task, unless it has a column ``task``. Splits: ``drawn`` (a quarter of the tasks unseen, but at least
    four, or half of fewer than eight; from as many categories as there are), or the path of a folder, or a prefix, with
    ``train_tasks.txt`` and ``test_tasks.txt``. docs/data.md has every column.
    """

    reads_data: ClassVar[bool] = True

    def load(self, request: SuiteRequest) -> SuiteData:
        """The suite under ``request``; see ``Suite.load``.

        Raises:
            DataError: If a file or a row cannot be used, or there are fewer than two tasks; names the place.
            UsageError: If there is no ``request.data``, or no such split.
        """
        if request.data is None:
            raise UsageError("Suite 'own' reads a file or folder. Name it: --data FILE.csv")
        path = Path(request.data)
        found = _sound(path)
        gathered, small = large_enough(found)
        tasks = {one.name: one.task() for one in gathered}
        if why := too_few(tasks, len(found) - len(gathered)):
            raise DataError(" ".join((*small, f"{path} {why}")))
        lists, notes = _split(tasks, request)
        return build_suite(
            f"own/{request.split or DRAWN}",
            tasks,
            lists.seen,
            lists.unseen,
            request,
            combos=_combos(tasks),
            drop_seen_on_source_overlap=False,
            held_out=HELD_OUT,
            notes=(*small, *remarks(gathered), *notes),
        )


def too_few(tasks: Collection[str], small: int) -> str:
    """Why ``tasks``, beside so many ``small`` ones, are no suite: what completes "FILE ..."; empty if they are."""
    if len(tasks) > 1:
        return ""
    large = " that is large enough" if small else ""
    what = f"holds a single task{large}, {quoted(next(iter(tasks)))}" if tasks else f"holds no task{large}"
    rows = f"Add rows: each task needs at least {FEWEST_ROWS} different inputs." if small else ""
    more = "Add a column 'task', or pass a folder with a file for each task." if len(tasks) + small < 2 else ""
    remedy = " ".join(filter(None, (rows, more)))
    return f"{what}, and a run needs one to tune on and another that is unseen. {remedy}"


def _sound(path: Path) -> list[Gathered]:
    found = []
    for one in gather(own_files(path)):
        if isinstance(one, RowFault):
            raise DataError(f"{one} snibench data check {path} lists all such rows.")
        found.append(one)
    return found


def _split(tasks: dict[str, Task], request: SuiteRequest) -> tuple[Lists, tuple[str, ...]]:
    split = request.split or DRAWN
    if split == DRAWN:
        return drawn({name: task.card.category for name, task in tasks.items()}, request.seed), ()
    if (prefix := list_prefix(split)) is None:
        raise unknown("split (or path of split lists)", split, [DRAWN])
    remedy = "Add its rows"
    return present(read_lists(prefix), tasks, split, partial=request.partial, remedy=remedy)


def _combos(tasks: dict[str, Task]) -> list[Combo]:
    """Pairs of the largest categories, first and second, third and fourth, ..."""
    sizes = Counter(task.card.category for task in tasks.values())
    largest = sorted(sizes, key=lambda category: (-sizes[category], category))
    pairs = list(pairwise(largest))[::2][:_MOST_COMBOS]

    def members(category: str) -> tuple[str, ...]:
        return tuple(name for name, task in tasks.items() if task.card.category == category)

    return [Combo(f"{a} + {b}", members(a), members(b)) for a, b in pairs]
