"""Answers given outside of snibench, read from a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from snibench.base.errors import UsageError
from snibench.base.hashing import file_digest
from snibench.contracts import Recorded, names_seed, path_of_seed
from snibench.data.answer_files import read_answers


@dataclass(frozen=True, slots=True)
class AnswersSettings:
    """``path``: the file; ``engine``: who answered. ``digest``: of the file, found by itself.

    ``{seed}`` in ``path`` stands for the seed: one file for each seed of the run.
    """

    path: str = ""
    engine: str = "an unnamed engine"
    digest: str = ""

    @property
    def by_seed(self) -> bool:
        """Whether every seed has a file."""
        return names_seed(self.path)

    def of_seed(self, seed: int) -> AnswersSettings:
        """With the seed's own file and its digest.

        Raises:
            UsageError: If there is no such file.
        """
        path = Path(path_of_seed(self.path, seed))
        if not self.path or not path.is_file():
            raise UsageError(
                f"answers reads a file of answers, but there is none at '{path}'. Name one: -m 'answers(path=FILE)'."
            )
        return replace(self, path=str(path), digest=file_digest(path))


class Answers(Recorded):
    """Answers from a file: what another engine, a server or a service said to the same prompts.

    ``snibench questions export`` writes the prompts. The file must answer every one; a prompt's digest is its id, so no
    answer can belong to another prompt. Answers end at the stop of their format, as those of snibench do.
    """

    Settings: ClassVar[type] = AnswersSettings

    @property
    def elsewhere(self) -> str:
        """``answered elsewhere, by ENGINE``."""
        return f"answered elsewhere, by {self.settings.engine}"

    def answers(self, asked: Collection[str]) -> Mapping[str, str]:
        """What the file says, by the digests of prompts.

        Raises:
            DataError: If the file is malformed, or lacks an answer.
        """
        return read_answers(Path(self.settings.path), asked)
