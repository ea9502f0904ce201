"""Flattened mirrors on the hub, one row per reference, put back into the official layout.

Such a mirror has the columns task_name, id, definition, inputs, targets, and maybe pos_0_input, neg_0_output and so on.
It has lost the lists of references (rows of one id are joined), categories, domains and sources (a table may give
them).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snibench.base.errors import DataError, MissingExtra, first_line
from snibench.data.fetching.order import Order, Progress, Receipt

COLUMNS = ("task_name", "id", "definition", "inputs", "targets")
# Which list of the official layout the splits of a mirror become.
_SIDES = {"train": "train", "test": "test", "validation": "excluded"}
_UNKNOWN = "Unknown"


def fetch(order: Order, working: Path, tree: Path, progress: Progress) -> Receipt:
    """Load the mirror through ``datasets``, which keeps what it downloaded, and write it into ``tree``.

    Raises:
        DataError: If the hub does not give it, or a column is missing.
        MissingExtra: If ``datasets`` is not installed.
    """
    name = order.source.removeprefix("hub:")
    splits = _load(name, order.revision)
    known = {} if order.table is None else read_table(order.table)
    sides: dict[str, list[str]] = {side: [] for side in _SIDES.values()}
    strangers: set[str] = set()
    for split, rows in splits.items():
        if lacking := [column for column in COLUMNS if column not in rows.column_names]:
            raise DataError(
                f"{order.source} has no column '{lacking[0]}' (it has {', '.join(rows.column_names)}). Only mirrors "
                f"with {', '.join(COLUMNS)} can be put back into the official layout."
            )
        for task, raw in _tasks(rows, split, known, progress):
            path = tree / "tasks" / f"{task}.json"
            if set(task) & set("/\\\0") or not task.strip(". ") or not task.isprintable():
                raise DataError(f"{order.source} names a task {task!r}, which cannot be a file's name.")
            if path.exists() and task in (earlier for names in sides.values() for earlier in names):
                raise DataError(f"{order.source} holds the task '{task}' in two splits.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(raw, indent=1, ensure_ascii=False), encoding="utf-8")
            sides[_SIDES.get(split, "excluded")].append(task)
            if task not in known:
                strangers.add(task)
    for side, names in sides.items():
        path = tree / "splits/default" / f"{side}_tasks.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{task}\n" for task in sorted(names)), encoding="utf-8")
    notes = [
        f"{len(strangers)} tasks have no category, domain or source: the mirror has none, and --table names none. "
        f"Tables by category show them as '{_UNKNOWN}', and leaks between sources cannot be seen."
    ]
    return Receipt(order.source, order.revision, order.track, {}, tuple(notes if strangers else ()))


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """Task -> its row in the tab-separated ``path``, which has at least the columns task and category.

    Raises:
        DataError: If it cannot be read or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t")
            if lacking := {"task", "category"}.difference(reader.fieldnames or ()):
                raise DataError(f"{path} has no column '{min(lacking)}'. Its first line must name task and category.")
            return {row["task"]: {key: value or "" for key, value in row.items() if key} for row in reader}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a tab-separated table in UTF-8: {error}.") from error


def _load(name: str, revision: str) -> Mapping[str, Any]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("Fetching a mirror", "train") from error
    try:
        # Rows only: a script that comes with a data set is never run.
        loaded = datasets.load_dataset(name, revision=revision or None)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"The hub does not give the data set '{name}' ({first_line(error)}). Check its name and the network."
        ) from error
    return dict(loaded)


def _tasks(
    rows: Any, split: str, known: Mapping[str, Mapping[str, str]], progress: Progress
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, official JSON) of every task of one split."""
    by_task: dict[str, list[int]] = {}
    for number, task in enumerate(rows["task_name"]):
        by_task.setdefault(task, []).append(number)
    for done, (task, numbers) in enumerate(by_task.items(), start=1):
        # Gigabytes as a whole, but no task is large.
        part = rows.select(numbers)
        yield task, _official(task, list(part), known.get(task, {}))
        progress(f"tasks of {split}", done, len(by_task))


def _official(task: str, rows: list[dict[str, Any]], facts: Mapping[str, str]) -> dict[str, Any]:
    instances: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = instances.setdefault(row["id"], {"id": row["id"], "input": row["inputs"], "output": []})
        targets = row["targets"] if isinstance(row["targets"], list) else [row["targets"]]
        entry["output"] += [target for target in targets if target not in entry["output"]]
    language = {"Input_language": ["English"], "Output_language": ["English"], "Instruction_language": ["English"]}
    if " > " in facts.get("languages", ""):
        source, target = facts["languages"].split(" > ", 1)
        language |= {"Input_language": [source], "Output_language": [target]}
    return {
        "Contributors": [],
        "Source": [facts.get("source") or _UNKNOWN],
        "URL": [],
        "Categories": [facts.get("category") or _UNKNOWN],
        "Reasoning": [],
        "Definition": [rows[0]["definition"]],
        **language,
        "Domains": [facts.get("domain") or _UNKNOWN],
        "Positive Examples": _examples(rows[0], "pos"),
        "Negative Examples": _examples(rows[0], "neg"),
        "Instances": list(instances.values()),
        "Instance License": [facts.get("instance_license") or _UNKNOWN],
    }


def _examples(row: Mapping[str, Any], side: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    while f"{side}_{len(found)}_input" in row and row[f"{side}_{len(found)}_output"] is not None:
        place = f"{side}_{len(found)}"
        parts = {part: row.get(f"{place}_{part}") or "" for part in ("input", "output", "explanation")}
        if not any(parts.values()):
            break
        found.append(parts)
    return found
