"""Frozen values that travel between rooms. No behaviour beyond views of their own fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from snibench.base.hashing import digest

Metric = Literal["exact_match", "rouge_l"]
Json = Any  # what json.dumps takes; checked where it is written

# --------------------------------------------------------------------------------------- data


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
    ``metric`` is the official headline metric: what ``score`` means for this task.
    """

    name: str
    definition: str
    positive: tuple[Example, ...]
    negative: tuple[Example, ...]
    category: str
    domains: tuple[str, ...]
    sources: tuple[str, ...]
    labels: tuple[str, ...] | None
    metric: Metric


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
    """What a user asks of a suite. ``None`` = the suite's own default."""

    name: str
    data: str | None = None  # folder in the official layout
    split: str | None = None  # "official", "families", or a folder with split lists
    tasks: int | None = None  # at most so many seen tasks; unseen ones in the same proportion
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


# ------------------------------------------------------------------------------------- prompts

SegmentKind = Literal["history", "instruction", "example", "input", "cue"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt.

    ``instruction``: what is told of the task. ``example``, ``history``: one demonstration each, which
    truncation may drop. ``input``: the instance's input, verbatim. ``cue``: fixed text around them.
    """

    kind: SegmentKind
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered instance: its segments, whose texts joined are what the model reads."""

    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All that the model reads."""
        return "".join(segment.text for segment in self.segments)

    @property
    def instruction(self) -> str:
        """The instruction as rendered, maybe empty: all that a method may condition on."""
        return "".join(segment.text for segment in self.segments if segment.kind == "instruction")


# ----------------------------------------------------------------------------------- questions


@dataclass(frozen=True, slots=True)
class Turn:
    """A solved instance that stands before a question; ``instance`` is from ``SuiteData.context``."""

    task: str
    instance: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a protocol asks of a fit: one instance in one format, after some history."""

    protocol: str
    task: str
    instance: str
    format: str
    split: Literal["held_out", "unseen"]
    seen: bool  # the task was in the tuning set
    history: tuple[Turn, ...] = ()
    variant: str = "{}"  # canonical JSON: combo, schedule, history where they apply
    stream: int = 0
    position: int = 0
    side: Literal["", "A", "B"] = ""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Tasks to tune on, with the share of steps that each gets (equal if ``weights`` is empty)."""

    tasks: tuple[str, ...]
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """One fit that a protocol needs, and its questions."""

    mixture: Mixture
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One row on disk. Field order is column order."""

    fit: str
    protocol: str
    variant: str
    format: str
    task: str
    split: str
    seen: bool
    instance: str
    stream: int
    position: int
    side: str
    prompt_sha: str
    prediction: str
    targets: tuple[str, ...]
    exact_match: float
    rouge_l: float
    score: float
    prompt_tokens: int
    truncated: bool


# ---------------------------------------------------------------------------------------- fits


@dataclass(frozen=True, slots=True)
class Recipe:
    """How every method is tuned; the same for all but ``learning_rate``, and recorded."""

    steps: int
    tasks_per_step: int = 8  # K
    instances_per_task: int = 4  # m
    learning_rate: float = 0.0
    warmup: float = 0.03
    clip: float = 1.0
    max_input: int = 1024
    max_output: int = 128


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A base model by what it is, not where it lies."""

    spec: str
    digest: str  # of the weights
    tokenizer_digest: str


@dataclass(frozen=True, slots=True)
class Paths:
    """How a base model is read: a fast path only where it gives what the model's own forward pass gives.

    ``attention``: the implementation of transformers. ``rows``: a task's instances behind their common prefix in one
    row, or each in a row of its own. ``decoding``: the fast path, padded batches through the model's own forward pass,
    or rows without padding through its own ``generate``.
    """

    attention: Literal["sdpa", "eager"] = "sdpa"
    rows: Literal["packed", "single"] = "packed"
    decoding: Literal["fast", "batched", "generate"] = "fast"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was decided for a model. ``notes``: one sentence each, for plan and record."""

    paths: Paths = Paths()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FitSpec:
    """Everything that decides the weights of one fit."""

    method: str
    rule: str  # "" = the method's own
    settings: Mapping[str, Json]  # every setting, resolved
    source: Mapping[str, str]  # distribution, version and file digest of the method's and rule's code
    model: ModelRef
    suite: SuiteRequest
    suite_digest: str
    mixture: Mixture
    train_format: str
    recipe: Recipe
    seed: int
    precision: str  # "float32" or "bfloat16"
    label: str  # what tables call it
    floor: bool = False  # answers without a model: shown, but no part of tests and ranks
    twin: Mapping[str, Json] | None = (
        None  # method, settings and source of the method that this one is under its settings
    )
    rule_settings: Mapping[str, Json] = field(default_factory=dict)  # every setting of a rule that is named, resolved
    paths: Paths = Paths()  # decided once for the model, before any fit

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits over all that decides the weights; names and places do not count."""
        from dataclasses import asdict

        fields = asdict(self)
        for name in ("suite", "label", "floor"):
            fields.pop(name)
        fields |= fields.pop("twin") or {}
        if not fields["rule_settings"]:
            fields.pop("rule_settings")
        fields["model"].pop("spec")
        return digest(fields)[:16]


Status = Literal["done", "failed", "diverged", "interrupted"]


@dataclass(frozen=True, slots=True)
class FitRecord:
    """What seals a fit: ``record.json``."""

    fit: str
    label: str
    method: str
    rule: str
    seed: int
    status: Status
    cause: str = ""  # of a failure, one line
    seconds: float = 0.0  # of tuning alone, conflict measurement apart
    peak_memory: int = 0  # bytes
    trainable_parameters: int = 0
    total_parameters: int = 0
    device: str = ""
    notes: tuple[str, ...] = ()  # fall-backs, back-offs
    conflict: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # "0.0" -> score, raw, ...
    versions: Mapping[str, str] = field(default_factory=dict)
