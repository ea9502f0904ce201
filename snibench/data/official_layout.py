"""A suite as a folder in the official layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from snibench.base.errors import DataError, UsageError
from snibench.base.types import SuiteData, Task


def export_suite(
    suite: SuiteData, folder: Path, *, originals: Mapping[str, Path] | None = None, licence: str = "Unknown"
) -> None:
    """Writes ``tasks/*.json`` and ``splits/default/*.txt`` (train = seen, test = unseen) below ``folder``.

    All or nothing: the folder takes its name in one step at the end. What a killed export left is replaced.

    Read back, the tasks are equal to those of ``suite``.

    Args:
        suite: What to write, whole: evaluation and training instances alike.
        folder: Made if it is not there; must be empty.
        originals: Task files to copy as they are, because they say more than a ``Task``: contributors, licences.
        licence: Of the instances of tasks that have no original.

    Raises:
        UsageError: If ``folder`` holds something, or cannot be written.
        DataError: If a task's name cannot be a file's name.
    """
    from filelock import FileLock

    originals = originals or {}
    for name in suite.tasks:
        if name.strip(". ") == "" or not name.isprintable() or set(name) & set("/\\"):
            raise DataError(f"The task name {name!r} cannot be a file's name. Rename the task.")
    working = folder.with_name(f".{folder.name}.exporting")
    try:
        require_new_folder(folder)
        working.mkdir(parents=True, exist_ok=True)
        with FileLock(working / "lock"):
            tree = working / "tree"
            shutil.rmtree(tree, ignore_errors=True)  # of an export that was killed
            _write(suite, tree, originals, licence)
            if folder.exists():
                folder.rmdir()
            tree.replace(folder)
        shutil.rmtree(working)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from None


def _write(suite: SuiteData, tree: Path, originals: Mapping[str, Path], licence: str) -> None:
    (tree / "tasks").mkdir(parents=True)
    (tree / "splits/default").mkdir(parents=True)
    for name, task in suite.tasks.items():
        path = tree / "tasks" / f"{name}.json"
        if name in originals:
            shutil.copyfile(originals[name], path)
        else:
            path.write_text(json.dumps(official_json(task, licence), indent=4, ensure_ascii=False), "utf-8")
    for side, names in (("train", suite.seen), ("test", suite.unseen), ("excluded", ())):
        path = tree / "splits/default" / f"{side}_tasks.txt"
        path.write_text("".join(f"{name}\n" for name in names), "utf-8")


def require_new_folder(folder: Path) -> None:
    """Raises UsageError if ``folder`` holds something or is a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty. Choose a new folder.")


def official_json(task: Task, licence: str = "Unknown") -> dict[str, Any]:
    """``task`` with the fourteen keys of the official schema, in their order."""
    card = task.card
    return {
        "Contributors": [],
        "Source": list(card.sources),
        "URL": [],
        "Categories": [card.category],
        "Reasoning": [],
        "Definition": [card.definition],
        "Input_language": ["English"],
        "Output_language": ["English"],
        "Instruction_language": ["English"],
        "Domains": list(card.domains),
        "Positive Examples": [asdict(example) for example in card.positive],
        "Negative Examples": [asdict(example) for example in card.negative],
        "Instances": [
            {"id": instance.id, "input": instance.input, "output": list(instance.outputs)}
            for instance in task.instances
        ],
        "Instance License": [licence],
    }
