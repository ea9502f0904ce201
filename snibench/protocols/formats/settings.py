"""Settings of protocol ``formats``."""

from __future__ import annotations

from dataclasses import dataclass

from snibench.base.bounds import Count


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of protocol ``formats``. Every format sees the same tasks and instances.

    In ``formats`` ``*`` and ``?`` match installed names. ``reference``: the format that a drop is relative to.
    """

    formats: tuple[str, ...] = (
        "definition",
        "instruction_example",
        "template",
        "imperative",
        "question",
        "declarative",
        "keyword",
        "abstract",
        "examples_only",
        "full_examples",
    )
    tasks: Count | None = 20  # half seen, half unseen; None = all
    instances: Count | None = 50  # per task; None = all that the suite evaluates
    seed: int = 0  # of the choice of tasks
    reference: str = "definition"


PAPER = Settings()
QUICK = Settings(
    formats=("definition", "instruction_example", "template", "abstract", "declarative"), tasks=10, instances=8
)
