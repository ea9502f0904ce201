"""The rows of one entry: its answers and the tasks they are about, in one Parquet file that anybody can check."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from snibench.base import reading
from snibench.base.codec import to_json
from snibench.base.errors import StoreError, first_line
from snibench.base.hashing import digest
from snibench.base.types import Manifest
from snibench.report.files import rows_as_json
from snibench.store import ANSWER_COLUMNS, StoredRun, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

References = Literal["text", "digests"]

COLUMNS = [*ANSWER_COLUMNS, "method", "seed", "train_format"]
TASK_COLUMNS = ["task", "category", "domains", "sources", "labels", "metric", "chance", "majority", "seen", "flags"]
QUESTION = ["protocol", "variant", "format", "task", "split", "seen", "instance", "stream", "position", "side"]
TARGETS_DIGEST = "targets_digest"  # in place of ``targets``
_KEY = b"snibench"  # of the file's metadata, where the tasks are


class RowsError(Exception):
    """A rows file that cannot be read as one; the message completes "the rows ..."."""


def write_rows(path: Path, results: StoredRun, references: References = "text") -> None:
    """Write the answers of ``results``, and its tasks as metadata. The same rows give the same bytes.

    ``references`` "digests": SHA-256 in place of references and labels, whose text is somebody else's.

    Raises:
        StoreError: If the disk does not take it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    answers = results.answers.sort_values([*QUESTION, "method", "seed"], kind="stable")
    asked = results.tasks[results.tasks["task"].isin(answers["task"].unique())].sort_values("task")
    tasks = rows_as_json(asked[[name for name in TASK_COLUMNS if name in asked]])
    columns = COLUMNS
    if references == "digests":
        columns = [TARGETS_DIGEST if name == "targets" else name for name in COLUMNS]
        answers = answers.assign(**{TARGETS_DIGEST: targets_digests(answers)})
        tasks = [{**task, "labels": labels_digest(task.get("labels"))} for task in tasks]
    about = {"tasks": tasks, "protocol_settings": to_json(results.manifest.protocol_settings)}
    table = pa.Table.from_pandas(answers[columns], preserve_index=False)
    table = table.replace_schema_metadata({_KEY: json.dumps(about, ensure_ascii=False, sort_keys=True).encode()})
    try:
        write_whole(path, lambda new: pq.write_table(table, new, compression="zstd", compression_level=15))
    except OSError as error:
        raise StoreError(f"'{path}' cannot be written ({error.strerror}). Name another place: -o FILE") from error


def read_rows(path: Path) -> StoredRun:
    """Rows of ``write_rows``, as a stored run without records; without ``targets`` where digests stand for them.

    Raises:
        RowsError: If the file is no Parquet, lacks a column, or does not say what its tasks are.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise RowsError(f"cannot be read as Parquet ({first_line(error)[:200]}).") from error
    withheld = TARGETS_DIGEST in table.column_names
    columns = [TARGETS_DIGEST if withheld and name == "targets" else name for name in COLUMNS]
    lacking = [name for name in columns if name not in table.column_names]
    if lacking:
        raise RowsError(f"lack the column {', '.join(map(repr, lacking))}.")
    answers = table.select(columns).to_pandas()
    tasks, settings = _metadata(table)
    manifest = Manifest(protocol_settings=settings)
    return StoredRun(folder=path.parent, answers=answers, tasks=tasks, records=(), specs=(), manifest=manifest)


def _metadata(table: pa.Table) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The tasks of the rows, and the settings that their protocols are measured with."""
    try:
        about = reading.json_value(reading.decoded((table.schema.metadata or {})[_KEY]))
        tasks = pd.DataFrame(about["tasks"], columns=TASK_COLUMNS)
        settings = {str(name): dict(values) for name, values in about.get("protocol_settings", {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError, reading.Unreadable) as error:
        raise RowsError("do not say what their tasks are (metadata 'snibench').") from error
    unknown = sorted(set(table["task"].to_pylist()) - set(tasks["task"]))
    if unknown:
        raise RowsError(f"answer the task {str(unknown[0])[:80]!r}, which their metadata does not describe.")
    return tasks, settings


# ---------------------------------------------------------------------------------------- digests


def questions_digest(answers: pd.DataFrame) -> str:
    """SHA-256 over the distinct questions, whoever answered them and with whichever seed."""
    asked = answers[QUESTION].drop_duplicates().astype(str)
    return hashlib.sha256("\n".join(sorted(map("\x1f".join, asked.to_numpy()))).encode("utf-8", "replace")).hexdigest()


def questions_by_protocol(answers: pd.DataFrame) -> dict[str, str]:
    """``questions_digest`` of each protocol's answers."""
    return {str(name): questions_digest(rows) for name, rows in answers.groupby("protocol", sort=True)}


def targets_digests(answers: pd.DataFrame) -> list[str]:
    """SHA-256 over the references of each answer, whether the rows hold them or their digests."""
    if TARGETS_DIGEST in answers:
        return list(answers[TARGETS_DIGEST])
    known: dict[tuple[str, ...], str] = {}
    digests = []
    for targets in map(tuple, answers["targets"]):
        if targets not in known:
            known[targets] = references_digest(targets)
        digests.append(known[targets])
    return digests


def references_digest(references: Sequence[str]) -> str:
    """SHA-256 over the references of one instance."""
    return digest(list(references))


def labels_digest(labels: Any) -> Any:
    """SHA-256 over a closed label set in place of the labels; None where there is none, a digest as it is."""
    return labels if labels is None or isinstance(labels, str) else digest(list(labels))
