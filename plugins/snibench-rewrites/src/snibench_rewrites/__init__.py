"""The format ``llm-rewrite``: the definition in the words of a language model, written once and kept in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from snibench.api import Format, FormatFlags, cue, definition, instruction, prompt_of, query
from snibench_rewrites.rewriting import Rewrite, definition_digest, one_line, read

if TYPE_CHECKING:
    from random import Random

    from snibench.api import Prompt, TaskCard

SHIPPED = Path(__file__).parent / "rewrites" / "mini.json"
VARIABLE = "SNIBENCH_REWRITES"  # names another file


class LlmRewrite(Format):
    """The format ``definition`` with the definition as a language model rewrote it, offline, once per task.

    The model saw the definition alone: no instance, no example. A task without a rewrite, or whose rewrite was
    rejected, is shown its own definition, and the plan of a run says for how many tasks. The rewrites are read from the
    file that the environment variable SNIBENCH_REWRITES names, else from those shipped for suite mini.
    """

    flags = FormatFlags("full", "I")

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or Path(os.environ.get(VARIABLE) or SHIPPED)

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """``Definition:`` and the rewrite, a blank line, ``Input: x`` and ``Output:``."""
        found = self._rewrites.get((task.name, definition_digest(task)))
        told = one_line(found.output) if found and not found.fault else definition(task)
        return prompt_of(cue("Definition: "), instruction(told), cue("\n\nInput: "), query(input), cue("\nOutput:"))

    def notes(self, tasks: Sequence[TaskCard]) -> Sequence[str]:
        """How many of ``tasks`` are shown their own definition, and why."""
        found = [self._rewrites.get((task.name, definition_digest(task))) for task in tasks]
        counts = {
            "the rewrite was rejected": sum(one is not None and bool(one.fault) for one in found),
            f"'{self._file.name}' has none": sum(one is None for one in found),
        }
        return tuple(
            f"Format llm-rewrite shows {count} of {len(tasks)} tasks their own definition, because {why}."
            for why, count in counts.items()
            if count
        )

    @property
    def _rewrites(self) -> Mapping[tuple[str, str], Rewrite]:
        return _read_once(self._file)


@cache
def _read_once(file: Path) -> Mapping[tuple[str, str], Rewrite]:
    return read(file)
