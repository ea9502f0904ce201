"""Contracts of a method and of a floor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

from snibench.base.settings import validated
from snibench.base.types import Instance, ModelInfo, TaskCard
from snibench.contracts.rules import Rule
from snibench.contracts.samplers import Sampler
from snibench.contracts.settings import NoSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snibench.engine.packing import Batch

Encode = Callable[[Sequence[str]], "Tensor"]  # n texts -> [n, H] mean last hidden state of the frozen base


@dataclass(frozen=True, slots=True)
class Group:
    """Optimizer settings of one parameter: learning rate as a multiple of the run's, and decoupled weight decay."""

    scale: float = 1.0
    decay: float = 0.0


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of one forward pass.

    ``tasks [K]``: a loss for each task, which the rule combines. ``anchors [R]``: further losses, means over the
    batch's tasks, whose gradients a rule may look at; or a function that returns them, called only where a rule asks
    for them. ``auxiliary``: a scalar of weight 1, a mean over the batch, added before clipping, outside of the rule,
    the gradient conflict and the search for a learning rate (a router's balance loss).
    """

    tasks: Tensor
    anchors: Tensor | Callable[[], Tensor] | None = None
    auxiliary: Tensor | None = None


class Method(ABC):
    """A way to tune on many tasks: what is trained, and on which loss.

    The harness owns data order, optimizer, precision and metering; a method never sees a held-out instance.
    Derive from ``snibench.api.BaseMethod``, which implements every hook as plain LoRA.
    """

    # A frozen dataclass; every field is a --set key and part of the fit id. Its ``validate()``, if it has one, is
    # called while a run is planned, and raises UsageError for values that cannot be used.
    Settings: ClassVar[type] = NoSettings
    trains: ClassVar[bool] = True  # False: the base model as it is, answered once for all seeds
    control: ClassVar[bool] = False  # True: a yardstick, which tables show above the methods
    shares_prefixes: ClassVar[bool] = True  # False: one row per instance, where packing would change the result

    shots: int = 0  # positive examples put into every prompt that is answered (`formats.base.with_shots`)
    elsewhere: str = ""  # what was done outside of snibench, such as "tuned elsewhere"; then ``trains`` is False

    def __init__(self, settings: Any = None) -> None:
        self.settings = validated(self.Settings() if settings is None else settings)

    def unfit(self, info: ModelInfo) -> str | None:
        """Why this method has no place in the model, as one sentence; None where it has.

        Asked while a run is planned, before anything is loaded: ``info`` is what the model's headers say. The method's
        fits are then skipped with the sentence, and all others go on.
        """
        return None

    def base_rate(self, info: ModelInfo, optimizer: str) -> float | None:
        """The learning rate where none was searched for and the user names none; None: the user must name one.

        Asked while a run is planned. ``optimizer``: its name in the recipe.
        """
        return None

    @abstractmethod
    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """The model to train, with its trainable parameters inserted and all others frozen.

        Called once per fit, and again with the same arguments before stored parameters are loaded, so every random
        initial value comes from ``seed``. (torch's default generator is seeded with it, too, for libraries that draw
        from there.) ``cards`` are the seen tasks. ``encode`` embeds texts with the frozen base.
        """

    @abstractmethod
    def task_parameters(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """Trainable parameters that belong to single tasks: outside the rule and the conflict score."""

    def groups(self, named: Mapping[str, nn.Parameter]) -> Mapping[str, Group]:
        """By the names of trainable parameters, how each is moved; one that is not named has the run's learning rate.

        For LoRA+ and layer-wise rates. The schedule and the rate itself stay the run's.
        """
        return {}

    @abstractmethod
    def sampler(self) -> Sampler:
        """Sampler of the tasks of each step, where ``--sampler`` does not say."""

    def targets(self, card: TaskCard, instance: Instance, rng: Random) -> Sequence[str]:
        """Texts that are scored under the instance's prompt, at least one; the first is what is learned by default.

        Further ones (the other side of a preference, negative answers) stand in the batch beside it, with weight 0 in
        ``target_nll``: ``Batch.target_choice`` numbers them. ``rng`` is seeded by run, step, task and instance.
        """
        return instance.outputs[:1]

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> Tensor | Losses:
        """``[K]``, one loss per task in ``batch``: the mean over its instances of their mean target NLL.

        A task's loss must not depend on which other tasks are in the batch, which changes with the memory at hand.
        ``Losses`` where there are anchors or an auxiliary loss beside it.
        """

    @abstractmethod
    def penalty(self, model: nn.Module, tasks: Sequence[str], instructions: Sequence[str]) -> Tensor | None:
        """Scalar of the parameters alone, added after the rule and the clipping; no task's gradient, no conflict.

        ``tasks`` and ``instructions`` are the step's K tasks and their instructions as rendered. The graph of
        ``losses`` is freed by then.
        """

    def gradients(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor] | None:
        """Pseudo-gradients ``[K, *shape]`` by the parameters' names, in place of autograd's; None: autograd's.

        For methods whose update is no gradient of a loss (Reptile, MAML, SAM). Parameters must be left as they were;
        one that is not named has zero rows, and a task's row must not depend on the other tasks. ``batch.select``
        gives parts of a batch. The rule, clipping and the optimizer follow as usual.
        """
        return None

    @abstractmethod
    def rule(self) -> Rule:
        """Rule that combines task gradients unless ``--rule`` names another. Called after ``attach``."""

    @abstractmethod
    def for_prompts(
        self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]
    ) -> AbstractContextManager[None]:
        """Active while rows are answered: per row its task, seen or not, and its instruction as rendered."""


class Recorded(ABC):
    """Answers given outside of snibench, by another engine or a service: scored and tested like a method's.

    Registered under ``snibench.methods``. No model is loaded.
    """

    Settings: ClassVar[type] = NoSettings
    trains: ClassVar[bool] = False
    control: ClassVar[bool] = False

    def __init__(self, settings: Any = None) -> None:
        self.settings = validated(self.Settings() if settings is None else settings)

    @property
    @abstractmethod
    def elsewhere(self) -> str:
        """Origin of the answers, for tables and notes, such as "answered elsewhere by vllm 0.11"."""

    @abstractmethod
    def answers(self, asked: Collection[str]) -> Mapping[str, str]:
        """The raw answer to each prompt that is ``asked``, by the prompt's digest, stop included.

        Called while a run is planned, and again when its fit is scored.

        Raises:
            DataError: If a prompt has no answer.
        """


class Floor(ABC):
    """Heuristic baseline that needs no model: registered beside methods, under ``snibench.methods``.

    A row in every table, but no part of tests, ranks and groups. No model is loaded, and no format asked.
    """

    Settings: ClassVar[type] = NoSettings
    trains: ClassVar[bool] = False
    control: ClassVar[bool] = True

    def __init__(self, settings: Any = None) -> None:
        self.settings = validated(self.Settings() if settings is None else settings)

    @abstractmethod
    def answer(self, task: TaskCard, input: str, pool: Sequence[Instance]) -> str:
        """The answer to ``input``, the same for every format.

        ``pool``: the task's evaluated instances, answers included. A floor that reads them is an oracle, and says so.
        """
