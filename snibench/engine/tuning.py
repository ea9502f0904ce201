"""The only training loop. It calls a method's hooks and owns everything that is the same for all methods.

Order of tasks and instances, optimizer, schedule, clipping, precision and metering belong to the harness, so that
two methods differ in what they claim to differ in. Nothing random outlives a step: every draw comes from a seed
made of the run's seed, a purpose and the step, so that a checkpoint needs no generator state.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from snibench.base.errors import SnibenchError
from snibench.base.hashing import derive_seed
from snibench.base.types import Instance, Mixture, Recipe, TaskCard
from snibench.contracts import Format, Method, Rule
from snibench.engine.backbone import Backbone
from snibench.engine.gradients import CannotTellApart, Collected, GradientCollector, TaskGradients, layer_of, tensor_of
from snibench.engine.packing import Batch, make_batch, micro_batches
from snibench.engine.tokens import Encoded, Encoder
from snibench.store import write_whole

# Padded tokens of one forward pass: enough to keep the processor busy, few enough to keep activations small. Not a
# share of the memory that happens to be free, so that a run gives the same bits again.
_TOKENS_AT_ONCE = {"cpu": 1024, "cuda": 32768, "mps": 8192}
_SHORT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")

Schedule = list[list[tuple[str, tuple[int, ...]]]]  # per step: K tasks, each with the indices of its m instances


class Interrupted(SnibenchError):
    """The user stopped the run; what was done is saved."""

    exit_code = 130


class Diverged(Exception):
    """A loss or gradient that is not finite: the method's failure, not the machine's."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What the loop may draw from: seen tasks, their training instances, and the format they are rendered in."""

    cards: Mapping[str, TaskCard]
    instances: Mapping[str, Sequence[Instance]]
    format: Format
    mixture: Mixture


@dataclass
class Tuning:
    """How far a run has come, and what it cost. ``seconds`` and ``peak_memory`` (bytes) are of tuning alone."""

    step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    peak_memory: int = 0
    trace: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan_steps(mixture: Mixture, sizes: Mapping[str, int], recipe: Recipe, seed: int) -> Schedule:
    """Which instances every step draws, the same for every method.

    With equal weights tasks are dealt from a shuffled deck, so that all are visited equally often; with weights,
    each task is in a step with a probability in proportion to its weight. A step then has fewer than K tasks where
    no task may be in every step oftener than once. A task's instances are dealt from a deck of its own.
    """
    rng = np.random.default_rng(derive_seed("batches", seed))
    names = list(mixture.tasks)
    count = min(recipe.tasks_per_step, len(names))
    weights = np.array(mixture.weights) / sum(mixture.weights) if mixture.weights else None
    if weights is not None:
        count = max(1, min(count, math.floor(1 / weights.max() + 1e-9)))
    decks: dict[str, list[int]] = {name: [] for name in names}
    pile: list[str] = []
    steps: Schedule = []
    for _ in range(recipe.steps):
        if weights is None:
            tasks, pile = _deal(pile, names, count, rng)
        else:
            tasks = [names[index] for index in _by_weight(weights, count, rng)]
        step = []
        for task in tasks:
            drawn: list[int] = []
            while len(drawn) < recipe.instances_per_task:
                decks[task] = decks[task] or rng.permutation(sizes[task]).tolist()
                drawn.append(decks[task].pop())
            step.append((task, tuple(drawn)))
        steps.append(step)
    return steps


def _deal(pile: list[str], names: Sequence[str], count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """``count`` different names off the pile, and the pile that is left; a new shuffle goes under an empty one."""
    hand: list[str] = []
    while len(hand) < count:
        if not pile:
            fresh = [names[index] for index in rng.permutation(len(names))]
            # Those already in the hand go to the bottom: no task twice in one step.
            pile = [name for name in fresh if name in hand] + [name for name in fresh if name not in hand]
        hand.append(pile.pop())
    return hand, pile


def _by_weight(weights: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """``count`` different numbers of tasks, task i with probability ``count * weights[i]``, which is at most 1.

    Systematic sampling, tasks of equal weight in shuffled order: drawing without replacement would flatten the
    weights, and of each group of equal tasks a step has its share, rounded up or down.

    Source:
        Madow, On the theory of systematic sampling, II (1949).
    """
    order = rng.permutation(len(weights))
    order = order[np.argsort(weights[order], kind="stable")]
    ends = np.cumsum(weights[order]) * count
    places = np.searchsorted(ends, rng.random() + np.arange(count), side="right")
    return [int(order[min(place, len(order) - 1)]) for place in places]


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate of one step: linear over the first ``warmup`` share of the steps, then constant."""
    warm = max(1, math.ceil(recipe.warmup * recipe.steps))
    return recipe.learning_rate * min(1.0, (step + 1) / warm)


class Trainer:
    """One fit under way: model, method, rule, optimizer and where they stand."""

    def __init__(
        self,
        backbone: Backbone,
        model: nn.Module,
        method: Method,
        rule: Rule,
        data: TrainingSet,
        recipe: Recipe,
        seed: int,
    ) -> None:
        self.backbone, self.model, self.method, self.rule, self.data = backbone, model, method, rule, data
        self.recipe, self.seed = recipe, seed
        self.progress = Tuning()
        own = {id(parameter) for parameter in method.task_parameters(model)}
        self.named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.task_parameters = [p for p in self.named.values() if id(p) in own]
        self.collector = GradientCollector(model, {n: p for n, p in self.named.items() if id(p) not in own})
        self.encoder = Encoder(backbone, recipe.max_input, recipe.max_output)
        self.pack = backbone.packs and method.shares_prefixes
        self.optimizer = torch.optim.AdamW(
            self.named.values(), lr=recipe.learning_rate, betas=(0.9, 0.999), weight_decay=0.0, fused=True
        )
        # Once memory has set a limit: tasks of one forward pass, and into how many passes one task's instances are cut.
        self._rows: int | None = None
        self._cuts = 1
        if not method.shares_prefixes:
            self.progress.notes.append("no prefix sharing: the method gives every instance a row of its own")

    # ----------------------------------------------------------------------------- the loop

    def run(
        self,
        checkpoint: Path,
        *,
        every: float = 30.0,
        on_step: Callable[[Tuning, int], None] = lambda progress, steps: None,
        pauses: Mapping[int, Callable[[], None]] | None = None,
    ) -> Tuning:
        """Tune to the end, from ``checkpoint`` if it is there, saving there every ``every`` seconds.

        ``pauses``: step -> what to do before it, off the clock (steps before a resumed checkpoint are over).

        Raises:
            Interrupted: On SIGINT or SIGTERM, after the state is saved.
            Diverged: If a loss or gradient is not finite.
        """
        if checkpoint.exists():
            self.load(checkpoint)
        sizes = {task: len(instances) for task, instances in self.data.instances.items()}
        schedule = plan_steps(self.data.mixture, sizes, self.recipe, self.seed)
        self.model.train()
        saved = time.monotonic()
        with _stop_signals() as stopped:
            while self.progress.step < self.recipe.steps:
                if pauses and self.progress.step in pauses:
                    pauses[self.progress.step]()
                    self.model.train()
                started = time.perf_counter()
                self.step(schedule[self.progress.step])
                self.progress.step += 1
                self.progress.seconds += time.perf_counter() - started
                self.progress.peak_memory = max(self.progress.peak_memory, _memory(self.backbone.device))
                on_step(self.progress, self.recipe.steps)
                if stopped.is_set() or time.monotonic() - saved > every:
                    self.save(checkpoint)
                    saved = time.monotonic()
                if stopped.is_set():
                    raise Interrupted("Interrupted; the state is saved. The same command goes on from there.")
        self.model.eval()
        return self.progress

    def step(self, drawn: Sequence[tuple[str, tuple[int, ...]]]) -> None:
        """One update on the drawn instances.

        Raises:
            Diverged: If a loss or gradient is not finite.
        """
        groups = self.encode(drawn)
        tasks = [task for task, _ in groups]
        instructions = [instances[0].prompt.instruction for _, instances in groups]
        before = self.rule.state()
        while True:
            # What a model draws in its forward pass (dropout, sampled routings) comes from torch's default generator.
            torch.manual_seed(derive_seed("forward", self.seed, self.progress.step))
            try:
                gradients = self.backward(groups)
                break
            except (torch.OutOfMemoryError, RuntimeError) as error:
                self._shrink(error, groups)
                self.rule.restore(before)
        losses = gradients.losses
        if not torch.isfinite(losses).all():
            raise Diverged(f"the loss is not finite at step {self.progress.step + 1}")
        longest = self.recipe.clip if self.rule.clipped and self.recipe.clip else math.inf
        norm = float(nn.utils.clip_grad_norm_(self.named.values(), longest))
        if not math.isfinite(norm):
            raise Diverged(f"the gradient is not finite at step {self.progress.step + 1}")
        if (penalty := self.method.penalty(self.model, tasks, instructions)) is not None:
            penalty.backward()
        rate = learning_rate(self.recipe, self.progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if "losses_after" in self.rule.needs:
            with torch.no_grad():
                self.rule.observe(tasks, self.losses_of(groups))
        self.progress.trace.append(
            {
                "step": self.progress.step + 1,
                "loss": float(losses.mean()),
                "learning_rate": rate,
                "gradient_norm": norm,
                "tokens": self.progress.tokens,
                **({} if penalty is None else {"penalty": float(penalty.detach())}),
                **self.rule.diagnostics(),
            }
        )

    # ------------------------------------------------------------------------ one step's parts

    def encode(self, drawn: Sequence[tuple[str, tuple[int, ...]]]) -> list[tuple[str, list[Encoded]]]:
        """The drawn instances as tokens: rendered in the training format, answered by their first reference."""
        groups = []
        for task, indices in drawn:
            instances = [self.data.instances[task][index] for index in indices]
            groups.append((task, self.encode_instances(task, instances)))
        return groups

    def encode_instances(self, task: str, instances: Sequence[Instance]) -> list[Encoded]:
        """One task's instances as tokens."""
        card = self.data.cards[task]
        prompts = [
            self.data.format.render(card, one.input, Random(derive_seed("render", self.seed, task, one.id)))
            for one in instances
        ]
        return self.encoder.pairs(prompts, [one.outputs[0] for one in instances])

    def _pieces(self, groups: Sequence[tuple[str, Sequence[Encoded]]], *, by_task: bool) -> Iterator[list[int]]:
        tokens = _TOKENS_AT_ONCE.get(self.backbone.device.type, 4096)
        return micro_batches(groups, tokens, rows=1 if by_task else self._rows, pack=self.pack)

    def batches(self, groups: Sequence[tuple[str, Sequence[Encoded]]]) -> Iterator[tuple[list[int], Batch]]:
        """``groups`` in micro-batches: which of them, and their batch."""
        for piece in self._pieces(groups, by_task=False):
            yield piece, self._batch(groups, piece)

    def _parts(self, groups: Sequence[tuple[str, Sequence[Encoded]]]) -> list[tuple[str, Sequence[Encoded]]]:
        """Every task's instances in ``_cuts`` equal parts, if they can be cut so; a task's parts stand together."""
        each = len(groups[0][1])
        size = each // self._cuts if each % self._cuts == 0 else each
        return [
            (task, instances[start : start + size])
            for task, instances in groups
            for start in range(0, len(instances), size)
        ]

    def _batch(self, groups: Sequence[tuple[str, Sequence[Encoded]]], piece: Sequence[int]) -> Batch:
        batch = make_batch([groups[index] for index in piece], self.backbone, pack=self.pack)
        self.progress.tokens += batch.tokens
        return batch

    def backward(self, groups: Sequence[tuple[str, Sequence[Encoded]]]) -> TaskGradients:
        """Leave the step's combined gradient in the parameters' ``grad``; what the rule was given."""
        self.optimizer.zero_grad(set_to_none=True)
        tasks = tuple(task for task, _ in groups)
        generator = torch.Generator().manual_seed(derive_seed("rule", self.seed, self.progress.step))
        if "gram" in self.rule.needs or (self.task_parameters and self.rule.needs):
            return self._combined(groups, tasks, generator)
        return self._weighted(groups, tasks, generator)

    def _combined(
        self, groups: Sequence[tuple[str, Sequence[Encoded]]], tasks: tuple[str, ...], generator: torch.Generator
    ) -> TaskGradients:
        """Every task's gradient, combined by the rule."""
        collected, losses = self.task_gradients(self._parts(groups), cuts=self._cuts)
        # [K + R, K * cuts + R]: which rows add up to a task's gradient.
        sums = torch.eye(len(tasks), dtype=torch.float64).repeat_interleave(self._cuts, dim=1)
        whole = torch.block_diag(sums, torch.eye(collected.references, dtype=torch.float64))
        of = tensor_of if "tensors" in self.rule.needs else layer_of
        layers = collected.grams(of) if self.rule.needs & {"layers", "tensors"} else {}
        layers = {name: whole @ gram @ whole.T for name, gram in layers.items()}
        gram = torch.stack(list(layers.values())).sum(0) if layers else whole @ collected.gram() @ whole.T
        losses = losses.view(len(tasks), self._cuts).sum(1)
        gradients = TaskGradients(tasks, gram, losses, generator, layers)
        if torch.isfinite(gram).all():
            weights = self.rule.weights(gradients)
            collected.apply(weights @ whole.to(weights), list(layers), of)
        for parameter in self.task_parameters:
            if parameter.grad is not None:
                parameter.grad /= len(tasks)
        if (note := self.collector.describe(collected.rows)) and note not in self.progress.notes:
            self.progress.notes.append(note)
        return gradients

    def task_gradients(
        self,
        groups: Sequence[tuple[str, Sequence[Encoded]]],
        *,
        references: bool = True,
        collector: GradientCollector | None = None,
        cuts: int = 1,
    ) -> tuple[Collected, Tensor]:
        """``[K + R, P]`` gradients of the shared parameters, tasks first, and the ``[K]`` float64 losses.

        Task parameters keep the sum of their own gradients in ``grad``. ``references``: whether the method's
        reference losses are asked for. ``collector``: of a part of the parameters, in place of all. ``cuts``: a group
        is one of so many equal parts of a task, and its loss and gradient are its share of the task's.
        """
        collector = collector or self.collector
        each = partial(self._task_losses, cuts)
        further = partial(self.method.references, self.model) if references else None
        if collector.way is None:
            first = next(self._pieces(groups, by_task=False))[:2]
            collector.settle(make_batch([groups[i] for i in first], self.backbone, pack=self.pack), each, further)
        collected = collector.start(len(groups))
        losses = torch.zeros(len(groups), dtype=torch.float64)
        try:
            for piece in self._pieces(groups, by_task=collector.by_task):
                batch = self._batch(groups, piece)
                found = collector.collect(collected, piece, batch, each, further, len(piece) / len(groups))
                losses[piece] = found.double().cpu()
        except CannotTellApart:  # these tasks, unlike the first ones
            self.optimizer.zero_grad(set_to_none=True)
            collector.way = "loop"
            return self.task_gradients(groups, references=references, collector=collector, cuts=cuts)
        return collected, losses

    def _weighted(
        self, groups: Sequence[tuple[str, Sequence[Encoded]]], tasks: tuple[str, ...], generator: torch.Generator
    ) -> TaskGradients:
        """A weighted sum of losses: no gradient of its own for any task, so nothing to pay."""
        nothing = torch.zeros(len(tasks), len(tasks), dtype=torch.float64)
        known = torch.zeros(len(tasks), dtype=torch.float64)
        if self.rule.needs:
            with torch.no_grad():
                known = self.losses_of(groups)
        weights = self.rule.weights(TaskGradients(tasks, nothing, known, generator))
        parts = self._parts(groups)
        share = weights.repeat_interleave(self._cuts)
        losses = torch.zeros(len(parts), dtype=torch.float64)
        for piece in self._pieces(parts, by_task=False):
            each = self._task_losses(self._cuts, self._batch(parts, piece))
            (each * share[piece].to(each)).sum().backward()
            losses[piece] = each.detach().double().cpu()
        return TaskGradients(tasks, nothing, losses.view(len(tasks), self._cuts).sum(1), generator)

    def losses_of(self, groups: Sequence[tuple[str, Sequence[Encoded]]]) -> Tensor:
        """``[K]`` float64 losses of the groups, all of which have equally many instances."""
        parts = self._parts(groups)
        cuts = len(parts) // len(groups)
        losses = torch.zeros(len(parts), dtype=torch.float64)
        for piece in self._pieces(parts, by_task=False):
            losses[piece] = self._task_losses(cuts, self._batch(parts, piece)).double().cpu()
        return losses.view(len(groups), cuts).sum(1)

    def _task_losses(self, cuts: int, batch: Batch) -> Tensor:
        each = self.method.losses(self.model, batch)
        return each / cuts if cuts > 1 else each

    def _shrink(self, error: RuntimeError, groups: Sequence[tuple[str, Sequence[Encoded]]]) -> None:
        """Halve the micro-batch after an out-of-memory error, down to one instance; re-raise anything else."""
        each = len(groups[0][1])
        short = isinstance(error, torch.OutOfMemoryError) or any(one in str(error) for one in _SHORT_OF_MEMORY)
        if not short or self._cuts == each:
            raise error
        rows = max(map(len, self._pieces(groups, by_task=False)))
        if rows > 1:
            self._rows = rows // 2
            now = f"{self._rows} tasks at once"
        else:
            self._rows = 1
            # The next finer equal parts, so that a mean over parts is the mean over instances.
            self._cuts = next(cuts for cuts in range(self._cuts + 1, each + 1) if each % cuts == 0)
            now = f"{each // self._cuts} instances of one task at once"
        if self.backbone.device.type == "cuda":
            torch.cuda.empty_cache()
        self.progress.notes.append(f"out of memory at step {self.progress.step + 1}: {now}")

    # ------------------------------------------------------------------------------ checkpoints

    def save(self, path: Path) -> None:
        """Write all that the rest of the run depends on, in one step."""
        tensors = {f"parameter.{name}": parameter.detach() for name, parameter in self.named.items()}
        for name, parameter in self.named.items():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{key}.{name}"] = value
        progress = {name: getattr(self.progress, name) for name in ("step", "seconds", "tokens", "peak_memory")}
        progress |= {"trace": self.progress.trace, "notes": self.progress.notes}
        metadata = {"progress": json.dumps(progress), "rule": json.dumps(self.rule.state())}
        whole = {key: value.contiguous() for key, value in tensors.items()}
        write_whole(path, lambda temporary: save_file(whole, temporary, metadata))

    def load(self, path: Path) -> None:
        """Go on from what ``save`` wrote."""
        with safe_open(path, framework="pt", device=str(self.backbone.device)) as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(tensors[f"parameter.{name}"])
                self.optimizer.state[parameter] = {
                    key: tensors[f"optimizer.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
                }
        self.progress = Tuning(**json.loads(metadata["progress"]))
        self.rule.restore(json.loads(metadata["rule"]))


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Inside, SIGINT and SIGTERM set the event instead of ending the process in the middle of a step."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped  # only the main thread may take signals
        return
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _memory(device: torch.device) -> int:
    """Bytes in use now: the device's peak where it counts them, else the process's resident memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import psutil

    return int(psutil.Process().memory_info().rss)
