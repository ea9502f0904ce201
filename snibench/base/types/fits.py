"""One tuning: its spec, its recipe and the record that seals it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from snibench.base.bounds import Bounds
from snibench.base.hashing import digest
from snibench.base.types.data import SuiteRequest
from snibench.base.types.questions import Mixture

Json = Any  # what json.dumps takes; checked where it is written
OptimizerName = Literal["adamw", "sgd", "muon"]
RateSchedule = Literal["constant", "averaged", "linear", "cosine"]


WARMUP, CLIP = Bounds(least=0, most=1), Bounds(least=0)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Recipe of tuning; the same for every method but for ``learning_rate``, and recorded."""

    steps: int
    tasks_per_step: int = 8  # K
    instances_per_task: int = 4  # m
    learning_rate: float = 0.0
    warmup: float = 0.03  # share of the steps, within ``WARMUP``
    optimizer: OptimizerName = "adamw"
    schedule: RateSchedule = "linear"  # of the learning rate after the warm-up
    clip: float = 1.0  # longest gradient, within ``CLIP``; 0: any
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
    """Execution paths of a base model: a fast one only where it gives what the model's own forward pass gives.

    ``attention``: the implementation of transformers. ``rows``: a task's instances behind their common prefix in one
    row, or each in a row of its own. ``decoding``: the fast path, padded batches through the model's own forward pass,
    or rows without padding through its own ``generate``.
    """

    attention: Literal["sdpa", "eager"] = "sdpa"
    rows: Literal["packed", "single"] = "packed"
    decoding: Literal["fast", "batched", "generate"] = "fast"


@dataclass(frozen=True, slots=True)
class Checked:
    """Choices of execution for a model. ``notes``: one sentence each, for plan and record."""

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
    train_format: str  # several: "a,b", drawn for each task in each step
    recipe: Recipe
    seed: int
    precision: str  # "float32" or "bfloat16"
    label: str  # what tables call it
    searched: bool = False  # the learning rate was searched for with this model size, optimizer and schedule
    floor: bool = False  # answers without a model: shown, but no part of tests and ranks
    rule_settings: Mapping[str, Json] = field(default_factory=dict)  # every setting of a rule that is named, resolved
    sampler: str = ""  # "" = the method's own
    sampler_settings: Mapping[str, Json] = field(default_factory=dict)  # of a sampler that is named, resolved
    paths: Paths = Paths()  # decided once for the model, before any fit
    elsewhere: str = ""  # what was done outside of snibench, such as "tuned elsewhere"

    @property
    def trains(self) -> bool:
        """Whether parameters are tuned; otherwise the base model, a heuristic or a file answers."""
        return self.recipe.steps > 0

    @property
    def train_formats(self) -> tuple[str, ...]:
        """The names in ``train_format``; none where nothing is trained."""
        return tuple(self.train_format.split(",")) if self.train_format else ()

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits over all that decides the weights; names and places do not count."""
        from dataclasses import asdict

        fields = asdict(self)
        for name in ("suite", "label", "searched", "floor", "elsewhere"):
            fields.pop(name)
        if "object" in fields["source"]:  # two names of one class are one method
            fields.pop("method")
        for name in ("rule_settings", "sampler", "sampler_settings"):
            if not fields[name]:
                fields.pop(name)
        fields["model"].pop("spec")
        return digest(fields)[:16]


# unfit: the method has no place in this model (``Method.unfit``), so nothing was tuned
# interrupted, damaged: never stored; there is no record yet, or files are not what it sealed
Status = Literal["done", "failed", "diverged", "interrupted", "unfit", "damaged"]
Stage = Literal["attach", "tune", "measure", "answer"]  # measure: the gradient conflict


@dataclass(frozen=True, slots=True)
class FileSeal:
    """A file as it was when its fit was sealed."""

    sha256: str
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class FitRecord:
    """Record of a fit, written last: ``record.json``."""

    fit: str
    label: str
    method: str
    rule: str
    seed: int
    status: Status
    cause: str = ""  # of a failure, one line
    stage: Stage | Literal[""] = ""  # in which it failed
    processes: int = 1  # that tuned it together; in its last part, where it was resumed
    seconds: float = 0.0  # of tuning alone, conflict measurement apart
    peak_memory: int = 0  # bytes, of the first process
    trainable_parameters: int = 0
    total_parameters: int = 0
    device: str = ""
    notes: tuple[str, ...] = ()  # fall-backs, back-offs
    conflict: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # "0.0" -> score, raw, ...
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, FileSeal] = field(default_factory=dict)  # by path in the fit's folder

    @classmethod
    def of(cls, spec: FitSpec, status: Status, cause: str = "", **values: Any) -> FitRecord:
        """The record of the fit of ``spec``; ``values``: its further fields."""
        return cls(spec.id, spec.label, spec.method, spec.rule, spec.seed, status, cause, **values)
