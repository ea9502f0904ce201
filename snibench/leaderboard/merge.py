"""Boards joined to one: the same suite, model, limit and questions, ranks and tests computed for all entries."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from snibench.base.errors import DataError, UsageError
from snibench.base.hashing import canonical_json, file_digest
from snibench.base.registry import installed_names
from snibench.leaderboard.export import Exported, check_board, ranked, rows_entry, write_board
from snibench.leaderboard.from_files import of_files
from snibench.leaderboard.pool import Board
from snibench.leaderboard.rows import TARGETS_DIGEST, RowsError, read_rows, write_rows
from snibench.leaderboard.validate import faults, read_board
from snibench.report.cells import printable
from snibench.store import StoredRun, write_whole

# What makes two entries of one label different methods; the code may be that of another release.
_SETTINGS = ("settings", "rule_settings", "sampler", "sampler_settings", "train_format", "precision")


@dataclass(frozen=True, slots=True)
class _Read:
    path: Path
    board: Board


@dataclass(frozen=True, slots=True)
class _Rows:
    """``source``: the file that has them as they are; None where the label is another."""

    source: Path | None
    results: StoredRun


@installed_names()
def merge(paths: Sequence[Path], output: Path) -> Exported:
    """Write one board with the entries of all boards at ``paths`` to the file ``output``, which may be one of them.

    An entry that several boards hold, answer for answer, stands once. Where two have one label but other answers,
    the later one is called for its author, or for its file. The baseline is that of the first board that has one.

    Raises:
        DataError: If a board is not valid; names the first fault.
        UsageError: If two boards may not be compared; says why.
    """
    boards = [_valid(path) for path in paths]
    first = boards[0]
    for one, other in combinations(boards, 2):
        if why := next(_differences(one.board, other.board), ""):
            raise UsageError(
                f"{printable(other.path, 500)} cannot be merged with {printable(one.path, 500)}: {why} Entries are "
                "comparable only where suite, model, limit and the questions of shared protocols are the same."
            )
    entries: list[dict[str, Any]] = []
    rows: dict[str, _Rows] = {}
    notes = []
    try:
        for read in boards:
            for entry in read.board["entries"]:
                own = dict(entry)
                if any(_same(own, read.path, there, rows) for there in entries):
                    notes.append(f"{own['label']} of {read.path.name} is there already, answer for answer.")
                    continue
                label = _free_label(own, entries, read.path)
                if label != own["label"]:
                    notes.append(f"{own['label']} of {read.path.name} is called {label}: it has other answers.")
                own["label"] = label
                entries.append(own)
                if own["status"] == "measured":
                    rows[label] = _rows(read.path.parent / own["rows"]["path"], label)
                    _check_files(read.path, read.board, rows[label].results)
                    own["rows"] = {
                        **rows_entry(label, rows[label].results, output, own["rows"]["references"]),
                        "digest": own["rows"]["digest"],
                        "questions": own["rows"]["questions"],
                    }
        board = {
            **first.board,
            "protocols": {name: one for read in boards for name, one in read.board["protocols"].items()},
            "baseline": next((one.board["baseline"] for one in boards if one.board["baseline"]), None),
            "entries": entries,
            "comparisons": {},
        }
        board = ranked(board, {label: one.results for label, one in rows.items()})
    except RowsError as error:
        raise DataError(f"The rows of an entry {error}") from error
    check_board(board, output)
    for entry in entries:
        if entry["status"] == "measured":
            entry["rows"]["digest"] = _written(rows[entry["label"]], output.parent / entry["rows"]["path"], entry)
    write_board(output, board)
    return Exported(output, tuple(notes))


def _valid(path: Path) -> _Read:
    if fault_list := faults(path):
        raise DataError(f"{fault_list[0]} For every fault: snibench leaderboard validate {path}")
    return _Read(path, read_board(path))


def _check_files(path: Path, board: Board, results: StoredRun) -> None:
    """Raises UsageError if a protocol of the rows rests on a class in a file: nobody could verify the joined board."""
    settings = {name: one["settings"] for name, one in board["protocols"].items()}
    for protocol, why in of_files(results.answers, results.tasks, settings):
        raise UsageError(f"{printable(path, 500)}, protocol {printable(protocol)}: {why}")


def _differences(first: Board, other: Board) -> Iterator[str]:
    """One sentence for each reason why entries of the two may not stand together."""
    for part, fields in (("suite", ("digest",)), ("model", ("digest", "tokenizer_digest"))):
        for field in fields:
            if first[part][field] != other[part][field]:
                named = [
                    f"{printable(board[part]['name'])} {(board[part][field] or 'unknown')[:12]}"
                    for board in (first, other)
                ]
                yield f"the {field.replace('_', ' ')} of the {part} differs ({' and '.join(named)})."
    if first["limit"] != other["limit"]:
        yield f"the limit of questions differs ({first['limit']} and {other['limit']})."
    for name in first["protocols"].keys() & other["protocols"].keys():
        mine, theirs = first["protocols"][name], other["protocols"][name]
        for field in ("version", "settings", "questions"):
            if mine[field] != theirs[field]:
                shown = f" ({mine[field]} and {theirs[field]})" if field == "version" else ""
                yield f"the {field} of protocol {printable(name)} differ{'s' if field == 'version' else ''}{shown}."


def _same(own: dict[str, Any], path: Path, there: dict[str, Any], rows: Mapping[str, _Rows]) -> bool:
    """Whether two entries are one: the same method with the same answers, by whichever snibench it was tuned."""
    if own["status"] != there["status"] or own["label"] != there["label"]:
        return False
    if own["status"] == "reported":
        return canonical_json(own) == canonical_json(there)
    if own["rows"]["digest"] == there["rows"]["digest"]:
        return True
    answers = [read_rows(path.parent / own["rows"]["path"]).answers, rows[there["label"]].results.answers]
    first, other = (frame.drop(columns=["fit", "targets", TARGETS_DIGEST], errors="ignore") for frame in answers)
    settings = [{key: value for key, value in entry["config"].items() if key in _SETTINGS} for entry in (own, there)]
    return settings[0] == settings[1] and first.equals(other)


def _free_label(entry: dict[str, Any], entries: Sequence[dict[str, Any]], path: Path) -> str:
    taken = {one["label"] for one in entries if one["status"] == entry["status"]}
    label = str(entry["label"])
    whose = [*entry["authors"][:1], path.stem]
    wishes = [label, *(f"{label} [{name}]"[:200] for name in whose)]
    wishes += [f"{label} [{number}]" for number in range(2, len(entries) + 3)]
    return next(wish for wish in wishes if wish not in taken)


def _rows(source: Path, label: str) -> _Rows:
    """The rows in ``source`` under the label of their entry on the new board."""
    results = read_rows(source)
    if list(results.answers["method"].unique()) == [label]:
        return _Rows(source, results)
    return _Rows(None, replace(results, answers=results.answers.assign(method=label)))


def _written(rows: _Rows, target: Path, entry: dict[str, Any]) -> str:
    """The digest of the rows, which are at ``target`` now: byte for byte where nothing in them is another."""
    if rows.source is None:
        write_rows(target, rows.results, entry["rows"]["references"])
    elif target.resolve() != rows.source.resolve():
        source = rows.source
        write_whole(target, lambda new: shutil.copyfile(source, new))
    return file_digest(target)
