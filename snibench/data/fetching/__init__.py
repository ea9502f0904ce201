"""``snibench data fetch``: Super-NaturalInstructions as a folder in the official layout.

Three sources give the same kind of folder: a git repository (the official one by default, only the files that are
needed), a tar archive over HTTP, and a flattened mirror on the hub. A fetch that was broken off goes on where it
stopped: what is there lies in ``.<folder>.fetching`` beside the folder, and takes its name in one step at the end.
``fetched.json`` keeps the source, its revision, and the SHA-256 of every file, which ``snibench data check`` compares.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from snibench.base import reading
from snibench.base.errors import DataError, UsageError
from snibench.base.hashing import file_digest
from snibench.data.fetching import archive, mirror, repository
from snibench.data.fetching.order import Order, Progress, Receipt
from snibench.data.natural_instructions import LARGEST_FILE, task_files

RECEIPT = "fetched.json"


def fetch(order: Order, folder: Path, progress: Progress = lambda what, done, total: None) -> Receipt:
    """Fetch what ``order`` names into the new ``folder``, and return its receipt.

    Raises:
        UsageError: If ``folder`` holds something, or the source is of no known kind.
        DataError: If the source does not answer, breaks off, or gives something else than was asked for. What came
            is kept, and the same call goes on from there.
    """
    from filelock import FileLock

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already. Use it with --data {folder}, or name a new folder.")
    working = folder.with_name(f".{folder.name}.fetching")
    try:
        working.mkdir(parents=True, exist_ok=True)
        with FileLock(working / "lock"):
            _same_order(order, working)
            tree = working / "tree"
            if order.source.startswith("hub:"):
                receipt = mirror.fetch(order, working, tree, progress)
            elif archive.is_archive(order.source):
                receipt = archive.fetch(order, working, tree, progress)
            else:
                receipt = repository.fetch(order, working, tree, progress)
            task_files(tree)  # a source without a task is a mistake
            receipt = replace(receipt, files=_digests(tree))
            (tree / RECEIPT).write_text(json.dumps(asdict(receipt), indent=1) + "\n", encoding="utf-8")
            if folder.exists():
                folder.rmdir()
            tree.replace(folder)
        shutil.rmtree(working)
    except OSError as error:
        raise DataError(
            f"{error.filename or folder} cannot be written ({error.strerror or error}). Free space, or name another "
            "folder; the same command goes on from there."
        ) from error
    return receipt


def changed_files(folder: Path) -> list[tuple[str, str]]:
    """(file, what is wrong) for every file of ``folder`` that is not as it was fetched; none without a receipt."""
    path = folder / RECEIPT
    if not path.is_file():
        return []
    try:
        kept = reading.read_json(path, LARGEST_FILE)["files"]
        expected = {str(name): str(value) for name, value in kept.items()}
    except (reading.Unreadable, KeyError, TypeError, AttributeError):
        return [(RECEIPT, "is not the receipt of a fetch. Delete it, or fetch the folder again.")]
    found = []
    for name, value in sorted(expected.items()):
        file = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            found.append((RECEIPT, f"names {reading.quoted(name)}, which is not in the folder. Fetch it again."))
        elif not reading.is_file(file):
            found.append((name, "was fetched and is missing. Fetch the folder again."))
        elif file_digest(file) != value:
            found.append((name, "differs from what was fetched. Fetch the folder again, or delete fetched.json."))
    return found


def _same_order(order: Order, working: Path) -> None:
    """Drop files of another order, which cannot be continued."""
    kept = working / "order.json"
    text = json.dumps(asdict(order), default=str)
    if kept.exists() and kept.read_text(encoding="utf-8") == text:
        return
    for path in working.iterdir():
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    kept.write_text(text, encoding="utf-8")


def _digests(tree: Path) -> dict[str, str]:
    return {path.relative_to(tree).as_posix(): file_digest(path) for path in sorted(tree.rglob("*")) if path.is_file()}
