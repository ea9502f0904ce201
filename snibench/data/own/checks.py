"""Everything that is wrong with files of rows, at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from snibench.base.errors import DataError
from snibench.base.wording import counted
from snibench.data.checks import Finding
from snibench.data.own import too_few
from snibench.data.own.rows import RowFault, read_rows
from snibench.data.own.tasks import Gathered, gather, large_enough, own_files

_MOST = 100  # faults of rows that are listed


def check_rows(path: Path) -> tuple[list[Finding], int]:
    """Faults of the file ``path``, or of the files in that folder, and how many tasks they hold.

    Errors are what loading refuses. Warnings: rows that are joined, dropped or stripped, and tasks that are left out.

    Raises:
        DataError: If there is no such file, or no file of rows in the folder.
    """
    findings: list[Finding] = []
    sound = []
    for file in own_files(path):
        try:
            for _ in read_rows(file):
                pass
            sound.append(file)
        except DataError as error:
            findings.append(Finding("error", file.name, str(error).removeprefix(str(file)).lstrip(", ")))
    faults: list[Finding] = []
    gathered: list[Gathered] = []
    for one in gather(sound):
        if isinstance(one, RowFault):
            faults.append(Finding("error", Path(one.where).name, one.message))
        else:
            gathered.append(one)
    findings += faults[:_MOST]
    if len(faults) > _MOST:
        findings.append(Finding("error", path.name, f"and {len(faults) - _MOST:,} more rows that cannot be used."))
    large, small = large_enough(gathered)
    findings += [Finding("warning", path.name, sentence) for sentence in small]
    findings += [Finding("warning", *fault) for task in large for fault in _task_faults(task)]
    if (
        not faults
        and len(sound) == len(own_files(path))
        and (why := too_few([one.name for one in large], len(gathered) - len(large)))
    ):
        findings.append(Finding("error", path.name, why))
    return findings, len(gathered)


def _task_faults(task: Gathered) -> Iterator[tuple[str, str]]:
    """Places and sentences."""
    for places, fault in (
        (task.padded, "outputs with blanks around. They are read without."),
        (task.disputed, "rows with another output for an input that was there before. It is a further reference."),
    ):
        if places:
            yield Path(places[0]).name, f"is the first of {_rows(places)} of task {task.name!r}: {fault}"
    if task.repeated:
        first = next(iter(task.rows.values())).where
        file = Path(first).name.rpartition(",")[0]
        yield file, f"repeats {counted(task.repeated, 'row')} of task {task.name!r}. They are dropped."
    if len({outputs[0] for outputs in task.outputs.values()}) == 1:
        only = next(iter(task.outputs.values()))[0]
        file = Path(next(iter(task.rows.values())).where).name.rpartition(",")[0]
        yield file, f"task {task.name!r} knows one output only, {only!r}. Nothing can be learnt or measured with it."


def _rows(places: Sequence[str]) -> str:
    return counted(len(places), "row")
