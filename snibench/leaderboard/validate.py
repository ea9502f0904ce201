"""Whether a leaderboard file is one: JSON, schema, completeness, rows. The file may come from anybody."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from snibench.base import reading
from snibench.base.errors import DataError
from snibench.base.hashing import file_digest

LARGEST = 32 * 2**20  # bytes of a board file
MOST_VALUES = 2_000_000  # in one file
DEEPEST = 32  # levels of nesting; a board needs eight
LONGEST = 10_000  # characters of one string
MOST_FAULTS = 50  # reported for one file
LARGEST_INTEGER = 2**63  # what every JSON reader keeps exactly, or at least stores


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a file. ``pointer`` is a JSON pointer (RFC 6901), empty for the whole file."""

    path: Path
    pointer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.pointer or '(whole file)'}: {self.reason}"


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a leaderboard file, draft 2020-12."""
    loaded: dict[str, Any] = json.loads(files("snibench.leaderboard").joinpath("schema.json").read_text("utf-8"))
    return loaded


def faults(path: Path) -> list[Fault]:
    """Faults of the leaderboard file at ``path``, at most ``MOST_FAULTS``; empty if there are none.

    Later checks need earlier ones: text that is no JSON has no fields, a file that breaks the schema is not
    searched for what it lacks.
    """
    try:
        board = _parsed(path)
    except _NotJson as error:
        return [Fault(path, "", str(error))]
    if fault_list := board_faults(board, path):
        return fault_list
    return [Fault(path, pointer, reason) for pointer, reason in _first(_row_faults(board, path.parent), MOST_FAULTS)]


def board_faults(board: Any, path: Path) -> list[Fault]:
    """Faults of ``board``, which is to be written to ``path``, but for those of its rows."""
    for check in (_values, _schema_faults, _gaps):
        if fault_list := [Fault(path, pointer, reason) for pointer, reason in _first(check(board), MOST_FAULTS)]:
            return fault_list
    return []


def read_board(path: Path) -> dict[str, Any]:
    """The valid board at ``path``. Its rows are not looked at: a board can be read without them.

    Raises:
        DataError: If something is wrong with it; names file, field and reason of the first fault.
    """
    try:
        board: dict[str, Any] = _parsed(path)
    except _NotJson as error:
        raise DataError(str(Fault(path, "", str(error)))) from error
    for check in (_values, _schema_faults, _gaps):
        for pointer, reason in check(board):
            raise DataError(f"{Fault(path, pointer, reason)} For every fault: snibench leaderboard validate {path}")
    return board


# ------------------------------------------------------------------------------------------- JSON


class _NotJson(Exception):
    """The file cannot be taken as JSON; the message is for the user."""


def _parsed(path: Path) -> Any:
    try:
        return reading.read_json(path, LARGEST, _object, finite=True)
    except reading.Unreadable as error:
        raise _NotJson(f"{error}.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise reading.NotJson(f"has the key {_quoted(twice)} twice in one object")
    return values


# ----------------------------------------------------------------------------------- single values

Found = Iterator[tuple[str, str]]  # JSON pointer, reason


def _values(board: Any) -> Found:
    """Faults that no schema finds: depth, number of values, finite numbers, printable text. Not recursive."""
    open_values: list[Iterator[tuple[str, Any]]] = [iter([("", board)])]
    count = 0
    while open_values:
        if (following := next(open_values[-1], None)) is None:
            open_values.pop()
            continue
        pointer, value = following
        count += 1
        if count > MOST_VALUES:
            yield "", f"holds more than {MOST_VALUES:,} values, so it is no leaderboard."
            return
        if len(open_values) > DEEPEST:
            yield pointer[:200], f"is nested deeper than {DEEPEST} levels."
        elif isinstance(value, dict):
            yield from ((pointer, f"the key {_quoted(k)} {reason}") for k in value if (reason := _text_fault(k)))
            open_values.append(_members(pointer, value.items()))
        elif isinstance(value, list):
            open_values.append(_members(pointer, enumerate(value)))
        elif isinstance(value, str) and (reason := _text_fault(value)):
            yield pointer, f"{_quoted(value)} {reason}"
        elif isinstance(value, float) and not math.isfinite(value):
            yield pointer, "is too large for a number."
        elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            yield pointer, "is an integer of more than 64 bits."


def _members(pointer: str, items: Iterable[tuple[str | int, Any]]) -> Iterator[tuple[str, Any]]:
    return ((inside(pointer, name), item) for name, item in items)


def _text_fault(text: str) -> str:
    if len(text) > LONGEST:
        return f"is longer than {LONGEST} characters."
    if not text.isprintable() and any(_hidden(character) for character in text):
        return "holds a control character or one that cannot be shown; remove it."
    return ""


def _hidden(character: str) -> bool:
    """Control characters, surrogates, line separators and overrides of the writing direction."""
    return (
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} and character != "\n"
    ) or unicodedata.bidirectional(character) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def inside(before: str, part: str | int) -> str:
    """The JSON pointer of a member of what ``before`` points to, on one printable line whatever the key holds."""
    name = str(part).replace("~", "~0").replace("/", "~1")
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)
    return f"{before}/{''.join(shown)}"


def _quoted(value: object) -> str:
    text = repr(value if not isinstance(value, str) else value[:80])
    return text if len(text) <= 80 else text[:79] + "…"


def _first(pairs: Found, most: int) -> Iterator[tuple[str, str]]:
    for count, fault in enumerate(pairs):
        if count == most:
            yield "", f"has more faults than the {most} listed."
            return
        yield fault


# ----------------------------------------------------------------------------------------- schema


def _schema_faults(board: Any) -> Found:
    validator = Draft202012Validator(schema())
    for error in validator.iter_errors(board):
        pointer = ""
        for part in error.absolute_path:
            pointer = inside(pointer, part)
        yield pointer, _reason(error)


def _reason(error: ValidationError) -> str:
    """The fault in our words; jsonschema's own messages repeat the whole value, however large."""
    instance: Any = error.instance
    wanted: Any = error.validator_value
    match error.validator:
        case "required":
            names = [name for name in wanted if name not in instance]
            return f"lacks the field {', '.join(map(repr, names))}."
        case "additionalProperties":
            known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
            names = [_quoted(name) for name in instance if name not in known]
            return f"has the unknown field {', '.join(names[:5])}."
        case "type":
            types = " or ".join([wanted] if isinstance(wanted, str) else wanted)
            return f"must be {types}, but is {_quoted(instance)}."
        case "enum":
            return f"must be one of {', '.join(map(repr, wanted))}, but is {_quoted(instance)}."
        case "const" if wanted == 2 and instance == 1:
            return "is the first version of this format, which had no suite to check against. Export the run again."
        case "const":
            return f"must be {wanted!r}, but is {_quoted(instance)}."
        case "minimum":
            return f"must be at least {wanted}, but is {instance}."
        case "maximum":
            return f"must be at most {wanted} (scores are fractions), but is {instance}."
        case "minItems" | "minProperties":
            return "must not be empty."
        case "minLength":
            return "must not be an empty string."
        case "maxItems" | "maxLength":
            return f"must not be longer than {wanted}."
        case "pattern":
            return f"must match {wanted}, but is {_quoted(instance)}."
        case "oneOf":
            return f"must be 64 hexadecimal digits or null, but is {_quoted(instance)}."
        case _:
            return f"breaks the rule '{error.validator}' of the schema; it is {_quoted(instance)}."


# ------------------------------------------------------------------------------------ completeness


def _gaps(board: Any) -> Found:
    """Gaps and contradictions in a board that follows the schema."""
    labels: dict[tuple[str, str], int] = {}
    for i, entry in enumerate(board["entries"]):
        at = f"/entries/{i}"
        key = (entry["status"], entry["label"])
        if key in labels:
            yield f"{at}/label", f"{_quoted(entry['label'])} is the label of /entries/{labels[key]} too."
        labels.setdefault(key, i)
        yield from _metric_gaps(board, entry, at)
        if len(set(entry["seeds"])) < len(entry["seeds"]):
            yield f"{at}/seeds", "names a seed twice."
        if entry["status"] == "measured":
            yield from _path_faults(entry["rows"]["path"], f"{at}/rows/path")
            yield from _question_faults(board, entry, at)
            if entry["fits"]["done"] > entry["fits"]["planned"]:
                yield f"{at}/fits", "has more fits done than planned."
    yield from _comparison_gaps(board)
    if any(entry["status"] == "measured" for entry in board["entries"]):
        needed = {
            "/suite/digest": board["suite"]["digest"],
            "/suite/request": board["suite"]["request"],
            "/model/digest": board["model"]["digest"],
            **{inside("/protocols", name) + "/version": one["version"] for name, one in board["protocols"].items()},
            **{inside("/protocols", name) + "/questions": one["questions"] for name, one in board["protocols"].items()},
        }
        yield from (
            (at, "must be known on a board with measured entries.") for at, one in needed.items() if one is None
        )


def _question_faults(board: Any, entry: Any, at: str) -> Found:
    for protocol, digest in entry["rows"]["questions"].items():
        pointer = inside(f"{at}/rows/questions", protocol)
        if protocol not in board["protocols"]:
            yield pointer, "is of a protocol that /protocols does not name."
        elif digest != board["protocols"][protocol]["questions"]:
            yield pointer, "differs from /protocols: the entry answered other questions and cannot be compared."


def _comparison_gaps(board: Any) -> Found:
    """Comparisons of entries that may not be ranked, or none of those that must be."""
    ranked = {entry["label"] for entry in board["entries"] if entry["status"] == "measured"}
    ranked -= {
        entry["label"] for entry in board["entries"] if entry["status"] == "measured" and incomplete(board, entry)
    }
    if board["baseline"] is not None and board["baseline"] not in ranked:
        yield "/baseline", f"{_quoted(board['baseline'])} is no complete measured entry."
    for question, rows in board["comparisons"].items():
        at = inside("/comparisons", question)
        labels = [row["label"] for row in rows]
        if len(set(labels)) < len(labels):
            yield at, "names an entry twice."
        for place, label in enumerate(labels):
            if label not in ranked:
                yield f"{at}/{place}/label", f"{_quoted(label)} is no complete measured entry, so it has no rank."


def incomplete(board: Any, entry: Any) -> tuple[str, ...]:
    """Why a measured ``entry`` is incomplete and takes no part in ranks and tests; empty if it is complete."""
    asked = entry["rows"]["questions"]
    done, planned = entry["fits"]["done"], entry["fits"]["planned"]
    return (
        *(f"protocol {name} was not asked" for name in board["protocols"] if name not in asked),
        *([f"{done} of {planned} fits are done"] if done < planned else []),
    )


def _metric_gaps(board: Any, entry: Any, at: str) -> Found:
    for protocol in entry["metrics"]:
        if protocol not in board["protocols"]:
            yield inside(f"{at}/metrics", protocol), "is of a protocol that /protocols does not name."
    if entry["status"] == "measured":
        for protocol in entry["rows"]["questions"]:
            if protocol not in entry["metrics"]:
                yield f"{at}/metrics", f"lacks the protocol {_quoted(protocol)}."
            elif not any(entry["metrics"][protocol].values()):
                yield inside(f"{at}/metrics", protocol), "must not be empty."
    for pointer, measure in measures(entry, at):
        mean, low, high = measure["mean"], measure["ci_low"], measure["ci_high"]
        if (low is None) != (high is None):
            yield pointer, "must have both ends of its interval or none."
        elif low is not None and low > high:
            yield pointer, f"has ci_low {low} above ci_high {high}."
        elif low is not None and mean is None:
            yield f"{pointer}/mean", "must be known where the interval is."
        if entry["status"] == "measured" and mean is not None and measure["n"] is None:
            yield f"{pointer}/n", "must be known where the mean is measured."


def measures(entry: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every measure of ``entry`` with its JSON pointer, ``at`` being the entry's."""
    for protocol, metrics in entry["metrics"].items():
        under = inside(f"{at}/metrics", protocol)
        for name, measure in metrics["overall"].items():
            yield inside(f"{under}/overall", name), measure
        for kind, groups in metrics["by"].items():
            for group, named in groups.items():
                for name, measure in named.items():
                    yield inside(inside(inside(f"{under}/by", kind), group), name), measure


def _path_faults(path: str, pointer: str) -> Found:
    parts = PurePosixPath(path).parts
    if "\\" in path or ":" in path or path.startswith("/") or ".." in parts or path != str(PurePosixPath(path)):
        yield pointer, f"{_quoted(path)} must be a plain path below the board's folder, with forward slashes."


def _row_faults(board: Any, folder: Path) -> Found:
    """Rows that are missing, elsewhere, or not what the digest says."""
    for i, entry in enumerate(board["entries"]):
        if entry["status"] != "measured":
            continue
        file, at = folder / entry["rows"]["path"], f"/entries/{i}/rows"
        try:
            if not file.resolve().is_relative_to(folder.resolve()):
                yield f"{at}/path", "leads out of the board's folder."
            elif not file.is_file():
                yield f"{at}/path", f"there is no file {_quoted(entry['rows']['path'])} beside the board."
            elif file_digest(file) != entry["rows"]["digest"]:
                yield f"{at}/digest", "differs from the digest of the rows file: one of the two was changed."
        except OSError as error:
            yield f"{at}/path", f"cannot be read ({error.strerror})."
