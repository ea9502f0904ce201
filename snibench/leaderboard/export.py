"""A run as a leaderboard: one JSON file, and beside it the rows of every entry."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.codec import to_json
from snibench.base.errors import DataError, UsageError
from snibench.base.hashing import digest, file_digest
from snibench.base.registry import PROTOCOLS, SUITES
from snibench.leaderboard.entries import entry
from snibench.leaderboard.from_files import without_files
from snibench.leaderboard.pool import Board, chosen_baseline, comparisons
from snibench.leaderboard.rows import References, questions_by_protocol, questions_digest, write_rows
from snibench.leaderboard.sealed import check_sealed
from snibench.leaderboard.validate import LARGEST, board_faults, read_board
from snibench.report.cells import printable
from snibench.report.files import write_text
from snibench.report.fits import finished, floors, only, public_name

if TYPE_CHECKING:
    import pandas as pd

    from snibench.base.types import SuiteRequest
    from snibench.store import StoredRun

VERSION = 2


@dataclass(frozen=True, slots=True)
class Exported:
    """A board that was written, and one sentence for each thing that is not on it."""

    path: Path
    notes: tuple[str, ...] = ()


def export(
    results: StoredRun,
    output: Path,
    authors: Sequence[str] = (),
    *,
    suite_name: str | None = None,
    references: References | None = None,
) -> Exported:
    """Write the board of ``results`` to ``output``.

    Methods without a finished fit are left out, and so are floors, protocols that rest on a class in a file, and
    answers to other questions than most methods answered; the notes say so.

    Args:
        results: What ``store.load_results`` reads.
        output: A file that ends in .json, or a folder, where the board is named for its suite and model.
        authors: Who stands behind the entries.
        suite_name: What the board calls the suite, in place of its own name.
        references: Text or digests in the rows. None: digests, but for a suite with
            ``open_references``.

    Raises:
        UsageError: If the run mixes suites or models, is damaged, or rests on files as a whole, or the file holds
            entries that would be lost.
        DataError: If answers were changed after their fits were sealed.
    """
    _check_whole(results)
    results, left_out = without_files(results)
    suite, model = _identity(results, suite_name)
    name = f"{_slug(suite['name'])}-{suite['digest'][:8]}-{_slug(model['name'])}-{model['digest'][:8]}.json"
    path = output if output.suffix == ".json" else output / name
    labels = [label for label in finished(results) if label not in floors(results)]
    check_sealed(only(results, labels))
    questions = _questions(results, labels)
    kept, notes = _comparable(results, labels, questions)
    _check_overwrite(path, list(kept))
    if references is None:
        references = "text" if _has_open_references(suite["request"]["name"]) else "digests"
    versions = protocol_versions(results)
    settings = to_json(results.manifest.protocol_settings)
    entries = [entry(label, own, rows_entry(label, own, path, references), authors) for label, own in kept.items()]
    shown = {protocol for one in entries for protocol in one["metrics"]}
    for one in entries:
        one["rows"]["questions"] = {name: sha for name, sha in one["rows"]["questions"].items() if name in shown}
    board: Board = {
        "schema_version": VERSION,
        "suite": suite,
        "model": model,
        "protocols": {
            protocol: {"version": versions[protocol], "settings": settings.get(protocol, {}), "questions": sha}
            for protocol, sha in questions.items()
            if protocol in shown
        },
        "limit": results.manifest.limit,
        "baseline": results.manifest.baseline,
        "entries": entries,
        "comparisons": {},
    }
    board = ranked(board, kept)
    check_board(board, path)
    for one in entries:
        one["rows"]["digest"] = _written(path.parent / one["rows"]["path"], kept[one["label"]], references)
    write_board(path, board)
    return Exported(path, (*left_out, *notes))


def _written(file: Path, results: StoredRun, references: References) -> str:
    """The digest of the rows, written to ``file``."""
    write_rows(file, results, references)
    return file_digest(file)


def ranked(board: Board, rows: Mapping[str, StoredRun]) -> Board:
    """``board`` with its baseline chosen, and ranks and tests computed for all of its complete entries."""
    board = {**board, "baseline": chosen_baseline(board, rows)}
    return {**board, "comparisons": comparisons(board, rows)}


def check_board(board: Board, path: Path) -> None:
    """Raises UsageError, before anything is written, for what `leaderboard validate` would refuse."""
    if fault_list := board_faults(board, path):
        raise UsageError(f"This makes no valid board: {fault_list[0].pointer}: {fault_list[0].reason}")
    if len(_text(board).encode()) > LARGEST:
        raise UsageError(f"The board would be larger than {LARGEST // 2**20} MiB. Export fewer methods.")


def write_board(path: Path, board: Board) -> None:
    """Write ``board``, all or nothing."""
    write_text(path, _text(board))


def _text(board: Board) -> str:
    return json.dumps(board, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def rows_entry(
    label: str, results: StoredRun, board: Path, references: References, *, sha256: str = "0" * 64
) -> dict[str, Any]:
    """Description of an entry's rows; ``sha256`` is known once they are written."""
    return {
        # Two labels can have one slug.
        "path": f"{board.stem}-rows/{_slug(label)}-{digest(label)[:8]}.parquet",
        "digest": sha256,
        "count": len(results.answers),
        "references": references,
        "questions": questions_by_protocol(results.answers),
    }


def protocol_versions(results: StoredRun) -> dict[str, int]:
    """Version of every protocol that ``results`` has answers of, as the run noted it."""
    noted = results.manifest.protocol_versions
    asked = [str(name) for name in results.answers["protocol"].unique()]
    return {name: int(noted[name]) if name in noted else int(PROTOCOLS.get(name).version) for name in asked}


# ------------------------------------------------------------------------------------- identity


def _identity(results: StoredRun, suite_name: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    suites = {spec.suite_digest: spec.suite for spec in results.specs}
    models = {spec.model.digest: spec.model for spec in results.specs}
    if len(suites) > 1 or len(models) > 1:
        raise UsageError(
            f"The run has {len(suites)} suites and {len(models)} models, but a leaderboard is about one of each. "
            "Run each into a folder of its own (-o DIR)."
        )
    ((suite_digest, request),) = suites.items()
    (model,) = models.values()
    about = {"name": public_name(model.spec), "digest": model.digest, "tokenizer_digest": model.tokenizer_digest}
    name = suite_name or _suite_name(results, request)
    return {"name": name, "digest": suite_digest, "request": _request(request)}, about


def _has_open_references(suite: str) -> bool:
    """Whether the references of the suite may be published; not where nothing is known of it."""
    return suite in SUITES.names() and bool(SUITES.get(suite).open_references)


def _request(request: SuiteRequest) -> dict[str, Any]:
    """The options of the suite without the folder, which is this machine's."""
    values = asdict(request)
    del values["data"]
    split = values["split"]
    named = public_name(values["name"])
    return {
        **values,
        "name": named,
        "split": public_name(split) if split else split,
        "categories": list(values["categories"]),
    }


def _suite_name(results: StoredRun, request: SuiteRequest) -> str:
    """The suite's own name; of tasks that are not the official ones their folder's name."""
    named = results.manifest.suite
    name = named.name if named is not None else request.name
    if request.data is not None:
        tasks = results.tasks["task"]
        family, slash, split = name.partition("/")
        own = not tasks.str.match(r"task\d+_").all()
        name = (Path(request.data).resolve().name if own else family) + slash + (split and public_name(split))
    return public_name(name)


# ------------------------------------------------------------------------------------ questions


def _by_fit(results: StoredRun, label: str) -> dict[str, list[str]]:
    """Protocol -> the digest of its questions for each seed that answered any."""
    answers = results.answers
    own = answers[(answers["method"] == label).to_numpy()]
    labels: dict[str, list[str]] = {}
    for (protocol, _), rows in own.groupby(["protocol", "seed"], sort=False):
        labels.setdefault(str(protocol), []).append(questions_digest(rows))
    return labels


def _questions(results: StoredRun, labels: Sequence[str]) -> dict[str, str]:
    """By protocol the questions of the board: those that most methods answered with every seed."""
    votes: dict[str, Counter[str]] = {name: Counter() for name in protocol_versions(results)}
    for label in labels:
        for protocol, digests in _by_fit(results, label).items():
            votes[protocol].update(set(digests))
    return {name: counted.most_common(1)[0][0] for name, counted in votes.items() if counted}


def _comparable(
    results: StoredRun, labels: Sequence[str], questions: dict[str, str]
) -> tuple[dict[str, StoredRun], tuple[str, ...]]:
    """Each method with its answers to the board's questions, and what was left out."""
    from dataclasses import replace

    kept: dict[str, StoredRun] = {}
    notes = []
    for label in labels:
        own = only(results, (label,))
        asked = _by_fit(results, label)
        other = [protocol for protocol, digests in asked.items() if set(digests) != {questions[protocol]}]
        if other:
            answers = own.answers[~own.answers["protocol"].isin(other).to_numpy()].reset_index(drop=True)
            own = replace(own, answers=answers)
            whose = "; ".join(
                f"{protocol} ({_other_questions(results.asked_by(protocol), label, questions[protocol])})"
                for protocol in other
            )
            notes.append(f"{label}: left out on {whose}. Repeat its run with the others' settings.")
        if len(own.answers):
            kept[label] = own
    if not kept:
        raise DataError("No method has answers that could be compared. Repeat the run.")
    return kept, tuple(notes)


def _other_questions(answers: pd.DataFrame, label: str, wanted: str) -> str:
    """In what the questions of ``label`` differ from the board's, whose digest is ``wanted``."""
    fits = [(str(one[0]), rows) for one, rows in answers.groupby(["method", "seed"], sort=False)]
    board = next(rows for _, rows in fits if questions_digest(rows) == wanted)
    own = next(rows for whose, rows in fits if whose == label and questions_digest(rows) != wanted)
    for column, several in (("format", "formats"), ("variant", "variants"), ("task", "tasks"), ("stream", "streams")):
        asked, here = (set(rows[column].dropna().astype(str)) for rows in (board, own))
        parts = (("lacks", asked - here), ("alone has", here - asked))
        if named := [f"{verb} the {several} {_some(names)}" for verb, names in parts if names]:
            return f"it {' and '.join(named)}"
    return f"{len(own):,} questions a seed, most were asked {len(board):,}, of other instances"


def _some(names: Collection[str]) -> str:
    first = [printable(name) for name in sorted(names)[:4]]
    return ", ".join(first) + (", ..." if len(names) > 4 else "")


def _check_whole(results: StoredRun) -> None:
    for record, spec in zip(results.records, results.specs, strict=True):
        if record.status == "damaged":
            raise UsageError(f"{spec.label}, seed {spec.seed} is damaged: {record.cause}.")


def _check_overwrite(path: Path, measured: Sequence[str]) -> None:
    if not path.is_file():
        return
    lost = [one["label"] for one in read_board(path)["entries"] if one["label"] not in measured]
    if lost:
        raise UsageError(
            f"{path} holds entries that this run has not: {', '.join(lost)}. Name another file (-o OTHER.json), and "
            "join the two: snibench leaderboard merge"
        )


def _slug(text: str) -> str:
    """``text`` as a file name: lower case, anything else than letters, digits, dots and dashes one dash."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:80] or "unnamed"
