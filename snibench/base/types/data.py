"""Tasks, instances and suites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Example:
    """A positive or negative example of a task's definition, or a demonstration made of an instance."""

    input: str
    output: str
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """One question of a task. ``outputs`` holds every reference, at least one, each maybe empty."""

    id: str
    input: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskCard:
    """A task without its instances: all that a format or a method may know of it.

    ``labels`` is the closed set of outputs as written in the data, sorted by code point, or None.
    ``metric`` is the name of a registered metric: what ``score`` means for this task.
    """

    name: str
    definition: str
    positive: tuple[Example, ...]
    negative: tuple[Example, ...]
    category: str
    domains: tuple[str, ...]
    sources: tuple[str, ...]
    labels: tuple[str, ...] | None
    metric: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task and all its instances, in the order of its file."""

    card: TaskCard
    instances: tuple[Instance, ...]

    @property
    def name(self) -> str:
        """The task's name: the key everywhere."""
        return self.card.name


@dataclass(frozen=True, slots=True)
class Combo:
    """A pair of task families for the combos protocol; each side names tasks of the suite."""

    name: str
    a: tuple[str, ...]
    b: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SuiteRequest:
    """Options of a user for a suite. ``None`` = the suite's own default."""

    name: str
    data: str | None = None  # folder in the official layout
    split: str | None = None  # "official", "families", or a folder with split lists
    tasks: int | None = None  # at most this number of seen tasks; unseen ones in the same proportion
    instances: int | None = None  # held-out and unseen instances per task
    categories: tuple[str, ...] = ()
    partial: bool = False  # go on where split lists name tasks that are not there
    allow_leak: bool = False
    seed: int = 0  # of the choice of tasks and instances; not the seed of training


@dataclass(frozen=True)
class SuiteData:
    """A suite, resolved: which tasks are seen and unseen, and which instances serve what.

    For a seen task ``training``, ``probe`` and ``evaluation`` never overlap. An unseen task has
    ``evaluation`` only, and ``context``: instances that are never evaluated, for the combos protocol.
    """

    name: str
    digest: str
    tasks: Mapping[str, Task]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    training: Mapping[str, tuple[Instance, ...]]  # seen tasks
    probe: Mapping[str, tuple[Instance, ...]]  # seen tasks: gradient conflict only
    evaluation: Mapping[str, tuple[Instance, ...]]  # every task
    context: Mapping[str, tuple[Instance, ...]]  # every task; may overlap training
    combos: tuple[Combo, ...] = ()
    notes: tuple[str, ...] = ()  # one sentence each: dropped, missing, leaked
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # task -> e.g. ("alias-leak",)
