"""The entries of a board together: who may be ranked with whom, ranks, and paired tests against the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from snibench.base.codec import from_json
from snibench.base.errors import SnibenchError
from snibench.base.types import FitRecord, FitSpec, Manifest, Mixture, ModelRef, Recipe, SuiteRequest
from snibench.leaderboard.rows import RowsError
from snibench.leaderboard.validate import incomplete
from snibench.report.cells import missing
from snibench.report.files import rows_as_json
from snibench.report.questions import Questions
from snibench.report.tables import baseline_of
from snibench.report.verdicts import summaries
from snibench.store import StoredRun

if TYPE_CHECKING:
    from snibench.report.values import Asked
    from snibench.stats.summary import Summary

Board = dict[str, Any]

COMPARED = (
    *("label", "mean", "ci_low", "ci_high", "rank", "group", "delta", "delta_low", "delta_high", "outcome"),
    *("significant", "p_holm", "p_seed_holm", "mde", "equivalence", "suite_delta", "suite_low", "suite_high"),
    *("suite_outcome", "effect", "wins", "ties", "losses", "n_tasks", "n_sources", "n_seeds"),
)


def complete(board: Board) -> list[dict[str, Any]]:
    """The entries that are ranked: measured, every protocol asked, every fit done."""
    return [entry for entry in board["entries"] if entry["status"] == "measured" and not incomplete(board, entry)]


def pooled(board: Board, rows: Mapping[str, StoredRun]) -> StoredRun:
    """The complete entries of ``board`` as one run, their rows joined; None of them may be missing in ``rows``.

    Raises:
        RowsError: If an entry's budget is no recipe.
    """
    entries = complete(board)
    answered = [rows[entry["label"]] for entry in entries]
    specs = [spec for entry in entries for spec in _specs(board, entry)]
    return StoredRun(
        folder=Path(),
        answers=pd.concat([one.answers for one in answered], ignore_index=True),
        tasks=pd.concat([one.tasks for one in answered]).drop_duplicates("task", ignore_index=True),
        records=tuple(_record(spec, entry) for entry in entries for spec in _specs(board, entry)),
        specs=tuple(specs),
        manifest=Manifest(
            controls=tuple(dict.fromkeys(spec.label for spec in specs if not (spec.trains or spec.elsewhere))),
            protocol_settings={name: one["settings"] for name, one in board["protocols"].items()},
            baseline=board["baseline"],
        ),
    )


def _specs(board: Board, entry: dict[str, Any]) -> list[FitSpec]:
    """Specs of the fits of ``entry``, one for each seed, as far as the board knows them."""
    budget = {name: value[0] if isinstance(value, list) else value for name, value in entry["budget"].items()}
    try:
        recipe = from_json(Recipe, budget, Path("budget"), remedy="")
    except SnibenchError as error:
        raise RowsError(f"have no recipe beside them: {error}") from error
    model = board["model"]
    return [
        FitSpec(
            method=entry["method"],
            rule=entry["rule"],
            settings={},
            source={},
            model=ModelRef(model["name"], model["digest"], model["tokenizer_digest"] or ""),
            suite=SuiteRequest(board["suite"]["name"]),
            suite_digest=board["suite"]["digest"],
            mixture=Mixture(()),
            train_format=entry["config"]["train_format"],
            recipe=recipe,
            seed=seed,
            precision=entry["config"]["precision"],
            elsewhere=entry["config"].get("elsewhere", ""),
            label=entry["label"],
        )
        for seed in entry["seeds"]
    ]


def _record(spec: FitSpec, entry: dict[str, Any]) -> FitRecord:
    trainable = entry["cost"]["trainable_parameters"]
    return FitRecord.of(spec, "done", trainable_parameters=trainable)


def chosen_baseline(board: Board, rows: Mapping[str, StoredRun]) -> str | None:
    """The label that the others are compared with: the board's own if it is complete, else the usual one."""
    if not complete(board):
        return None
    return baseline_of(pooled(board, rows))[0] or None


def summaries_of(board: Board, rows: Mapping[str, StoredRun]) -> dict[Asked, Summary]:
    """The comparison of all complete entries with the board's baseline, by question."""
    if board["baseline"] is None or len(complete(board)) < 2:
        return {}
    return dict(summaries(Questions(pooled(board, rows)), board["baseline"]))


def comparisons(board: Board, rows: Mapping[str, StoredRun]) -> dict[str, list[dict[str, Any]]]:
    """By question every complete entry with its rank and its difference from the baseline, as the board stores it."""
    by_question = summaries_of(board, rows)
    return {question: compared(summary.table) for question, summary in by_question.items()}


def compared(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The columns of a summary's table that a board holds."""
    named = rows_as_json(table.rename(columns={"method": "label"})[list(COMPARED)])
    return [{name: _value(name, row[name]) for name in COMPARED} for row in named]


def _value(name: str, value: Any) -> Any:
    if missing(value) or value == "":
        return None
    if name in ("wins", "ties", "losses", "n_tasks", "n_sources", "n_seeds"):
        return int(value)
    return bool(value) if name == "significant" else value
