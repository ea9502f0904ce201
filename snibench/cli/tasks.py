"""The tasks of a suite, of a folder or of files of rows: listed, described, and shown one by one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from snibench.base.errors import unknown
from snibench.base.reading import is_file, is_folder
from snibench.base.registry import SUITES
from snibench.plan import defaults
from snibench.plan.options import suite_request

if TYPE_CHECKING:
    from snibench.base.types import SuiteRequest, Task
    from snibench.data.overview import Overview


def overview(suite: str | None, data: Path | None, split: str | None = None) -> Overview:
    """The tasks of ``suite``, or of ``data``; a folder in the official layout is shown whole if no split is named."""
    from snibench.data.overview import describe_folder, describe_suite

    request = suite_request(suite, data, split=split)
    if data is not None and split is None and request.name == defaults.SUITE_OF_DATA:
        return describe_folder(data)
    return describe_suite(SUITES.get(request.name)().load(request))


def source_of(text: str) -> tuple[str | None, Path | None]:
    """``text`` as the name of a suite, or as a path; a path has a slash or an ending, or is there."""
    path = Path(text)
    if text in SUITES.names() and not is_file(path):
        return (None, path) if is_folder(path) else (text, None)
    return (None, path) if is_folder(path) or is_file(path) or "/" in text or path.suffix else (text, None)


def task_named(name: str, suite: str | None, data: Path | None) -> Task:
    """The task ``name`` of ``suite``, or of ``data``.

    Raises:
        UsageError: If there is none; suggests the closest.
    """
    request: SuiteRequest = suite_request(suite, data)
    if data is not None and request.name == defaults.SUITE_OF_DATA:
        from snibench.data.natural_instructions import load_task, task_files

        files = task_files(data)
        if name not in files:
            raise unknown("task", name, files)
        return load_task(files[name])
    tasks = SUITES.get(request.name)().load(request).tasks
    if name not in tasks:
        raise unknown("task", name, tasks)
    found: Task = tasks[name]
    return found
