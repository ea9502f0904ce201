"""An entry of a board as the request that would make it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import DataError, UsageError, unknown
from snibench.base.types import ModelRef, Recipe, SuiteRequest
from snibench.leaderboard.rows import RowsError, read_rows
from snibench.leaderboard.validate import faults, read_board
from snibench.plan.request import RunRequest, request_again

if TYPE_CHECKING:
    from snibench.store import StoredRun


def read_entry(path: Path, label: str) -> tuple[Any, Any, StoredRun]:
    """The measured entry called ``label`` of the board at ``path``, the board, and the entry's rows.

    Raises:
        DataError: If the board or its rows are faulty.
        UsageError: If there is no such entry, or it was not measured.
    """
    board = read_board(path)
    measured = {entry["label"]: entry for entry in board["entries"] if entry["status"] == "measured"}
    if label not in measured:
        raise unknown("measured entry", label, measured)
    for fault in faults(path):
        raise DataError(str(fault))
    entry = measured[label]
    try:
        return entry, board, read_rows(path.parent / entry["rows"]["path"])
    except RowsError as error:
        raise DataError(f"{path}: the rows of '{label}' {error}") from error


def entry_request(
    entry: Any,
    board: Any,
    rows: StoredRun,
    *,
    seed: int | None,
    data: Path | None,
    split: str | None,
    tasks: int | None,
    instances: int | None,
    model: str | None,
) -> RunRequest:
    """The run that ``entry`` came from; its data and model lie where the arguments say, or are what the board names.

    Raises:
        UsageError: If the entry does not say with which recipe each seed was tuned, or has no fit with ``seed``.
    """
    seeds = tuple(entry["seeds"]) if seed is None else (seed,)
    if not set(seeds) <= set(entry["seeds"]):
        raise UsageError(f"'{entry['label']}' has no seed {seed}; its seeds are {', '.join(map(str, entry['seeds']))}.")
    budget, config = entry["budget"], entry["config"]
    if several := [name for name, value in budget.items() if isinstance(value, list)]:
        raise UsageError(
            f"The fits of '{entry['label']}' differ in {', '.join(several)}: one run cannot make them all."
        )
    here = {"split": split, "tasks": tasks, "instances": instances}
    suite = {**board["suite"]["request"], **{key: value for key, value in here.items() if value is not None}}
    return request_again(
        entry["method"],
        suite=SuiteRequest(
            **{**suite, "categories": tuple(suite["categories"])}, data=None if data is None else str(data)
        ),
        model=model or board["model"]["name"],
        rule=entry["rule"],
        sampler=config["sampler"],
        settings=config["settings"],
        rule_settings=config["rule_settings"],
        sampler_settings=config["sampler_settings"],
        protocol_settings=rows.manifest.protocol_settings,
        protocols=tuple(board["protocols"]),
        train_format=config["train_format"],
        seeds=seeds,
        recipe=Recipe(**budget),
        limit=board["limit"],
        precision=config["precision"],
    )


def check_same(suite_digest: str, model: ModelRef, board: Any) -> None:
    """Raises DataError if the suite or the model here is not the board's."""
    for part, here, there, remedy in (
        ("suite", suite_digest, board["suite"]["digest"], "--data, --split, --tasks and --instances as it was run"),
        ("model", model.digest, board["model"]["digest"], "--model"),
    ):
        if here != there:
            raise DataError(
                f"The {part} here has the digest {here[:12]}, but the board's has {str(there)[:12]}. Name it: {remedy}."
            )
