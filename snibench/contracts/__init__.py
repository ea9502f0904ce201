"""The contracts that plugins implement. Signatures only, and no torch at import.

A plugin registers a class under one of the groups ``snibench.methods``, ``.rules``, ``.formats``,
``.protocols``, ``.suites``. Defaults live beside the built-ins: ``snibench.methods.base.BaseMethod`` is
plain LoRA on the mean loss, and most methods override one or two of its hooks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from snibench.base.types import Ask, Frame, Instance, ModelInfo, Prompt, SuiteData, SuiteRequest, TaskCard

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from snibench.engine.gradients import TaskGradients
    from snibench.engine.packing import Batch

Encode = Callable[[Sequence[str]], "Tensor"]  # n texts -> [n, H] mean last hidden state of the frozen base


@dataclass(frozen=True, slots=True)
class NoSettings:
    """Settings of something that has none."""


class Format(ABC):
    """A way to render one instance as text.

    ``render`` never sees an output of the instance, so that no format can leak it.
    """

    flags: ClassVar[FormatFlags]
    takes_shots_inside: ClassVar[bool] = True  # False: text behind the instruction would break the format

    @abstractmethod
    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        """The prompt for ``input``, ending exactly where the answer starts.

        Pure and deterministic: the same arguments and state of ``rng`` give the same bytes. Exactly one
        segment has kind ``input``; for every format but the official encodings it is ``input`` verbatim.
        """

    def bind(self, tokenizer: Any) -> Format:
        """The format for one tokenizer; only chat templates differ by it."""
        return self

    def notes(self, tasks: Sequence[TaskCard]) -> Sequence[str]:
        """One sentence for each thing that the format shows otherwise than it promises for some of ``tasks``."""
        return ()


@dataclass(frozen=True, slots=True)
class FormatFlags:
    """What a format tells the model, so that form and information are not confounded.

    ``definition``: "full", "part" or "none". ``labels``: the closed label set is listed apart from the
    definition. ``positive``, ``negative``: how many examples. ``group``: "I" keeps the information of the
    definition, "II" changes it, "control" is a floor.
    """

    definition: str
    labels: bool
    positive: int
    negative: int
    explanations: bool
    category: bool
    group: str


class Rule(ABC):
    """How K task gradients become one update.

    ``needs`` names what the harness must compute: "gram" (per-task gradients and their Gram matrix),
    "losses", "losses_after" (then ``observe`` is called), "generator", "layers" (a Gram matrix for every layer, and
    weights for each), "tensors" (the same for every parameter). A rule without "gram" pays nothing.
    Anything kept from step to step is keyed by task name: rows change from step to step.
    """

    Settings: ClassVar[type] = NoSettings
    needs: ClassVar[frozenset[str]] = frozenset()
    clipped: ClassVar[bool] = True  # False: the rule itself sets the length of the update

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    @abstractmethod
    def weights(self, gradients: TaskGradients) -> Tensor:
        """``[K + R]`` float64 weights w; the update is ``sum_t w_t g_t`` over tasks, then references.

        A rule that needs "layers" or "tensors" may give ``[Q, K + R]``, a row for each of ``gradients.layers``.
        """

    def observe(self, tasks: Sequence[str], losses: Tensor) -> None:  # noqa: B027 (optional hook)
        """Told the ``[K]`` losses after the step, if "losses_after" is in ``needs``."""

    def diagnostics(self) -> Mapping[str, float]:
        """Numbers about the last step, for the trace."""
        return {}

    def state(self) -> Mapping[str, Any]:
        """What a resumed run must get back, as JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (optional hook)
        """Take back what ``state`` gave."""


class Method(ABC):
    """A way to tune on many tasks: what is trained, and on which loss.

    The harness owns data order, optimizer, precision and metering; a method never sees a held-out instance.
    Derive from ``snibench.methods.base.BaseMethod``, which implements every hook as plain LoRA.
    """

    Settings: ClassVar[type] = NoSettings  # a frozen dataclass; every field is a --set key and part of the fit id
    trains: ClassVar[bool] = True  # False: the base model as it is, answered once for all seeds
    shares_prefixes: ClassVar[bool] = True  # False: one row per instance, where packing would change the result

    shots: int = 0  # positive examples put into every prompt that is answered (`formats.base.with_shots`)

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    def unfit(self, info: ModelInfo) -> str | None:
        """Why this method has no place in the model, as one sentence; None where it has.

        Asked while a run is planned, before anything is loaded: ``info`` is what the model's headers say. The method's
        fits are then skipped with the sentence, and all others go on.
        """
        return None

    @abstractmethod
    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode) -> nn.Module:
        """The model to train, with its trainable parameters inserted and all others frozen.

        Called once per fit, and again with the same arguments before stored parameters are loaded, so any
        random initial value comes from torch's default generator, which the harness has seeded.
        ``cards`` are the seen tasks. ``encode`` embeds texts with the frozen base.
        """

    @abstractmethod
    def task_parameters(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """Trainable parameters that belong to single tasks: outside the rule and the conflict score."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]``, one loss per task in ``batch``: the mean over its instances of their mean target NLL."""

    @abstractmethod
    def references(self, model: nn.Module, batch: Batch) -> Tensor | None:
        """``[R]`` further losses, means over the batch's tasks, whose gradients the rule may look at.

        Called right after ``losses`` on the same batch, so that a forward pass may serve both.
        """

    @abstractmethod
    def penalty(self, model: nn.Module, tasks: Sequence[str], instructions: Sequence[str]) -> Tensor | None:
        """Scalar added after the rule and the clipping; no task's gradient, no conflict.

        ``tasks`` and ``instructions`` are the step's K tasks and their instructions as rendered.
        """

    @abstractmethod
    def rule(self) -> Rule:
        """How task gradients combine, where ``--rule`` does not say."""

    @abstractmethod
    def for_prompts(
        self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]
    ) -> AbstractContextManager[None]:
        """Active while rows are answered: per row its task, seen or not, and its instruction as rendered."""


class Floor(ABC):
    """What anybody scores without a model: registered beside methods, under ``snibench.methods``.

    A row in every table, but no part of tests, ranks and groups. No model is loaded, and no format asked.
    """

    Settings: ClassVar[type] = NoSettings
    trains: ClassVar[bool] = False

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    @abstractmethod
    def answer(self, task: TaskCard, input: str, pool: Sequence[Instance]) -> str:
        """The answer to ``input``, the same for every format.

        ``pool``: the task's evaluated instances, answers included. A floor that reads them is an oracle, and says so.
        """


class Suite(ABC):
    """Tasks, which of them are seen, and which instances serve what."""

    @abstractmethod
    def load(self, request: SuiteRequest) -> SuiteData:
        """The suite under ``request``; equal requests on equal data give an equal digest.

        Raises:
            DataError: If a file or folder is malformed or missing; names it.
        """


class Protocol(ABC):
    """Which fits to make, which questions each must answer, and how the answers are summarised.

    ``version`` changes whenever a question or a number does. ``title`` heads its tables. ``frames`` describes the
    frames of ``measure`` in the order in which they are shown; one that it does not describe gets a plain table.
    """

    Settings: ClassVar[type] = NoSettings  # its defaults are the full budget
    quick: ClassVar[Any] = NoSettings()
    version: ClassVar[int]
    title: ClassVar[str] = ""
    frames: ClassVar[Mapping[str, Frame]] = {}

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    def check(self) -> None:  # noqa: B027 (optional hook)
        """Called before anything is loaded.

        Raises:
            UsageError: If the settings name what is not installed.
        """

    @abstractmethod
    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        """The fits and questions, the same for every method and training seed.

        ``limit``: questions per task and format, None = the protocol's own number.
        """

    def notes(self, suite: SuiteData) -> Sequence[str]:
        """One sentence for each thing that ``plan`` leaves out of this suite."""
        return ()

    @abstractmethod
    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
        """Tidy frames of fractions by name, from this protocol's answer rows, under the settings that planned them.

        ``answers``: the columns of ``types.Answer`` plus ``method`` (label), ``seed`` and, where it is known, ``floor``
        (bool: shown, but not ranked). ``tasks``: one row per
        task with ``task, category, domains, sources, labels, metric, chance, majority``.
        """
