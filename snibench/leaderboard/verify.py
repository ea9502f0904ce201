"""Whether the numbers of a board are what its rows say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snibench.base.errors import SnibenchError
from snibench.base.registry import PROTOCOLS
from snibench.leaderboard.entries import metrics
from snibench.leaderboard.rows import RowsError, questions_digest, read_rows
from snibench.leaderboard.validate import Fault, Found, faults, inside, measures, read_board
from snibench.metrics import exact_match, metric, rouge_l
from snibench.report.cells import printable

if TYPE_CHECKING:
    import pandas as pd

    from snibench.store import StoredRun

TOLERANCE = 1e-9  # sums may be taken in another order on another machine


def disagreements(path: Path) -> list[Fault]:
    """Faults of the board at ``path``, and numbers that its rows do not give; empty if all agrees.

    Every answer is scored again from its text and references, and every measure is recomputed. Conflict and cost
    are not in the rows and are not checked.
    """
    if found := faults(path):
        return found
    board = read_board(path)
    if found := [Fault(path, pointer, reason) for pointer, reason in _version_faults(board)]:
        return found
    return [
        Fault(path, pointer, reason)
        for i, entry in enumerate(board["entries"])
        if entry["status"] == "measured"
        for pointer, reason in _entry_faults(entry, path.parent, f"/entries/{i}")
    ]


def _version_faults(board: Any) -> Found:
    for name, version in board["protocols"].items():
        try:
            installed = PROTOCOLS.get(name).version
        except SnibenchError as error:
            yield inside("/protocols", name), f"cannot be recomputed. {error}"
            continue
        if installed != version:
            yield inside("/protocols", name), f"is version {version}, but version {installed} is installed."


def _entry_faults(entry: Any, folder: Path, at: str) -> Found:
    rows_at = f"{at}/rows"
    try:
        results = read_rows(folder / entry["rows"]["path"])
        again = metrics(results)
        scored = list(_score_faults(results, rows_at))
    except RowsError as error:
        yield rows_at, f"the rows {error}"
        return
    except Exception as error:  # rows may be anything; a check must not end in a traceback
        yield rows_at, f"the rows cannot be measured: {type(error).__name__}: {printable(error)}"
        return
    yield from scored
    yield from _identity_faults(entry, results.answers, at)
    given, expected = dict(measures(entry, at)), dict(measures({"metrics": again}, at))
    for pointer in given.keys() - expected.keys():
        yield pointer, "is not in what the rows give."
    for pointer in expected.keys() - given.keys():
        yield pointer, "is missing, though the rows give it."
    for pointer in sorted(given.keys() & expected.keys()):
        yield from _measure_faults(given[pointer], expected[pointer], pointer)


def _measure_faults(given: Any, expected: Any, pointer: str) -> Found:
    for field, value in expected.items():
        same = given[field] == value or (
            given[field] is not None and value is not None and abs(given[field] - value) <= TOLERANCE
        )
        if not same:
            yield f"{pointer}/{field}", f"is {given[field]}, but the rows give {value}."


def _identity_faults(entry: Any, answers: pd.DataFrame, at: str) -> Found:
    expected = {
        f"{at}/rows/count": (entry["rows"]["count"], len(answers)),
        f"{at}/rows/questions": (entry["rows"]["questions"], questions_digest(answers)),
        f"{at}/seeds": (sorted(entry["seeds"]), sorted(int(seed) for seed in answers["seed"].unique())),
        f"{at}/label": ([entry["label"]], [str(label) for label in answers["method"].unique()]),
    }
    for pointer, (given, found) in expected.items():
        if given != found:
            yield pointer, f"is {printable(given)}, but the rows have {printable(found)}."


def _score_faults(results: StoredRun, at: str) -> Found:
    """Answers whose stored scores are not those of their text."""
    answers = results.answers
    texts = list(zip(answers["prediction"], map(tuple, answers["targets"]), strict=True))
    again = {text: (exact_match(*text), rouge_l(*text)) for text in dict.fromkeys(texts)}
    by_task = results.tasks.set_index("task")["metric"]
    exact = np.array([again[text][0] for text in texts])
    rouge = np.array([again[text][1] for text in texts])
    named = answers["task"].map(by_task)
    score = np.array([metric(name).score(*text) for name, text in zip(named, texts, strict=True)])
    for name, values in {"exact_match": exact, "rouge_l": rouge, "score": score}.items():
        wrong = ~np.isclose(answers[name].to_numpy(np.float64), values, rtol=0.0, atol=TOLERANCE)
        if wrong.any():
            first = answers.iloc[int(np.argmax(wrong))]
            yield (
                at,
                (
                    f"{int(wrong.sum())} of {len(answers)} answers have another {name} than their text, "
                    f"the first is {printable(first['instance'])} of {printable(first['task'])}."
                ),
            )
