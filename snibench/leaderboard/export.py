"""A run as a leaderboard: one JSON file, and beside it the rows of every entry."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import UsageError
from snibench.base.hashing import digest, file_digest
from snibench.leaderboard.entries import entry
from snibench.leaderboard.rows import questions_digest, write_rows
from snibench.leaderboard.validate import LARGEST, board_faults, read_board
from snibench.report.files import write_text
from snibench.report.fits import finished, floors, only, public_name

if TYPE_CHECKING:
    from snibench.store import StoredRun


def export(results: StoredRun, place: Path, authors: Sequence[str] = ()) -> Path:
    """Write the board of ``results`` to ``place`` and return its path.

    ``place`` is a file that ends in .json, or a folder, where the board is named for its suite and model. Methods
    without a finished fit are left out, and so are floors.

    Raises:
        UsageError: If the run mixes suites, models or questions, if it is damaged, or if the board
            holds entries that would be lost.
    """
    _check_whole(results)
    suite, model = _identity(results)
    name = f"{_slug(suite['name'])}-{suite['digest'][:8]}-{_slug(model['name'])}-{model['digest'][:8]}.json"
    path = place if place.suffix == ".json" else place / name
    measured = [label for label in finished(results) if label not in floors(results)]
    _check_questions(results, measured)
    _check_overwrite(path, measured)
    entries = [_entry(label, only(results, (label,)), path, authors) for label in measured]
    shown = {protocol for one in entries for protocol in one["metrics"]}
    board = {
        "schema_version": 1,
        "suite": suite,
        "model": model,
        "protocols": {name: version for name, version in protocol_versions(results).items() if name in shown},
        "entries": entries,
    }
    _check_board(board, path)
    for one in entries:
        file = path.parent / one["rows"]["path"]
        write_rows(file, only(results, (one["label"],)))
        one["rows"]["digest"] = file_digest(file)
    write_text(path, _text(board))
    return path


def _text(board: Any) -> str:
    return json.dumps(board, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _entry(label: str, results: StoredRun, board: Path, authors: Sequence[str]) -> dict[str, Any]:
    """An entry without the digest of its rows, which are not written yet."""
    folder = f"{board.stem}-rows"
    rows = {
        "path": f"{folder}/{_slug(label)}-{digest(label)[:8]}.parquet",  # two labels can have one slug
        "digest": "0" * 64,
        "count": len(results.answers),
        "questions": questions_digest(results.answers),
    }
    return entry(label, results, rows, authors)


def _check_board(board: Any, path: Path) -> None:
    """Raises UsageError, before anything is written, for what `leaderboard validate` would refuse."""
    if found := board_faults(board, path):
        raise UsageError(f"This run makes no valid board: {found[0].pointer}: {found[0].reason}")
    if len(_text(board).encode()) > LARGEST:
        raise UsageError(f"The board would be larger than {LARGEST // 2**20} MiB. Export fewer methods.")


def protocol_versions(results: StoredRun) -> dict[str, int]:
    """Version of every protocol that ``results`` has answers of, as the run noted it."""
    from snibench.base.registry import PROTOCOLS

    noted = results.manifest.protocol_versions
    asked = [str(name) for name in results.answers["protocol"].unique()]
    return {name: int(noted[name]) if name in noted else int(PROTOCOLS.get(name).version) for name in asked}


def _identity(results: StoredRun) -> tuple[dict[str, str], dict[str, str]]:
    suites = {spec.suite_digest: public_name(spec.suite.name) for spec in results.specs}
    models = {spec.model.digest: spec.model for spec in results.specs}
    if len(suites) > 1 or len(models) > 1:
        raise UsageError(
            f"The run has {len(suites)} suites and {len(models)} models, but a leaderboard is about one of each. "
            "Run each into a folder of its own (-o DIR)."
        )
    ((suite_digest, name),) = suites.items()
    (model,) = models.values()
    about = {"name": public_name(model.spec), "digest": model.digest, "tokenizer_digest": model.tokenizer_digest}
    return {"name": name, "digest": suite_digest}, about


def _check_whole(results: StoredRun) -> None:
    for record, spec in zip(results.records, results.specs, strict=True):
        if record.status == "damaged":
            raise UsageError(f"{spec.label}, seed {spec.seed} is damaged: {record.cause}.")


def _check_questions(results: StoredRun, measured: Sequence[str]) -> None:
    asked = {label: questions_digest(only(results, (label,)).answers) for label in measured}
    others = [label for label in measured if asked[label] != asked[measured[0]]]
    if others:
        raise UsageError(
            f"{', '.join(others)} answered other questions than {measured[0]}, so one board cannot hold both. "
            "Repeat the run to answer what is missing."
        )


def _check_overwrite(path: Path, measured: Sequence[str]) -> None:
    if not path.is_file():
        return
    lost = [one["label"] for one in read_board(path)["entries"] if one["label"] not in measured]
    if lost:
        raise UsageError(
            f"{path} holds entries that this run has not: {', '.join(lost)}. Name another file: -o OTHER.json"
        )


def _slug(text: str) -> str:
    """``text`` as a file name: lower case, anything else than letters, digits, dots and dashes one dash."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:80] or "unnamed"
