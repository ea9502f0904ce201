"""The prompt for a rewrite, the checks of its answer, and the file that keeps them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from snibench.api import DataError, Instance, TaskCard, normalise_input

_REQUEST = (
    "Rewrite the task instruction below in other words. Keep its meaning and every detail. "
    "Write only the rewritten instruction.{keep}\n\nInstruction: {definition}"
)
_KEEP = " Keep these words as they are: {labels}."


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One answer of a model. ``fault``: why it is not shown, else empty."""

    task: str
    definition: str  # SHA-256 of the definition that was rewritten
    model: str
    prompt: str
    output: str
    fault: str


def definition_digest(task: TaskCard) -> str:
    """Key of a rewrite: the definition as formats show it."""
    return hashlib.sha256(task.definition.strip().encode()).hexdigest()


def request(task: TaskCard) -> str:
    """Prompt for a rewrite: nothing but the definition, and the labels that occur in it."""
    kept = named_labels(task)
    keep = _KEEP.format(labels=", ".join(kept)) if kept else ""
    return _REQUEST.format(keep=keep, definition=task.definition.strip())


def named_labels(task: TaskCard) -> tuple[str, ...]:
    """The labels of a closed task that its definition names as words of their own."""
    return tuple(label for label in task.labels or () if _stands_in(label, task.definition))


def fault(task: TaskCard, instances: Iterable[Instance], prompt: str, output: str, *, finished: bool) -> str:
    """Why a rewrite is not shown, else empty.

    It is cut off or empty, a label that the definition names is missing, or the prompt holds the input of an evaluated
    instance, or an output of one that is no label of a closed task: then the model may have seen what it must not.
    Words are compared without case and punctuation.
    """
    if not finished:
        return "cut off"
    if not output.strip():
        return "empty"
    if lost := [label for label in named_labels(task) if not _stands_in(label, output)]:
        return f"without the label {', '.join(map(repr, lost))}"
    for instance in instances:
        if _stands_in(instance.input, prompt):
            return f"the prompt holds the input of instance {instance.id}"
        if task.labels is None and any(_stands_in(text, prompt) for text in instance.outputs):
            return f"the prompt holds an output of instance {instance.id}"
    return ""


def _stands_in(words: str, text: str) -> bool:
    """Whether ``words`` occur in ``text`` as whole words; symbols alone as they are."""
    if wanted := normalise_input(words):
        return f" {wanted} " in f" {normalise_input(text)} "
    return bool(words.strip()) and words.strip() in text


# ---------------------------------------------------------------------------------------- file

_FIELDS = ("task", "definition", "model", "prompt", "output", "fault")


def read(path: Path) -> dict[tuple[str, str], Rewrite]:
    """The rewrites in ``path``, by task and digest of its definition.

    Raises:
        DataError: If the file is missing or does not say what it should; names it.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        found = [Rewrite(*(str(row[field]) for field in _FIELDS)) for row in rows]
    except OSError as error:
        raise DataError(f"The rewrites in '{path}' cannot be read ({error.strerror}).") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"'{path}' is not a file of rewrites ({error}). Make one: python -m snibench_rewrites.make -o FILE"
        ) from error
    return {(one.task, one.definition): one for one in found}


def as_json(rewrites: Iterable[Rewrite]) -> str:
    """``rewrites`` as the text of a file, sorted by task."""
    rows = [{field: getattr(one, field) for field in _FIELDS} for one in sorted(rewrites, key=lambda one: one.task)]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def one_line(text: str) -> str:
    """``text`` as it is shown in a prompt: outer blanks and line breaks gone."""
    return re.sub(r"\s*\n\s*", " ", text.strip())
