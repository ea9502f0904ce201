"""Sources that can be fetched, and which files of the official repository belong to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snibench.base.errors import DataError

OFFICIAL = "https://github.com/allenai/natural-instructions.git"

Track = Literal["default", "xlingual", "all"]
Progress = Callable[[str, int, int], None]  # what is counted, how many are here, of how many (0: not known)


@dataclass(frozen=True, slots=True)
class Order:
    """Selection of files to fetch.

    ``source``: a git repository, the URL of a tar archive, or ``hub:OWNER/NAME``. ``revision``: commit, tag or branch
    (git, hub). ``sha256``: of the archive. ``track``: whose tasks; "all" takes the excluded ones too. ``table``: a
    tab-separated file with the columns task, category, domain, source, which flattened mirrors lack.
    """

    source: str = OFFICIAL
    revision: str = ""
    sha256: str = ""
    track: Track = "default"
    table: Path | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Origin of a folder, and the SHA-256 of its files by their paths below it."""

    source: str
    revision: str
    track: str
    files: dict[str, str]
    notes: tuple[str, ...] = ()


def wanted_tasks(track: Track, read: Callable[[str], str | None]) -> frozenset[str] | None:
    """The tasks of a track by its split lists, which ``read`` gives by path; None for all tasks.

    Raises:
        DataError: If the source has no such list.
    """
    if track == "all":
        return None
    names: set[str] = set()
    for side in ("train", "test"):
        path = f"splits/{track}/{side}_tasks.txt"
        text = read(path)
        if text is None:
            raise DataError(f"The source has no {path}, so that track '{track}' is not known. Fetch --track all.")
        names.update(line.strip() for line in text.splitlines() if line.strip())
    return frozenset(names)


def belongs(path: str, tasks: frozenset[str] | None) -> bool:
    """Whether a file of the official repository is part of the folder: lists, licence, and the tasks wanted."""
    home, _, name = path.rpartition("/")
    if home == "tasks" and name.endswith(".json"):
        return tasks is None or name.removesuffix(".json") in tasks
    return path == "LICENSE" or (path.startswith("splits/") and name.endswith(".txt"))
