"""Task losses and their gradients, in micro-batches that fit in memory.

What a method's loss is, and how tasks' gradients are combined, is not known here: a step gives groups of instances, and
gets a loss or a gradient for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from snibench.contracts import Method
from snibench.engine.backbone import Backbone
from snibench.engine.gradients import CannotTellApart, Collected, GradientCollector
from snibench.engine.packing import Batch, make_batch, micro_batches
from snibench.engine.progress import Tuning
from snibench.engine.tokens import Encoded

# Padded tokens of one forward pass: enough to keep the processor busy, few enough to keep activations small. Not a
# share of the memory that happens to be free, so that a run gives the same bits again.
_TOKENS_AT_ONCE = {"cpu": 1024, "cuda": 32768, "mps": 8192}
_SHORT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")

Groups = Sequence[tuple[str, Sequence[Encoded]]]  # tasks, each with its m instances; m is the same for all


class TaskLosses:
    """The task losses of a model under its method, and their gradients.

    ``named``: the trainable parameters. ``task_parameters``: those of them that belong to single tasks.
    ``tokens_at_once``: padded tokens of one forward pass. Once memory has set a limit, ``rows`` is the number of tasks
    of one forward pass, and ``cuts`` the number of passes that one task's instances are cut into.
    """

    def __init__(
        self,
        backbone: Backbone,
        model: nn.Module,
        method: Method,
        progress: Tuning | None = None,
        *,
        tokens_at_once: int | None = None,
    ) -> None:
        self.backbone, self.model, self.method = backbone, model, method
        self.progress = progress or Tuning()
        own = {id(parameter) for parameter in method.task_parameters(model)}
        self.named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.task_parameters = [p for p in self.named.values() if id(p) in own]
        self.collector = GradientCollector(model, {n: p for n, p in self.named.items() if id(p) not in own})
        self.pack = backbone.packs and method.shares_prefixes
        self.tokens_at_once = tokens_at_once or _TOKENS_AT_ONCE.get(backbone.device.type, 4096)
        self.rows: int | None = None
        self.cuts = 1

    # ------------------------------------------------------------------------ micro-batches

    def _pieces(self, groups: Groups, *, by_task: bool = False) -> Iterator[list[int]]:
        return micro_batches(groups, self.tokens_at_once, rows=1 if by_task else self.rows, pack=self.pack)

    def batches(self, groups: Groups, *, by_task: bool = False) -> Iterator[tuple[list[int], Batch]]:
        """``groups`` in micro-batches: which of them, and their batch. ``by_task``: a single task in each."""
        for piece in self._pieces(groups, by_task=by_task):
            batch = self.batch([groups[index] for index in piece])
            self.progress.tokens += batch.tokens
            yield piece, batch

    def batch(self, groups: Groups) -> Batch:
        """All ``groups`` in one batch, whatever their size."""
        return make_batch(groups, self.backbone, pack=self.pack)

    def parts(self, groups: Groups) -> Groups:
        """Every task's instances in ``cuts`` equal parts, if they can be cut so; a task's parts stand together."""
        each = len(groups[0][1])
        size = each // self.cuts if each % self.cuts == 0 else each
        return [
            (task, instances[start : start + size])
            for task, instances in groups
            for start in range(0, len(instances), size)
        ]

    # ------------------------------------------------------------------- losses and gradients

    def of(self, groups: Groups) -> Tensor:
        """``[K]`` float64 losses of the groups, all of which have equally many instances."""
        parts = self.parts(groups)
        cuts = len(parts) // len(groups)
        losses = torch.zeros(len(parts), dtype=torch.float64)
        for piece, batch in self.batches(parts):
            losses[piece] = self._losses(cuts, batch).double().cpu()
        return losses.view(len(groups), cuts).sum(1)

    def add_gradients(self, groups: Groups, weights: Tensor) -> Tensor:
        """``[K]`` float64 losses; the gradient of their sum by ``weights [K]`` is added to the parameters' ``grad``."""
        parts = self.parts(groups)
        share = weights.repeat_interleave(self.cuts)
        losses = torch.zeros(len(parts), dtype=torch.float64)
        for piece, batch in self.batches(parts):
            each = self._losses(self.cuts, batch)
            (each * share[piece].to(each)).sum().backward()
            losses[piece] = each.detach().double().cpu()
        return losses.view(len(groups), self.cuts).sum(1)

    def task_gradients(
        self,
        groups: Groups,
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
        each = partial(self._losses, cuts)
        further = partial(self.method.references, self.model) if references else None
        if collector.way is None:
            first = next(self._pieces(groups))[:2]
            collector.settle(self.batch([groups[index] for index in first]), each, further)
        collected = collector.start(len(groups))
        losses = torch.zeros(len(groups), dtype=torch.float64)
        try:
            for piece, batch in self.batches(groups, by_task=collector.by_task):
                found = collector.collect(collected, piece, batch, each, further, len(piece) / len(groups))
                losses[piece] = found.double().cpu()
        except CannotTellApart:  # these tasks, unlike the first ones
            self.clear()
            collector.way = "loop"
            return self.task_gradients(groups, references=references, collector=collector, cuts=cuts)
        return collected, losses

    def _losses(self, cuts: int, batch: Batch) -> Tensor:
        each = self.method.losses(self.model, batch)
        return each / cuts if cuts > 1 else each

    def clear(self) -> None:
        """Forget every gradient."""
        for parameter in self.named.values():
            parameter.grad = None

    @contextmanager
    def unmetered(self) -> Iterator[None]:
        """Inside, tokens are not counted as the tuning's; gradients that are left are dropped at the end."""
        tokens = self.progress.tokens
        try:
            yield
        finally:
            self.progress.tokens = tokens
            self.clear()

    # --------------------------------------------------------------------------------- memory

    def shrink(self, error: RuntimeError, groups: Groups) -> str:
        """Halve the micro-batch after an out-of-memory error, down to one instance, and say what it is now.

        Raises:
            RuntimeError: ``error``, if it is another one or nothing is left to halve.
        """
        each = len(groups[0][1])
        short = isinstance(error, torch.OutOfMemoryError) or any(one in str(error) for one in _SHORT_OF_MEMORY)
        if not short or self.cuts == each:
            raise error
        rows = max(map(len, self._pieces(groups)))
        if rows > 1:
            self.rows = rows // 2
            now = f"{self.rows} tasks at once"
        else:
            self.rows = 1
            # The next finer equal parts, so that a mean over parts is the mean over instances.
            self.cuts = next(cuts for cuts in range(self.cuts + 1, each + 1) if each % cuts == 0)
            now = f"{each // self.cuts} instances of one task at once"
        if self.backbone.device.type == "cuda":
            torch.cuda.empty_cache()
        return now
