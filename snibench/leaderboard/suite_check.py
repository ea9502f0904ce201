"""Whether the rows of a board are about its suite: its questions, references, labels and prompts are made again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from snibench.base.codec import from_json
from snibench.base.errors import ModelError, SnibenchError
from snibench.base.registry import PROTOCOLS, SUITES
from snibench.base.types import Question, SuiteData, SuiteRequest
from snibench.leaderboard.rows import (
    QUESTION,
    TARGETS_DIGEST,
    TASK_COLUMNS,
    labels_digest,
    references_digest,
    targets_digests,
)
from snibench.models.find import EMBEDDED, ModelSource, find_model
from snibench.plan.questions import QuestionRenderer
from snibench.plan.task_table import task_frame
from snibench.report.cells import printable
from snibench.report.files import rows_as_json

if TYPE_CHECKING:
    from snibench.leaderboard.pool import Board
    from snibench.store import StoredRun


class NoSuite(Exception):
    """The suite is not there; the message says why, and what to pass."""


@dataclass(frozen=True)
class Expected:
    """A suite and what a board of it must ask, made again from the data."""

    suite: SuiteData
    board: Board
    source: ModelSource | None  # for formats that ask for a tokenizer

    @cached_property
    def renderer(self) -> QuestionRenderer:
        """Renders prompts as they were asked."""
        return QuestionRenderer(self.suite, self.source)

    @cached_property
    def questions(self) -> dict[str, dict[tuple[str, ...], Question]]:
        """Every question by protocol, and by its columns in the rows."""
        by_fit: dict[str, dict[tuple[str, ...], Question]] = {}
        for name, about in self.board["protocols"].items():
            protocol_type = PROTOCOLS.entry(name).load()
            settings = from_json(
                protocol_type.Settings, about["settings"], Path(f"/protocols/{name}/settings"), remedy=""
            )
            asks = protocol_type(settings).plan(self.suite, self.board["limit"])
            by_fit[name] = {_key(one): one for ask in asks for one in ask.questions}
        return by_fit

    @cached_property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Columns that the rows must have of each task."""
        frame = task_frame(self.suite)[TASK_COLUMNS]
        return {row["task"]: row for row in rows_as_json(frame)}

    @cached_property
    def references(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """The references of every evaluated instance."""
        return {
            (task, instance.id): instance.outputs for task, pool in self.suite.evaluation.items() for instance in pool
        }

    def prompt_sha(self, question: Question, shots: int) -> str | None:
        """The digest of the prompt; None where its format asks for a tokenizer that is not there."""
        try:
            return self.renderer.rendered(question, shots).prompt_sha
        except ModelError:
            return None

    def unrendered(self, formats: Collection[str]) -> list[str]:
        """Those of ``formats`` whose prompts cannot be made again."""

        def there(name: str) -> bool:
            try:
                self.renderer.format(name)
            except SnibenchError:
                return False
            return True

        return [name for name in sorted(formats) if not there(name)]


def expected(board: Board, data: Path | None, model: str | None = None) -> Expected:
    """The suite of ``board`` with its questions.

    Args:
        board: Valid; its names come from anybody, so that only installed ones are loaded.
        data: Folder of tasks in the official layout, for suites that are read from one.
        model: The base model, for formats that ask for its tokenizer. None: the embedded one where it is the board's.

    Raises:
        NoSuite: If the suite is not there.
        SnibenchError: If the data cannot be read.
    """
    asked = board["suite"]["request"]
    name = asked["name"]
    if name not in SUITES.names():
        raise NoSuite(f"the suite '{printable(name)}' is not installed")
    suite_type = SUITES.entry(name).load()
    if suite_type.reads_data and data is None:
        raise NoSuite("its tasks are read from a folder or a file: --data PATH")
    wanted = {**asked, "categories": tuple(asked["categories"]), "data": None if data is None else str(data)}
    suite = suite_type().load(SuiteRequest(**wanted))
    return Expected(suite, board, _source(board, model))


def _source(board: Board, model: str | None) -> ModelSource | None:
    spec = model or (board["model"]["name"] if board["model"]["name"] in EMBEDDED else None)
    source = find_model(spec) if spec else None
    if source is None or source.ref.tokenizer_digest == board["model"]["tokenizer_digest"]:
        return source
    if model:
        raise ModelError(f"'{model}' has another tokenizer than the board's model {printable(board['model']['name'])}.")
    return None


def _key(one: Question) -> tuple[str, ...]:
    return tuple(str(getattr(one, name)) for name in QUESTION)


# ------------------------------------------------------------------------------------- the check


def restored(results: StoredRun, suite: Expected) -> StoredRun:
    """``results`` with the references that its rows have digests of; unknown instances get none."""
    from dataclasses import replace

    if TARGETS_DIGEST not in results.answers:
        return results
    answers = results.answers
    targets = [list(suite.references.get(key, ())) for key in zip(answers["task"], answers["instance"], strict=True)]
    return replace(results, answers=answers.assign(targets=pd.Series(targets, index=answers.index, dtype=object)))


def suite_faults(results: StoredRun, suite: Expected, shots: int) -> Iterator[str]:
    """One sentence for each way in which the rows are not about the suite; questions that do not exist come first."""
    answers = results.answers
    keys = [tuple(row) for row in answers[QUESTION].astype(str).to_numpy()]
    protocols = answers["protocol"].astype(str).to_numpy()
    questions = [suite.questions.get(protocol, {}).get(key) for protocol, key in zip(protocols, keys, strict=True)]
    strange = np.array([one is None for one in questions])
    if strange.any():
        yield f"{_counted(strange)} ask what the suite does not, {_where(strange, answers)}."
        return
    yield from _missing(answers, keys, suite.questions)
    pairs = zip(answers["task"], answers["instance"], strict=True)
    references = [references_digest(suite.references.get(pair, ())) for pair in pairs]
    differ = np.array([one != two for one, two in zip(targets_digests(answers), references, strict=True)])
    if differ.any():
        yield f"{_counted(differ)} have other references than the suite, {_where(differ, answers)}."
    yield from _task_faults(results, suite.tasks)
    yield from _prompt_faults(answers, [one for one in questions if one is not None], suite, shots)


def _missing(
    answers: pd.DataFrame, keys: list[tuple[str, ...]], questions: Mapping[str, Mapping[tuple[str, ...], Question]]
) -> Iterator[str]:
    """Questions that some seed has not answered, or more than once."""
    frame = pd.DataFrame({"protocol": answers["protocol"], "seed": answers["seed"], "key": keys})
    for (protocol, seed), rows in frame.groupby(["protocol", "seed"]):
        there = set(rows["key"])
        lacking = [key for key in questions[str(protocol)] if key not in there]
        at = f"protocol {printable(protocol)}, seed {seed}"
        if lacking:
            task, instance = (lacking[0][QUESTION.index(name)] for name in ("task", "instance"))
            yield f"lack {len(lacking):,} questions of the suite ({at}), the first is {instance} of {task}."
        elif len(there) < len(rows):
            yield f"answer {len(rows) - len(there):,} questions twice ({at})."


def _task_faults(results: StoredRun, tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for row in rows_as_json(results.tasks):
        true = dict(tasks[row["task"]])
        if isinstance(row["labels"], str):
            true["labels"] = labels_digest(true["labels"])
        wrong = [name for name in TASK_COLUMNS if not _same(row[name], true[name])]
        if wrong:
            yield f"describe {printable(row['task'])} by other {' and '.join(wrong)} than the suite."
            return


def _same(first: Any, other: Any) -> bool:
    if isinstance(first, float) and isinstance(other, float):
        return abs(first - other) <= 1e-9
    return bool(first == other)


def _prompt_faults(answers: pd.DataFrame, questions: list[Question], suite: Expected, shots: int) -> Iterator[str]:
    shas = [suite.prompt_sha(question, shots) for question in questions]
    other = np.array(
        [wanted is not None and wanted != sha for wanted, sha in zip(shas, answers["prompt_sha"], strict=True)]
    )
    if other.any():
        yield f"{_counted(other)} were asked with another prompt than the suite gives, {_where(other, answers)}."


def _counted(wrong: np.ndarray) -> str:
    return f"{int(wrong.sum()):,} of {len(wrong):,} answers"


def _where(wrong: np.ndarray, answers: pd.DataFrame) -> str:
    first = answers.iloc[int(np.argmax(wrong))]
    return f"the first is {printable(first['instance'])} of {printable(first['task'])}"
