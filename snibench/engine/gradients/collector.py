"""Collects every task's gradient, by the cheapest backend that is exact for the model and method at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from snibench.contracts import Losses
from snibench.engine.gradients.backward_hooks import NotSeparable, recording
from snibench.engine.gradients.collected import Collected, DenseGradients, FactoredGradients
from snibench.engine.gradients.sites import sites_of
from snibench.engine.gradients.stacked import stacked_losses
from snibench.engine.packing import Batch

Backend: TypeAlias = Literal["hooks", "vmap", "loop", "given"]
LossesOf: TypeAlias = Callable[[Batch], Losses]

# Agreement of a backend with plain autograd that counts as rounding, relative to the gradient's norm.
_ROUNDING = {torch.float64: 1e-6, torch.float32: 1e-3}
_COARSE = 5e-2  # bfloat16


class GradientCollector:
    """Collects ``G [K + E, P]`` of one model's shared trainable parameters.

    ``backend`` is chosen by ``select_backend``, or passed. ``layered``: gradients are formed layer by layer, because a
    matrix of all of them does not fit in ``budget`` bytes (default: half of the memory that is then free).
    """

    def __init__(
        self,
        model: nn.Module,
        named: Mapping[str, nn.Parameter],
        *,
        backend: Backend | None = None,
        budget: int | None = None,
    ) -> None:
        self.model = model
        self.named = dict(named)
        self.size = sum(parameter.numel() for parameter in self.named.values())
        self.backend: Backend | None = backend
        self.layered = False
        self.budget = budget
        self._sites = sites_of(model, self.named)
        if backend == "hooks" and self._sites is None:
            raise NotSeparable("a shared parameter belongs to no linear layer, embedding or norm")
        self._buffer: Tensor | None = None  # kept from step to step: touching new memory costs as much as the product

    @property
    def by_task(self) -> bool:
        """Whether a micro-batch must hold a single task."""
        return self.backend == "loop"

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the gradients: the parameters' own, the widest of them if they differ."""
        dtypes = {parameter.dtype for parameter in self.named.values()} or {torch.float32}
        return reduce(torch.promote_types, dtypes)

    def bytes_of(self, rows: int) -> int:
        """Memory of ``rows`` whole gradients: rows x P x bytes of a number."""
        return rows * self.size * self.dtype.itemsize

    def describe(self, rows: int) -> str | None:
        """Backend that collects ``rows`` gradients, for the record; None for the usual one, hooks into a matrix."""
        size = f"{rows} x {self.size:,} x {self.dtype.itemsize} bytes = {self.bytes_of(rows) / 2**30:.1f} GiB"
        if self.layered:
            return f"task gradients: layer by layer, since {size} do not fit"
        if self.backend == "given":
            return f"pseudo-gradients: the method's own in place of autograd's, {size}"
        return None if self.backend == "hooks" else f"task gradients: {self.backend}, {size}"

    # ------------------------------------------------------------------------------- the backend

    def select_backend(
        self, batch: Batch, losses: LossesOf, *, anchors: bool = False, auxiliary: bool = False
    ) -> Backend:
        """The first backend that gives every task of ``batch`` the gradient that plain autograd gives it.

        Nothing is changed: zero parameters, behind which other gradients vanish, are moved for the look alone.
        """
        if self.backend is not None:
            return self.backend
        training = self.model.training
        self.model.eval()  # no dropout: the backends are compared number by number
        try:
            with _perturbed(self.named.values()):
                for backend in ("hooks", "vmap"):
                    if self._serves(backend, batch, losses, anchors=anchors, auxiliary=auxiliary):
                        self.backend = backend
                        return backend
        finally:
            self.model.train(training)
        self.backend = "loop"
        return "loop"

    def _serves(self, backend: Backend, batch: Batch, losses: LossesOf, *, anchors: bool, auxiliary: bool) -> bool:
        if backend == "hooks" and self._sites is None:
            return False
        trial = GradientCollector(self.model, self.named, backend=backend, budget=self.budget)
        try:
            if backend == "vmap" and (anchors or auxiliary) and _has_extras(losses(batch)):
                return False
            collected = trial.start(len(batch.tasks))
            each = trial.collect(
                collected, range(len(batch.tasks)), batch, losses, anchors=anchors, auxiliary=auxiliary
            )
        except (NotSeparable, RuntimeError, NotImplementedError, TypeError, ValueError, LookupError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error):
                raise
            return False
        finally:
            self._clear()
        step_losses = losses(batch)
        plain = step_losses.tasks
        tolerance = _ROUNDING.get(self.dtype if self.dtype == plain.dtype else torch.bfloat16, _COARSE)
        if any(parameter.dtype == torch.bfloat16 for parameter in self.model.parameters()):
            tolerance = _COARSE
        if not torch.allclose(each, plain.detach(), rtol=tolerance, atol=tolerance):
            return False
        parameters = list(self.named.values())
        for task, loss in enumerate(
            [*plain, *(loss for loss, _ in _extras(step_losses, anchors, auxiliary, collected))]
        ):
            expected = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            total = sum(float(one.double().square().sum()) for one in expected if one is not None) ** 0.5
            for (_, rows), one in zip(collected.pieces(), expected, strict=True):
                right = torch.zeros_like(rows[task]) if one is None else one.flatten()
                miss = float((rows[task].double() - right.double()).norm())
                # A gradient that is rounding itself, as a key's bias has, is judged against all of them.
                if not miss <= tolerance * (float(right.double().norm()) + 1e-2 * total):
                    return False
        return True

    # ------------------------------------------------------------------------------ one step

    def start(self, tasks: int) -> Collected:
        """Room for the gradients of ``tasks`` tasks."""
        if self.backend is None:
            raise RuntimeError("select_backend comes before start")
        budget = _free_memory(self._device) // 2 if self.budget is None else self.budget
        kept = 0 if self._buffer is None else self._buffer.numel() * self._buffer.element_size()
        self.layered = self.backend == "hooks" and self.bytes_of(tasks) > max(budget, kept)
        if self.layered:
            self._buffer = None
            return FactoredGradients(self.named, tasks, self._sites or {})
        return DenseGradients(self.named, tasks, self._grow(tasks), self._grow)

    def collect(
        self,
        into: Collected,
        piece: Sequence[int],
        batch: Batch,
        losses: LossesOf,
        *,
        anchors: bool = False,
        auxiliary: bool = False,
        share: float = 1.0,
    ) -> Tensor:
        """``[k]`` losses of ``batch``; the gradients of its tasks, which are ``piece`` of the step's, go ``into``.

        Other trainable parameters keep the sum of their tasks' gradients in ``grad``. ``anchors``, ``auxiliary``:
        whether these are collected, too. ``share``: of the step's tasks in this batch; they are means over tasks.
        """
        rows = into.place(list(piece))
        if self.backend == "vmap":
            return self._by_vmap(into, rows, batch, losses)
        if self.backend == "loop":
            return self._by_loop(into, rows, batch, losses, anchors, auxiliary, share)
        with recording(self.named, self._sites or {}, into, batch) as recorder:
            step_losses = losses(batch)
            for index, (loss, weighs) in enumerate(_extras(step_losses, anchors, auxiliary, into)):
                with self._others_apart(into.apart if weighs else None):
                    recorder.route_to(into.extra(index), one=True)
                    (loss * share).backward(retain_graph=True)
            recorder.route_to(rows, one=False)
            step_losses.tasks.sum().backward()
            recorder.close()
        return step_losses.tasks.detach()

    def _by_loop(
        self,
        into: Collected,
        rows: slice,
        batch: Batch,
        losses: LossesOf,
        anchors: bool,
        auxiliary: bool,
        share: float,
    ) -> Tensor:
        if not isinstance(into, DenseGradients) or len(batch.tasks) != 1:
            raise NotSeparable("the loop takes one task at a time, into one matrix")
        step_losses = losses(batch)
        for index, (loss, weighs) in enumerate(_extras(step_losses, anchors, auxiliary, into)):
            with self._others_apart(into.apart if weighs else None):
                (loss * share).backward(retain_graph=True)
            for name, parameter in self.named.items():
                row = into.view(into.extra(index), name)
                if parameter.grad is not None:
                    row.add_(parameter.grad)
                parameter.grad = None
        step_losses.tasks.sum().backward()
        for name, parameter in self.named.items():
            row = into.view(rows, name)
            if parameter.grad is None:
                row.zero_()
            else:
                row.copy_(parameter.grad)
            parameter.grad = None
        return step_losses.tasks.detach()

    def _by_vmap(self, into: Collected, rows: slice, batch: Batch, losses: LossesOf) -> Tensor:
        if not isinstance(into, DenseGradients):
            raise NotSeparable("vmap fills one matrix")
        count = len(batch.tasks)
        copies = {
            name: parameter.detach().expand(count, *parameter.shape).clone().requires_grad_()
            for name, parameter in self.named.items()
        }
        each = stacked_losses(self.model, copies, batch, lambda one: losses(one).tasks)
        each.sum().backward()
        for name, copy in copies.items():
            row = into.view(rows, name)
            if copy.grad is None:
                row.zero_()
            else:
                row.copy_(copy.grad)
        return each.detach()

    def put(self, into: Collected, piece: Sequence[int], by_name: Mapping[str, Tensor]) -> None:
        """The rows that a method computed itself, ``[k, *shape]`` by name, go ``into``; zero for other names."""
        assert isinstance(into, DenseGradients)
        rows = into.place(list(piece))
        for name in self.named:
            row = into.view(rows, name)
            if name in by_name:
                row.copy_(by_name[name])
            else:
                row.zero_()

    def release(self) -> None:
        """Give back the memory that is kept from step to step."""
        self._buffer = None

    def parts(self, rows: int) -> list[GradientCollector]:
        """Collectors of parts of the parameters, each small enough that ``rows`` gradients fit in the budget at once.

        Inner products of whole gradients are the sums of theirs. A parameter is never cut.
        """
        budget = _free_memory(self._device) // 2 if self.budget is None else self.budget
        if self.bytes_of(rows) <= budget:
            return [self]
        groups: list[dict[str, nn.Parameter]] = [{}]
        for name, parameter in self.named.items():
            held = sum(one.numel() for one in groups[-1].values()) + parameter.numel()
            if groups[-1] and held * rows * self.dtype.itemsize > budget:
                groups.append({})
            groups[-1][name] = parameter
        return [GradientCollector(self.model, group, backend=self.backend, budget=1 << 62) for group in groups]

    @contextmanager
    def _others_apart(self, apart: list[tuple[nn.Parameter, Tensor]] | None) -> Iterator[None]:
        """Inside, a backward leaves no trace in the ``grad`` of parameters that are not collected.

        It goes to ``apart``, if there is one: theirs are sums over tasks, which the step divides by their number.
        """
        own = {id(parameter) for parameter in self.named.values()}
        others = [one for one in self.model.parameters() if one.requires_grad and id(one) not in own]
        before = [parameter.grad for parameter in others]
        for parameter in others:
            parameter.grad = None
        try:
            yield
        finally:
            for parameter, gradient in zip(others, before, strict=True):
                if apart is not None and parameter.grad is not None:
                    apart.append((parameter, parameter.grad))
                parameter.grad = gradient

    # ------------------------------------------------------------------------------- helpers

    @property
    def _device(self) -> torch.device:
        return next(iter(self.named.values())).device

    def _grow(self, rows: int) -> Tensor:
        """The working matrix, with at least ``rows`` rows."""
        if self._buffer is None or len(self._buffer) < rows:
            fresh = torch.empty(rows, self.size, dtype=self.dtype, device=self._device)
            if self._buffer is not None:
                fresh[: len(self._buffer)] = self._buffer
            self._buffer = fresh
        return self._buffer

    def _clear(self) -> None:
        for parameter in self.model.parameters():
            parameter.grad = None


def _has_extras(losses: Losses) -> bool:
    return losses.anchors is not None or losses.auxiliary is not None


def _extras(losses: Losses, anchors: bool, auxiliary: bool, into: Collected) -> list[tuple[Tensor, bool]]:
    """The losses beside the tasks' that are collected, and whether the parameters outside of the collection, too, learn
    from them.
    """
    extras: list[tuple[Tensor, bool]] = []
    if anchors and losses.anchors is not None:
        rows = losses.anchors() if callable(losses.anchors) else losses.anchors
        extras += [(loss, False) for loss in rows]
    if auxiliary and losses.auxiliary is not None:
        extras.append((losses.auxiliary, True))
        into.auxiliary = True
    return extras


@contextmanager
def _perturbed(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Inside, parameters that are all zero are small random numbers instead."""
    zero = [parameter for parameter in parameters if not parameter.detach().any()]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in zero:
            parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter in zero:
                parameter.zero_()


def _free_memory(device: torch.device) -> int:
    """Bytes that are free now on ``device``."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)
