"""One run: what it asked for, and the searches that chose its learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snibench.base.types.fits import Json


@dataclass(frozen=True, slots=True)
class Trial:
    """One learning rate that was tried.

    ``loss``: mean over tasks on held-back instances; None unless ``status`` is "done".
    """

    rate: float
    loss: float | None
    seconds: float  # of tuning
    steps: int
    seed: int
    status: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """The learning rates that were tried for one method, and the one that it is tuned with."""

    label: str
    default: float
    rate: float
    trials: tuple[Trial, ...]

    @property
    def note(self) -> str:
        """For the record: how the rate came about."""
        if not any(trial.status == "done" for trial in self.trials):
            return f"learning rate {self.rate:g}, the default: none of {len(self.trials)} trials ended well"
        tried = [trial.rate for trial in self.trials]
        edge = ", at the edge of what was tried" if self.rate in (min(tried), max(tried)) else ""
        return f"learning rate {self.rate:g}, chosen from {len(tried)} trials on held-back training instances{edge}"


@dataclass(frozen=True, slots=True)
class SuiteRef:
    """A suite by what it is: its name, the digest of its choice of tasks and instances, and its notes."""

    name: str
    digest: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """Request of a run, as stored: ``manifest.json``."""

    fits: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)  # fit -> what this run calls it
    controls: tuple[str, ...] = ()  # labels of the yardsticks, which tables show above the methods
    question_sets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # fit -> protocol -> digest
    protocol_versions: Mapping[str, int] = field(default_factory=dict)
    # Of every protocol, resolved: what planned its questions also measures their answers.
    protocol_settings: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    limit: int | None = None  # questions per task, format and protocol; None = the protocols' own number
    suite: SuiteRef | None = None
    baseline: str | None = None  # label
    searches: tuple[Search, ...] = ()
    earlier: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # question sets of earlier runs
    notes: tuple[str, ...] = ()  # what a reader of the tables must know of the plan
