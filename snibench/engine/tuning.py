"""The only training loop. It calls a method's hooks and owns everything that is the same for all methods.

Order of tasks and instances, optimizer, schedule, clipping, precision and metering belong to the harness, so that
two methods differ in what they claim to differ in. But for the order of tasks and instances nothing random outlives a
step: every draw comes from a seed made of the run's seed, a purpose and the step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from torch import nn

from snibench.base.errors import Diverged, PluginError
from snibench.base.hashing import derive_seed
from snibench.base.types import Instance, Mixture, Recipe, TaskCard
from snibench.contracts import Format, Method, Needs, Rule, Sampler
from snibench.engine.averaging import TailMean
from snibench.engine.backbone import Backbone
from snibench.engine.checkpoint import load_checkpoint, save_checkpoint
from snibench.engine.checkpoint_files import newest_intact
from snibench.engine.progress import Tuning
from snibench.engine.ranks import OneProcess, Ranks
from snibench.engine.sampling import Drawn, Draws
from snibench.engine.step import Updater
from snibench.engine.stopping import Interrupted, stop_signals
from snibench.engine.task_losses import TaskLosses
from snibench.engine.tokens import Encoded, Encoder

__all__ = ["Diverged", "Interrupted", "Trainer", "TrainingSet", "Tuning"]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Data of a tuning: seen tasks, their training instances, and the formats they are rendered in."""

    cards: Mapping[str, TaskCard]
    instances: Mapping[str, Sequence[Instance]]
    formats: Sequence[Format]
    mixture: Mixture


class Trainer:
    """One fit under way: its losses, its updates, and how far it has come."""

    def __init__(
        self,
        backbone: Backbone,
        model: nn.Module,
        method: Method,
        rule: Rule,
        data: TrainingSet,
        recipe: Recipe,
        seed: int,
        sampler: Sampler | None = None,
    ) -> None:
        self.backbone, self.model, self.method, self.rule, self.data = backbone, model, method, rule, data
        self.recipe, self.seed = recipe, seed
        self.progress = Tuning()
        self.task_losses = TaskLosses(backbone, model, method, self.progress)
        self.named = self.task_losses.named
        sizes = {task: len(instances) for task, instances in data.instances.items()}
        self.draws = Draws(data.mixture, sizes, recipe, seed, sampler or method.sampler())
        self.updater = Updater(self.task_losses, rule, recipe, seed, asked=self.draws.sampler.needs)
        self.mean = TailMean(self.named, recipe)
        self.encoder = Encoder(backbone, recipe.max_input, recipe.max_output)
        if not method.shares_prefixes:
            self.progress.notes.append("no prefix sharing: the method gives every instance a row of its own")
        if self.draws.sampler.own_order:
            name = type(self.draws.sampler).__name__
            self.progress.notes.append(f"own order: {name} draws the tasks, not the deck that other methods share")

    def run(
        self,
        checkpoint: Path,
        *,
        every: float = 30.0,
        on_step: Callable[[Tuning, int], None] = lambda progress, steps: None,
        pauses: Mapping[int, Callable[[], None]] | None = None,
        ranks: Ranks | None = None,
    ) -> Tuning:
        """Tune to the end, from ``checkpoint`` if it is there, saving there every ``every`` seconds.

        From the one before where that is damaged, which becomes a note. Under the schedule ``averaged`` the
        parameters are then the mean over the last quarter of the steps.

        ``pauses``: step -> what to do before it, off the clock (steps before a resumed checkpoint are over).
        ``ranks``: the processes that tune it together, of which this is the first; the others ``follow``.

        Raises:
            Interrupted: On SIGINT or SIGTERM, after the state is saved; on a second one at once.
            Diverged: If a loss or gradient is not finite.
            RankLost: If one of the other processes is gone.
        """
        self._begin(checkpoint, ranks or OneProcess())
        saved = time.monotonic()
        with stop_signals() as stopped:
            while self.progress.step < self.recipe.steps:
                if pauses and self.progress.step in pauses:
                    pauses[self.progress.step]()
                    self.model.train()
                started = time.perf_counter()
                self.step(self.draws.draw(self.progress.step))
                self.progress.seconds += time.perf_counter() - started
                self.progress.peak_memory = max(self.progress.peak_memory, device_memory(self.backbone.device))
                on_step(self.progress, self.recipe.steps)
                if stopped.is_set() or time.monotonic() - saved > every:
                    self.save(checkpoint)
                    saved = time.monotonic()
                if stopped.is_set():
                    raise Interrupted("Interrupted; the state is saved. The same command goes on from there.")
        self._end()
        return self.progress

    def follow(self, checkpoint: Path, ranks: Ranks) -> None:
        """The steps of ``run`` in a process that is not the first: it saves, shows and measures nothing.

        Raises:
            RankLost: If the first one is gone, for whatever reason.
        """
        self._begin(checkpoint, ranks)
        while self.progress.step < self.recipe.steps:
            self.step(self.draws.draw(self.progress.step))
        self._end()

    def _begin(self, checkpoint: Path, ranks: Ranks) -> None:
        """Go on from the newest intact checkpoint, if there is one."""
        intact, damage = newest_intact(checkpoint)
        if intact is not None:
            self.load(intact)
        if damage:
            self.progress.notes.append(damage)
        self.task_losses.ranks = ranks
        ranks.begin(self.named.values())
        self.model.train()

    def _end(self) -> None:
        """Each process is on its own from here on."""
        self.task_losses.ranks.end(self.named.values())
        self.task_losses.ranks = OneProcess()
        self.mean.put_in_place()
        self.model.eval()

    def step(self, drawn: Drawn) -> None:
        """One update on the drawn instances.

        Raises:
            Diverged: If a loss or gradient is not finite.
        """
        update = self.updater.update(self.encode(drawn), self.progress.step)
        asked = self.draws.sampler.needs & (Needs.GRAM | Needs.HALVES)
        self.draws.sampler.observe(update.tasks, update.losses, update.gram if asked else None)
        self.mean.add(self.progress.step)
        self.progress.trace.append(update.row)
        self.progress.step += 1

    def encode(self, drawn: Drawn) -> list[tuple[str, list[Encoded]]]:
        """The drawn instances as tokens: rendered in the training format, with the method's targets."""
        step = self.progress.step
        return [
            (task, self.encode_instances(task, [self.data.instances[task][index] for index in indices], step))
            for task, indices in drawn
        ]

    def encode_instances(self, task: str, instances: Sequence[Instance], step: int = -1) -> list[Encoded]:
        """One task's instances as tokens, as they are in ``step``; -1 = outside of all steps.

        Raises:
            PluginError: If the method gives an instance no target.
        """
        card, format = self.data.cards[task], self.format(task, step)
        prompts = [
            format.render(card, one.input, Random(derive_seed("render", self.seed, task, one.id))) for one in instances
        ]
        targets = [
            tuple(self.method.targets(card, one, Random(derive_seed("targets", self.seed, step, task, one.id))))
            for one in instances
        ]
        if not all(targets):
            raise PluginError(f"{type(self.method).__name__}.targets must give at least one text for every instance.")
        return self.encoder.scored(prompts, targets)

    def format(self, task: str, step: int = -1) -> Format:
        """The format of a task's instances in ``step``: the same for all of them, so that they share their beginning.

        Outside of all steps, -1, it is the first.
        """
        formats = self.data.formats
        if step < 0 or len(formats) == 1:
            return formats[0]
        return Random(derive_seed("train format", self.seed, step, task)).choice(formats)

    def save(self, path: Path) -> None:
        """Write all that the rest of the run depends on, in one step."""
        save_checkpoint(path, self.named, self.mean, self.updater.optimizer, self.rule, self.draws, self.progress)

    def load(self, path: Path) -> None:
        """Go on from what ``save`` wrote."""
        device, optimizer = self.backbone.device, self.updater.optimizer
        load_checkpoint(path, self.named, self.mean, optimizer, self.rule, self.draws, self.progress, device)


def device_memory(device: torch.device) -> int:
    """Bytes in use now: the device's peak where it counts them, else the process's resident memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import psutil

    return int(psutil.Process().memory_info().rss)
