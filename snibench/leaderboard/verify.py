"""Whether the numbers of a board are what its rows say, and its rows what its suite asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import SnibenchError
from snibench.base.registry import PROTOCOLS, installed_names
from snibench.leaderboard.entries import metrics
from snibench.leaderboard.pool import comparisons
from snibench.leaderboard.rows import TARGETS_DIGEST, RowsError, questions_by_protocol, read_rows
from snibench.leaderboard.sealed import TOLERANCE, wrong_scores
from snibench.leaderboard.suite_check import Expected, NoSuite, expected, restored, suite_faults
from snibench.leaderboard.validate import Fault, Found, faults, incomplete, inside, measures, read_board
from snibench.report.cells import printable

if TYPE_CHECKING:
    import pandas as pd

    from snibench.leaderboard.pool import Board
    from snibench.store import StoredRun

NEVER = (
    "cost, conflict, forgetting and config, which are not in the rows; and that the answers are this model's: "
    "`snibench reproduce` tunes a fit again and compares"
)


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of a check; ``unchecked``: what it could not check, one phrase each."""

    faults: tuple[Fault, ...]
    unchecked: tuple[str, ...] = ()
    against_suite: bool = False
    measured: bool = True  # there are rows

    @property
    def summary(self) -> str:
        """The claim that is shown, where there is no fault."""
        if not self.measured:
            return "valid; no entry is measured, so there is nothing to verify"
        return "verified: its rows give its numbers" + (", and the suite its questions" if self.against_suite else "")


@installed_names()
def verify(path: Path, data: Path | None = None, model: str | None = None) -> Verification:
    """Whether the board at ``path`` says what its rows give, and its rows are about its suite.

    Every question, reference, label and prompt is made again from the suite, every answer is scored again from its
    text, every measure is recomputed, and so are ranks and tests of all complete entries.

    Args:
        path: Of the board; it may come from anybody.
        data: Folder of tasks in the official layout, for suites that are read from one.
        model: The base model, for formats that ask for its tokenizer; the embedded one is found by itself.

    Raises:
        SnibenchError: If the data or the model cannot be read.
    """
    if fault_list := faults(path):
        return Verification(tuple(fault_list))
    board = read_board(path)
    if not any(entry["status"] == "measured" for entry in board["entries"]):
        return Verification((), ("reported entries, which have no rows",), measured=False)
    if fault_list := [Fault(path, pointer, reason) for pointer, reason in _version_faults(board)]:
        return Verification(tuple(fault_list))
    unchecked = []
    suite: Expected | None = None
    try:
        suite = expected(board, data, model)
    except NoSuite as reason:
        unchecked.append(f"not checked against the suite ({reason})")
    if suite is not None:
        if suite.suite.digest != board["suite"]["digest"]:
            return Verification((Fault(path, "/suite/digest", _other_suite(board, suite, data)),))
        if lacking := suite.unrendered(_formats(suite)):
            unchecked.append(f"prompts of {', '.join(lacking)}, which need the model's tokenizer: --model SPEC")
    results: dict[str, StoredRun] = {}
    wrong = [
        Fault(path, pointer, reason)
        for i, entry in enumerate(board["entries"])
        if entry["status"] == "measured"
        for pointer, reason in _entry_faults(board, entry, path.parent, f"/entries/{i}", suite, results)
    ]
    if not wrong:
        wrong = [Fault(path, pointer, reason) for pointer, reason in _comparison_faults(board, results)]
    if suite is None and any(TARGETS_DIGEST in one.answers for one in results.values()):
        unchecked.append("scores, as the rows have digests of their references: --data FOLDER")
    if any(entry["status"] == "reported" for entry in board["entries"]):
        unchecked.append("reported entries, which have no rows")
    return Verification(tuple(wrong), (*unchecked, NEVER), suite is not None)


def _version_faults(board: Board) -> Found:
    for name, about in board["protocols"].items():
        try:
            installed = PROTOCOLS.entry(name).load().version
        except SnibenchError as error:
            yield inside("/protocols", name), f"cannot be recomputed. {error}"
            continue
        if installed != about["version"]:
            at = inside("/protocols", name)
            yield f"{at}/version", f"is {about['version']}, but version {installed} is installed."


def _other_suite(board: Board, suite: Expected, data: Path | None) -> str:
    place = f" in {data}" if data else ""
    return (
        f"is {board['suite']['digest'][:12]}…, but {printable(suite.suite.name)}{place} under /suite/request has "
        f"{suite.suite.digest[:12]}…: other tasks, or another state of them."
    )


def _formats(suite: Expected) -> set[str]:
    return {one.format for questions in suite.questions.values() for one in questions.values()}


def _entry_faults(
    board: Board, entry: Any, folder: Path, at: str, suite: Expected | None, kept: dict[str, StoredRun]
) -> Found:
    """Faults of one entry; its rows are added to ``kept``."""
    rows_at = f"{at}/rows"
    try:
        results = read_rows(folder / entry["rows"]["path"])
        if suite is not None:
            shots = entry["config"]["settings"].get("shots", 0)
            if fault_list := [*suite_faults(results, suite, shots if isinstance(shots, int) else 0)]:
                yield from ((rows_at, reason if reason[0].isdigit() else f"the rows {reason}") for reason in fault_list)
                return
            results = restored(results, suite)
        again = metrics(results)
        scored = wrong_scores(results.answers, results.tasks) if "targets" in results.answers else []
    except RowsError as error:
        yield rows_at, f"the rows {error}"
        return
    except SnibenchError as error:
        yield rows_at, f"the rows cannot be measured: {printable(error, 500)}"
        return
    except Exception as error:  # rows may be anything; a check must not end in a traceback
        yield rows_at, f"the rows cannot be measured: {type(error).__name__}: {printable(error)}"
        return
    if not incomplete(board, entry):
        kept[entry["label"]] = results
    yield from ((rows_at, reason) for reason in scored)
    yield from _identity_faults(entry, results.answers, at)
    for protocol, settings in results.manifest.protocol_settings.items():
        if protocol in board["protocols"] and settings != board["protocols"][protocol]["settings"]:
            yield rows_at, f"the rows have other settings of protocol {printable(protocol)} than the board."
    yield from _differences(dict(measures(entry, at)), dict(measures({"metrics": again}, at)))


def _differences(stated: Mapping[str, Mapping[str, Any]], computed: Mapping[str, Mapping[str, Any]]) -> Found:
    """Faults where ``stated`` differs from ``computed``, by pointer and field."""
    for pointer in stated.keys() - computed.keys():
        yield pointer, "is not in what the rows give."
    for pointer in computed.keys() - stated.keys():
        yield pointer, "is missing, though the rows give it."
    for pointer in sorted(stated.keys() & computed.keys()):
        for field, value in computed[pointer].items():
            if not _equal(stated[pointer][field], value):
                yield f"{pointer}/{field}", f"is {printable(stated[pointer][field])}, but the rows give {value}."


def _equal(first: Any, other: Any) -> bool:
    numbers = (int, float)
    if isinstance(first, numbers) and isinstance(other, numbers):
        return abs(first - other) <= TOLERANCE * max(1.0, abs(other))
    return bool(first == other)


def _comparison_faults(board: Board, results: Mapping[str, StoredRun]) -> Found:
    """Ranks and tests that the rows of all complete entries do not give."""
    try:
        again = comparisons(board, results)
    except Exception as error:  # as above
        yield "/comparisons", f"cannot be computed again: {type(error).__name__}: {printable(error)}"
        return
    yield from _differences(_by_label(board["comparisons"]), _by_label(again))


def _by_label(compared: Mapping[str, Any]) -> dict[str, Any]:
    return {
        inside(inside("/comparisons", question), row["label"]): row
        for question, rows in compared.items()
        for row in rows
    }


def _identity_faults(entry: Any, answers: pd.DataFrame, at: str) -> Found:
    asked = questions_by_protocol(answers)
    wanted = {
        f"{at}/rows/count": (entry["rows"]["count"], len(answers)),
        f"{at}/rows/references": (entry["rows"]["references"], "digests" if TARGETS_DIGEST in answers else "text"),
        f"{at}/rows/questions": (
            entry["rows"]["questions"],
            {name: asked.get(name) for name in entry["rows"]["questions"]},
        ),
        f"{at}/seeds": (sorted(entry["seeds"]), sorted(int(seed) for seed in answers["seed"].unique())),
        f"{at}/label": ([entry["label"]], [str(label) for label in answers["method"].unique()]),
    }
    for pointer, (stated, actual) in wanted.items():
        if stated != actual:
            yield pointer, f"is {printable(stated)}, but the rows have {printable(actual)}."
