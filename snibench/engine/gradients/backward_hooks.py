"""One backward pass with gradients by task: hooks on the leaf modules whose parameters are collected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from snibench.engine.gradients.collected import Collected, DenseGradients, FactoredGradients
from snibench.engine.gradients.sites import Call, Site
from snibench.engine.packing import Batch


class NotSeparable(Exception):
    """A backend does not serve this model or method; another one has to."""


@contextmanager
def recording(
    named: Mapping[str, nn.Parameter], sites: Mapping[str, Sequence[Site]], into: Collected, batch: Batch
) -> Iterator[GradientRecorder]:
    """Inside, the backward of a loss brings every task's gradient ``into`` the row that the recorder is routed to.

    The parameters ask for no gradient meanwhile, so that autograd does not form the sum of what the hooks form.
    """
    modules: dict[int, nn.Module] = {}
    places: dict[int, list[tuple[str, Site]]] = {}
    for name, module_sites in sites.items():
        for site in module_sites:
            modules[id(site.module)] = site.module
            places.setdefault(id(site.module), []).append((name, site))
    recorder = GradientRecorder(into, places, batch)
    handles = [module.register_forward_hook(recorder.remember, with_kwargs=True) for module in modules.values()]
    trainable = [parameter for parameter in named.values() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
        for parameter in trainable:
            parameter.requires_grad_(True)


class GradientRecorder:
    """Destination of the gradients that the hooks of one micro-batch form."""

    def __init__(self, into: Collected, places: Mapping[int, Sequence[tuple[str, Site]]], batch: Batch) -> None:
        self._into, self._places = into, places
        self._count = len(batch.tasks)
        rows = tuple(torch.bincount(batch.row_task, minlength=self._count).tolist())
        self._tasks_rows = None if len(set(rows)) == 1 else rows  # where tasks have unequally many
        self._targets = tuple(torch.bincount(batch.target_task, minlength=self._count).tolist())
        self._rows: slice | None = None  # None: nothing is to be kept
        self._one = False
        self._written: set[str] = set()
        self._busy = False  # a module is run again to form its gradient

    def route_to(self, rows: slice, *, one: bool) -> None:
        """From now on gradients go to ``rows``; ``one``: all tasks' into a single row."""
        self._rows, self._one = rows, one
        self._written = set()

    def close(self) -> None:
        """Zero what no gradient reached."""
        if isinstance(self._into, DenseGradients) and self._rows is not None:
            for name in {name for sites in self._places.values() for name, _ in sites} - self._written:
                self._into.view(self._rows, name).zero_()
        self._rows = None

    def remember(self, module: nn.Module, inputs: tuple[Any, ...], options: Mapping[str, Any], output: Any) -> Any:
        """Forward hook: keeps the input until the gradient of the output comes."""
        if self._busy or not torch.is_grad_enabled():
            return None
        if options or len(inputs) != 1 or not isinstance(output, Tensor):
            raise NotSeparable(f"a {type(module).__name__} is called with more than its input")
        x = inputs[0].detach()
        sizes = self._sizes(x)
        changed = None
        if not output.requires_grad:
            # Nothing before it asks for a gradient. A copy, because a leaf must not be written in place later.
            leaf = output.detach().requires_grad_()
            leaf.register_post_accumulate_grad_hook(_forget)
            changed = output = leaf.clone()
        output.register_hook(lambda dy: self._add(module, x, dy.detach(), sizes))
        return changed

    def _sizes(self, x: Tensor) -> tuple[int, ...] | None:
        """Rows of every task in ``x``; None if all have equally many."""
        if x.dim() == 2 and not x.is_floating_point():  # ids [B, L]
            return self._tasks_rows
        if x.dim() == 2 and len(x) == sum(self._targets):  # hidden states of the target tokens
            return self._targets
        if self._tasks_rows is not None:
            return self._tasks_rows if x.dim() > 2 and len(x) == sum(self._tasks_rows) else ()
        if len(x) % self._count:
            return ()  # fails only if a gradient comes
        return None

    def _add(self, module: nn.Module, x: Tensor, dy: Tensor, sizes: tuple[int, ...] | None) -> None:
        if self._rows is None:
            return
        if sizes == ():
            raise NotSeparable(f"the rows of a {type(module).__name__} do not divide into tasks")
        call = Call(x, dy, 1, None) if self._one else Call(x, dy, self._count, sizes)
        if isinstance(self._into, FactoredGradients):
            self._into.keep(module, self._rows, call)
            return
        assert isinstance(self._into, DenseGradients)
        self._busy = True
        for name, site in self._places[id(module)]:
            fresh = not self._one and name not in self._written
            site.add(call, self._into.view(self._rows, name), fresh=fresh)
            self._written.add(name)
        self._busy = False


def _forget(leaf: Tensor) -> None:
    leaf.grad = None  # else a second backward would add to it in place, and it may be a dy that is kept
