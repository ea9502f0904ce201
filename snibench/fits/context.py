"""A fit under way: where it runs, whom it reports to, and the values that its stages share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from snibench.base.types import FitSpec, SuiteData
from snibench.contracts import Method
from snibench.engine.backbone import Backbone
from snibench.engine.tuning import Tuning

ATTACHING = "attaching"  # the stage at which a fit's time begins


@dataclass(frozen=True)
class Runtime:
    """Execution options of fits; none of them changes a weight or an answer but by rounding."""

    device: str = "cpu"
    threads: int | None = None  # of the processor, for one fit; None = the library's own choice
    executor: str = "inline"  # or "auto"; with its settings in brackets
    jobs: int | None = None  # fits side by side; None = the processor's cores
    distributed: int = 1  # processes that tune one fit together
    batch_size: int | None = None
    conflict: Literal["off", "ends", "full"] = "ends"
    conflict_tasks: int = 16
    checkpoint_seconds: float = 30.0
    overwrite: Literal["never", "failed", "always"] = "never"
    fit_timeout: float | None = None  # seconds of one fit or trial, from attaching on; None = no limit
    trust_remote_code: bool = False
    report_to: tuple[str, ...] = ()  # experiment trackers, by name


@dataclass(frozen=True)
class FitProgress:
    """Callbacks by which a fit reports its stage, steps, answers, end, and what a person should know."""

    on_stage: Callable[[str], None] = field(default=lambda stage: None)
    on_step: Callable[[Tuning, int], None] = field(default=lambda progress, steps: None)
    on_answers: Callable[[int, int], None] = field(default=lambda done, total: None)
    on_end: Callable[[str], None] = field(default=lambda cause: None)  # "" unless it ended early
    on_note: Callable[[str], None] = field(default=lambda sentence: None)  # waits, damaged files


@dataclass(frozen=True)
class FitContext:
    """The values that the stages of one fit share."""

    spec: FitSpec
    suite: SuiteData
    backbone: Backbone
    method: Method
    model: nn.Module
    folder: Path
    runtime: Runtime
    progress: FitProgress
