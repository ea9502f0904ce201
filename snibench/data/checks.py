"""Everything that is wrong with a folder of task files, at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

from snibench.base import reading
from snibench.base.errors import DataError
from snibench.base.types import Task
from snibench.base.wording import counted
from snibench.data.fetching import changed_files
from snibench.data.leakage import input_key, origins, source_keys
from snibench.data.natural_instructions import LARGEST_FILE, read_json, task_files, task_from_json
from snibench.data.near_duplicates import near_duplicates
from snibench.data.sni import HELD_OUT
from snibench.data.split_lists import raw_lines, read_list, with_closest
from snibench.data.task_faults import errors, warnings

SIDES = ("train", "test", "excluded")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong in one file; an error makes a suite refuse it, a warning does not."""

    severity: Literal["error", "warning"]
    file: str  # below the folder
    message: str


def check_folder(folder: Path, *, partial: bool = False, near: bool = False) -> list[Finding]:
    """Faults of the task files and split lists in ``folder``: file by file, then list by list.

    Errors are what loading refuses; the rules of the official CI, and leaks between train and test tasks, are warnings.

    Args:
        folder: In the official layout, or flat.
        partial: Tasks that a list names and the folder lacks are warnings, not errors.
        near: Look for inputs of train tasks that nearly repeat an evaluated input of a test task, too.

    Raises:
        DataError: If there is no such folder, or no task file in it.
        MissingExtra: If ``near`` is asked for and datasketch is not installed.
    """
    files = task_files(folder)
    findings: list[Finding] = []
    sound = {}
    for name, path in files.items():
        of_file = list(_file_findings(path, path.relative_to(folder).as_posix()))
        findings += of_file
        if not any(finding.severity == "error" for finding in of_file):
            sound[name] = path
    findings += [Finding("error", file, message) for file, message in changed_files(folder)]
    for track in sorted(path for path in folder.glob("splits/*") if path.is_dir()):
        findings += _track_findings(folder, track, files, sound, partial, near)
    return findings


def _file_findings(path: Path, file: str) -> Iterator[Finding]:
    try:
        raw = read_json(path)
    except DataError as error:
        yield Finding("error", file, str(error).removeprefix(str(path)).strip())
        return
    for key in sorted(_repeated_keys(path)):
        twice = f"holds the key {reading.quoted(key)} twice in one object."
        yield Finding("error", file, f"{twice} Keep one; JSON would drop the first.")
    of_fields = list(errors(raw))
    for fault in of_fields or warnings(raw):
        yield Finding(fault.severity, file, str(fault))


def _repeated_keys(path: Path) -> set[str]:
    repeated: set[str] = set()

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            repeated.update(key for key, count in Counter(keys).items() if count > 1)
        return {}

    reading.read_json(path, LARGEST_FILE, note)
    return repeated


def _track_findings(
    folder: Path, track: Path, files: Mapping[str, Path], sound: Mapping[str, Path], partial: bool, near: bool
) -> Iterator[Finding]:
    sides: dict[str, tuple[str, ...]] = {}
    for side in SIDES:
        path = track / f"{side}_tasks.txt"
        file = path.relative_to(folder).as_posix()
        if side == "excluded" and not path.is_file():
            continue
        try:
            sides[side] = read_list(path)
        except DataError as error:
            yield Finding("error", file, str(error).removeprefix(str(path)).lstrip(",: "))
            continue
        if missing := [name for name in sides[side] if name not in files]:
            yield Finding(
                "warning" if partial or side == "excluded" else "error",  # nothing loads excluded tasks
                file,
                f"names {len(missing)} of {len(sides[side])} tasks that have no file: "
                f"{with_closest(missing, set(files).difference(sides[side]))}. Complete the folder, or use it with "
                "--partial.",
            )
        yield from (Finding("warning", file, message) for message in _line_faults(raw_lines(path)))
    placed: dict[str, str] = {}
    for side, names in sides.items():
        for name in names:
            if name in placed:
                file = (track / f"{side}_tasks.txt").relative_to(folder).as_posix()
                yield Finding("error", file, f"names {name!r}, which {placed[name]}_tasks.txt names too. Keep one.")
            placed.setdefault(name, side)
    if "train" in sides and "test" in sides:
        here = {side: [name for name in sides[side] if name in sound] for side in ("train", "test")}
        file = track.relative_to(folder).as_posix()
        yield from (Finding("warning", file, message) for message in _leaks(here["train"], here["test"], sound))
        if near:
            yield from (Finding("warning", file, message) for message in _near(here["train"], here["test"], sound))


def _line_faults(lines: Sequence[str]) -> Iterator[str]:
    """Names in split lists that the official loader, which takes lines as they are, would not find."""
    if any(not line.strip() for line in lines):
        yield "holds a blank line. Drop it: the official loader looks for '.json' then."
    if padded := [line for line in lines if line.strip() and line != line.strip()]:
        yield (
            f"holds {counted(len(padded), 'name')} with blanks around, {reading.quoted(padded[0])} first. Strip them: "
            "snibench reads names without, the official loader with them."
        )


def _leaks(train: list[str], test: list[str], files: Mapping[str, Path]) -> Iterator[str]:
    tested = [_load(name, files) for name in test]
    pools = {input_key(instance) for task in tested for instance in task.instances[:HELD_OUT]}
    keys = {key for task in tested for key in source_keys(task.card.sources)}
    roots = {root for task in tested for root in origins(task.card.sources)}
    by_name = by_descent = inputs = 0
    for name in train:
        task = _load(name, files)
        by_name += not keys.isdisjoint(source_keys(task.card.sources))
        by_descent += not roots.isdisjoint(origins(task.card.sources))
        inputs += sum(input_key(instance) in pools for instance in task.instances)
    if by_descent:
        yield (
            f"{by_descent} train tasks share a source with a test task, {by_descent - by_name} of them under another "
            "name. Only split 'official' keeps them."
        )
    if inputs:
        yield f"{inputs} train instances have the input of a test instance. They are dropped from training."


def _near(train: list[str], test: list[str], files: Mapping[str, Path]) -> Iterator[str]:
    trained = {name: _load(name, files) for name in train}
    asked = {name: _load(name, files).instances[:HELD_OUT] for name in test}
    for pair in near_duplicates(trained, asked):
        yield (
            f"{pair.count} inputs of train task {pair.train!r} nearly repeat one of test task {pair.test!r} (Jaccard "
            f"similarity of 5-word runs up to {pair.similarity:.2f}): {shorten(pair.train_input, 80)!r} and "
            f"{shorten(pair.test_input, 80)!r}. They are kept."
        )


def _load(name: str, files: Mapping[str, Path]) -> Task:
    return task_from_json(name, read_json(files[name]))
