"""Questions to be answered outside of snibench, and the answers that come back: JSON lines, one prompt each.

A question is ``{"id", "task", "prompt", "stop", "max_tokens"}``, and ``"messages"`` where its format is a chat; an
answer ``{"id", "answer"}``, whatever else stands beside them. The id is the digest of task, prompt and stop, so an
answer can only belong to the very prompt that was asked.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from snibench.base.errors import DataError
from snibench.data.json_lines import read_lines


def question(id: str, task: str, prompt: str, stop: str, most: int, messages: Sequence[Mapping[str, str]]) -> str:
    """One question as a line: ``most`` tokens at most; ``stop``: what ends the answer, empty for the model's end."""
    values: dict[str, Any] = {"id": id, "task": task, "prompt": prompt, "stop": stop, "max_tokens": most}
    if messages:
        values["messages"] = list(messages)
    return json.dumps(values, ensure_ascii=False) + "\n"


def read_answers(path: Path, asked: Collection[str]) -> dict[str, str]:
    """The answers in ``path`` by their ids; those to other questions than are ``asked`` do no harm.

    Raises:
        DataError: If a line is malformed, two answers to one question differ, or one has none; names file and line.
    """
    answers: dict[str, str] = {}
    for line in read_lines(path):
        id, answer = line.text("id"), line.text("answer")
        if answers.setdefault(id, answer) != answer:
            raise DataError(f"{line.where}: {id!r} has another answer already. Keep one line for each id.")
    missing = [id for id in asked if id not in answers]
    if missing:
        raise DataError(
            f"{path} answers {len(asked) - len(missing)} of {len(asked)} questions; the first without an answer has id "
            f"{missing[0]}. Export the questions with the same options (`snibench questions export`), and answer all."
        )
    return answers
