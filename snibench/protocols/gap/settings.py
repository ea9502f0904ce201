"""Settings of protocol ``gap``."""

from __future__ import annotations

from dataclasses import dataclass

from snibench.base.bounds import Count
from snibench.protocols.choice import check_choices

MODES = ("split", "crossfit")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of protocol ``gap``. ``None`` = everything that the suite evaluates.

    Mode ``split``: seen tasks against unseen ones. Mode ``crossfit``: two more fits, each on one half of the seen
    tasks, so that every task is asked of a fit that saw it and of one that did not.
    """

    modes: tuple[str, ...] = ("split",)
    format: str = "definition"
    tasks: Count | None = None  # half seen, half unseen; in mode crossfit as many, all seen
    instances: Count | None = 100  # per task
    seed: int = 0  # of the choice of tasks and of the folds

    def __post_init__(self) -> None:
        check_choices("mode of gap", self.modes, MODES)


PAPER = Settings()
# All tasks: between them lies more noise than between the questions of one.
QUICK = Settings(instances=20)
