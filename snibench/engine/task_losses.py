"""Task losses and their gradients, in micro-batches that fit in memory.

What a method's loss is, and how tasks' gradients are combined, is not known here: a step gives groups of instances, and
gets a loss or a gradient for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from snibench.base.errors import PluginError
from snibench.contracts import Losses, Method
from snibench.engine.backbone import Backbone
from snibench.engine.batching import by_length, tokens_of_pass
from snibench.engine.gradients import Collected, GradientCollector, NotSeparable
from snibench.engine.losses import recorded_logits, target_nll
from snibench.engine.packing import Batch, Groups, make_batch, tokens_of
from snibench.engine.progress import Tuning
from snibench.engine.ranks import OneProcess, Pieces, Ranks

_SHORT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")


class _Losses:
    """The losses of some groups, micro-batch by micro-batch; the host waits for all of them once.

    ``whole``: at the end, the ``[count]`` float64 losses in the order of the groups, on the CPU; ``tokens``: that were
    read for them.
    """

    def __init__(self, count: int) -> None:
        self.whole = torch.zeros(count, dtype=torch.float64)
        self.tokens = 0
        self._pieces: list[int] = []
        self._values: list[Tensor] = []

    def put(self, piece: Sequence[int], batch: Batch, values: Tensor) -> None:
        """Take in the losses of the groups numbered ``piece``, which are ``batch``."""
        self._pieces += piece
        self._values.append(values.detach())
        self.tokens += batch.tokens

    def end(self, ranks: Ranks) -> None:
        """Every process has put in its own."""
        if self._values:
            self.whole[self._pieces] = torch.cat(self._values).double().cpu()
        sums = ranks.summed(torch.cat([self.whole, torch.tensor([self.tokens], dtype=torch.float64)]))
        self.whole, self.tokens = sums[:-1], int(sums[-1])


class TaskLosses:
    """The task losses of a model under its method, and their gradients.

    ``named``: the trainable parameters. ``task_parameters``: those of them that belong to single tasks.
    ``tokens_at_once``: padded tokens of one forward pass. Once memory has set a limit, ``rows`` is the number of tasks
    of one forward pass, and ``cuts`` the number of passes that one task's instances are cut into. ``plain``: whether
    the losses are the mean target NLL of the method's forward pass, in place of the method's own. ``ranks``: the
    processes that share out the micro-batches; losses are of all of them, gradients of this one's.
    """

    def __init__(
        self,
        backbone: Backbone,
        model: nn.Module,
        method: Method,
        progress: Tuning | None = None,
        *,
        tokens_at_once: int | None = None,
        plain: bool = False,
    ) -> None:
        self.backbone, self.model, self.method = backbone, model, method
        self.progress = progress or Tuning()
        self.plain = plain
        self.ranks: Ranks = OneProcess()
        own = {id(parameter) for parameter in method.task_parameters(model)}
        self.named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.task_parameters = [p for p in self.named.values() if id(p) in own]
        self.collector = GradientCollector(model, {n: p for n, p in self.named.items() if id(p) not in own})
        self.pack = backbone.packs and method.shares_prefixes
        self.tokens_at_once = tokens_at_once or tokens_of_pass("training", backbone.device)
        self.rows: int | None = None
        self.cuts = 1
        self.halves = False  # whether a task's parts must add up to two halves
        self.pseudo: bool | None = None  # whether the method has gradients of its own; None: not asked yet

    # ------------------------------------------------------------------------ micro-batches

    def _pieces(self, groups: Groups, *, by_task: bool = False) -> tuple[Pieces, list[int]]:
        """The step's micro-batches, and the padded tokens of each; as many as there are processes, if they can be."""
        sizes = [tokens_of(instances, pack=self.pack) for _, instances in groups]
        rows = 1 if by_task else self.rows
        pieces = list(by_length(sizes, self.tokens_at_once, rows=rows))
        if len(pieces) < self.ranks.count:
            pieces = list(by_length(sizes, math.ceil(sum(sizes) / self.ranks.count), rows=rows))
        return pieces, [len(piece) * max(sizes[index] for index in piece) for piece in pieces]

    def batches(self, groups: Groups, *, by_task: bool = False) -> Iterator[tuple[list[int], Batch]]:
        """This process's micro-batches: which of ``groups``, and their batch. ``by_task``: a single task in each."""
        for piece in self.ranks.own(*self._pieces(groups, by_task=by_task)):
            yield piece, self.batch([groups[index] for index in piece])

    @contextmanager
    def _read(self, count: int) -> Iterator[_Losses]:
        """Inside, this process puts in the losses of its own micro-batches, of ``count`` groups in all."""
        losses = _Losses(count)
        with self.ranks.together():
            yield losses
        losses.end(self.ranks)
        self.progress.tokens += losses.tokens

    def _two_of(self, groups: Groups) -> Batch:
        """A batch to look at: at most two groups of the step's first micro-batch."""
        pieces, _ = self._pieces(groups)
        return self.batch([groups[index] for index in pieces[0][:2]])

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
        with self._read(len(parts)) as losses:
            for piece, batch in self.batches(parts):
                losses.put(piece, batch, self.losses_of(batch, cuts).tasks)
        return losses.whole.view(len(groups), cuts).sum(1)

    def add_gradients(self, groups: Groups, weights: Tensor) -> Tensor:
        """``[K]`` float64 losses; the gradient of their sum by ``weights [K]`` is added to the parameters' ``grad``.

        So is that of the auxiliary loss, once.
        """
        parts = self.parts(groups)
        share = weights.repeat_interleave(self.cuts)
        with self._read(len(parts)) as losses:
            for piece, batch in self.batches(parts):
                part = self.losses_of(batch, self.cuts)
                total = (part.tasks * share[piece].to(part.tasks)).sum()
                if part.auxiliary is not None:
                    total = total + part.auxiliary * (len(piece) / len(parts))
                total.backward()
                losses.put(piece, batch, part.tasks)
        return losses.whole.view(len(groups), self.cuts).sum(1)

    def task_gradients(
        self,
        groups: Groups,
        *,
        anchors: bool = False,
        auxiliary: bool = False,
        collector: GradientCollector | None = None,
        cuts: int = 1,
    ) -> tuple[Collected, Tensor]:
        """``[K + E, P]`` gradients of the shared parameters, tasks first, and the ``[K]`` float64 losses.

        Task parameters keep the sum of their own gradients in ``grad``. ``anchors``, ``auxiliary``: whether the
        method's losses beside the tasks' have rows, too. ``collector``: of a part of the parameters, in place of all.
        ``cuts``: into how many equal parts a task is cut; a group is one part, its loss and gradient a share.
        """
        collector = collector or self.collector
        each = partial(self.losses_of, cuts=cuts)
        try:
            with self._read(len(groups)) as losses:
                if collector.backend is None:
                    collector.select_backend(self._two_of(groups), each, anchors=anchors, auxiliary=auxiliary)
                collected = collector.start(len(groups))
                for piece, batch in self.batches(groups, by_task=collector.by_task):
                    share = len(piece) / len(groups)
                    values = collector.collect(
                        collected, piece, batch, each, anchors=anchors, auxiliary=auxiliary, share=share
                    )
                    losses.put(piece, batch, values)
        except NotSeparable:  # these tasks, unlike the first ones
            self.clear()
            collector.backend = "loop"
            return self.task_gradients(groups, anchors=anchors, auxiliary=auxiliary, collector=collector, cuts=cuts)
        return self.ranks.across(collected), losses.whole

    def pseudo_gradients(self, groups: Groups) -> tuple[Collected, Tensor]:
        """``[K, P]`` rows that the method gives in place of gradients, and the ``[K]`` float64 losses before them.

        Raises:
            PluginError: If a name is no trainable parameter's, or a shape is not that of one row for each task.
        """
        collector = self._given
        with self._read(len(groups)) as losses:
            collected = collector.start(len(groups))
            for piece, batch in self.batches(groups):
                with torch.no_grad():
                    losses.put(piece, batch, self.losses_of(batch).tasks)
                gradients = self.method.gradients(self.model, batch)
                if gradients is None:
                    raise PluginError(f"{self._name}.gradients must return a mapping for every batch, or None for all.")
                self._check_rows(gradients, len(batch.tasks))
                self.clear_shared()
                collector.put(collected, piece, gradients)
                for name, rows in gradients.items():
                    if name not in collector.named:  # a task's own: the sum, as autograd would leave it
                        parameter = self.named[name]
                        before = 0 if parameter.grad is None else parameter.grad
                        parameter.grad = rows.sum(0).to(parameter) + before
        return self.ranks.across(collected), losses.whole

    @cached_property
    def _given(self) -> GradientCollector:
        return GradientCollector(self.model, self.collector.named, backend="given")

    def gives_gradients(self, groups: Groups) -> bool:
        """Whether the method has pseudo-gradients, by a look at two of ``groups``; asked once."""
        if self.pseudo is None:
            with self.ranks.together(), torch.random.fork_rng():
                gradients = self.method.gradients(self.model, self._two_of(groups))
            self.clear()
            self.pseudo = gradients is not None
        return self.pseudo

    def losses_of(self, batch: Batch, cuts: int = 1) -> Losses:
        """The method's losses of ``batch``, where a task is one of ``cuts`` parts.

        Raises:
            PluginError: If they are not one loss for each task.
        """
        with recorded_logits() as calls:
            returned = self.method.losses(self.model, batch)
        losses = returned if isinstance(returned, Losses) else Losses(returned)
        shape = tuple(getattr(losses.tasks, "shape", ())) if isinstance(losses.tasks, Tensor) else None
        if shape != (len(batch.tasks),):
            got = f"a {type(returned).__name__}" if shape is None else f"shape {shape}"
            raise PluginError(
                f"{self._name}.losses must return one loss for each task of the batch, shape ({len(batch.tasks)},), "
                f"but returned {got}."
            )
        if losses.auxiliary is not None and losses.auxiliary.dim() != 0:
            raise PluginError(
                f"{self._name}.losses must give a scalar as auxiliary loss, but gave shape "
                f"{tuple(losses.auxiliary.shape)}."
            )
        if self.plain:
            losses = self._plain_losses(losses, batch, calls)
        return replace(losses, tasks=losses.tasks / cuts) if cuts > 1 else losses

    def _plain_losses(self, losses: Losses, batch: Batch, calls: Sequence[tuple[Batch, Tensor]]) -> Losses:
        """``[K]`` mean target NLL by the forward pass that ``losses`` are of, so routed as the method is trained.

        ``losses`` without what stands beside the tasks', where the method does not use ``target_logits``.
        """
        logits = [each for used, each in calls if used.target_ids.shape == batch.target_ids.shape]
        if logits:
            return Losses(target_nll(logits[0], batch))
        note = "gradient conflict of the method's own losses, since its forward pass is not that of target_logits"
        if note not in self.progress.notes:
            self.progress.notes.append(note)
        return Losses(losses.tasks)

    @cached_property
    def as_plain(self) -> TaskLosses:
        """The same with the plain target NLL as losses, metered apart; backends are chosen for it anew."""
        plain = TaskLosses(self.backbone, self.model, self.method, tokens_at_once=self.tokens_at_once, plain=True)
        plain.collector.budget = self.collector.budget
        return plain

    def _check_rows(self, gradients: Mapping[str, Tensor], tasks: int) -> None:
        for name, rows in gradients.items():
            if name not in self.named:
                raise PluginError(f"{self._name}.gradients names '{name}', which is no trainable parameter.")
            if tuple(rows.shape) != (tasks, *self.named[name].shape):
                raise PluginError(
                    f"{self._name}.gradients must have shape {(tasks, *self.named[name].shape)} for {name}, a row for "
                    f"each task, but has {tuple(rows.shape)}."
                )

    def described(self, rows: int) -> str | None:
        """Backend by which ``rows`` gradients are collected, for the record; None for the usual one."""
        return (self._given if self.pseudo else self.collector).describe(rows)

    @property
    def _name(self) -> str:
        return type(self.method).__name__

    def clear_shared(self) -> None:
        """Forget the gradients of the shared parameters."""
        for parameter in self.collector.named.values():
            parameter.grad = None

    def clear(self) -> None:
        """Forget every gradient."""
        for parameter in self.named.values():
            parameter.grad = None

    # --------------------------------------------------------------------------------- memory

    def shrink(self, error: RuntimeError, groups: Groups) -> str:
        """Halve the micro-batch after an out-of-memory error, down to one instance, and say what it is now.

        Raises:
            RuntimeError: ``error``, if it is another one or nothing is left to halve.
        """
        each = len(groups[0][1])
        short = isinstance(error, torch.OutOfMemoryError) or any(one in str(error) for one in _SHORT_OF_MEMORY)
        if not short or self.cuts == each or (self.pseudo and self.rows == 1):
            raise error
        rows = max(map(len, self._pieces(groups)[0]))
        if rows > 1:
            self.rows = rows // 2
            now = f"{self.rows} tasks at once"
        else:
            self.rows = 1
            # The next finer equal parts, so that a mean over parts is the mean over instances.
            step = 2 if self.halves else 1
            self.cuts = next(cuts for cuts in range(self.cuts + step, each + 1, step) if each % cuts == 0)
            now = f"{each // self.cuts} instances of one task at once"
        if self.backbone.device.type == "cuda":
            torch.cuda.empty_cache()
        return now
