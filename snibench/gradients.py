"""Per-task gradients of shared parameters, and their Gram matrix.

Almost every rule in the literature is a function of the Gram matrix ``G G'``, so gradients are collected once and
rules are cheap. Two ways give the same ``G [K, P]``:

- ``hooks``, if every shared parameter is the weight of an ``nn.Linear``: one ordinary backward of the summed
  losses; a layer's input x and output gradient dy give ``G_t = dy_t' x_t``, since rows are task-major.
- ``loop``: forward and backward task by task. Any parameter, least memory; the reference in tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TaskGradients:
    """What a rule may look at.

    ``gram [K + R, K + R]``: float64, tasks first, then references. ``losses [K]``: float64. ``generator``: seeded
    by the harness for this step.
    """

    tasks: tuple[str, ...]
    gram: Tensor
    losses: Tensor
    generator: torch.Generator

    @property
    def references(self) -> int:
        """R, the number of reference rows."""
        return self.gram.shape[0] - len(self.tasks)


def gram_matrix(gradients: Tensor, *, columns: int = 1 << 20) -> Tensor:
    """``G G'`` of ``[K, P]`` gradients, accumulated in float64 over pieces of ``columns``.

    The pieces keep the float64 copy small: at P = 1e8 and K = 16 a whole one would take 13 GB.
    """
    gram = gradients.new_zeros(gradients.shape[0], gradients.shape[0], dtype=torch.float64)
    for piece in gradients.split(columns, dim=1):
        wide = piece.double()
        gram += wide @ wide.T
    return gram.cpu()


class GradientCollector:
    """Collects ``G [K + R, P]`` of one model's shared trainable parameters.

    ``by_task``: a micro-batch must hold a single task ("loop"); otherwise any number ("hooks").
    """

    def __init__(self, model: nn.Module, shared: Sequence[nn.Parameter], *, by_task: bool | None = None) -> None:
        self.shared = list(shared)
        sizes = [parameter.numel() for parameter in self.shared]
        self._offsets = dict(zip(map(id, self.shared), torch.tensor([0, *sizes]).cumsum(0).tolist(), strict=False))
        self.size = sum(sizes)
        linear = {
            id(module.weight): module
            for module in model.modules()
            if isinstance(module, nn.Linear) and (module.bias is None or id(module.bias) not in self._offsets)
        }
        self._layers = [linear[key] for key in self._offsets if key in linear]
        complete = len(self._layers) == len(self.shared)
        self.by_task = not complete if by_task is None else by_task
        if not complete and not self.by_task:
            raise ValueError("hooks need every shared parameter to be the weight of a linear layer")
        self._rows: Tensor | None = None  # [k, P], of the micro-batch under way

    def zeros(self, rows: int) -> Tensor:
        """A float32 ``[rows, P]`` matrix on the parameters' device."""
        return torch.zeros(rows, self.size, device=self.shared[0].device)

    @contextmanager
    def recording(self, tasks: int) -> Iterator[Tensor]:
        """Yields ``[tasks, P]``, filled by the backward of the micro-batch's summed losses inside.

        The parameters' ``grad`` is left None.
        """
        rows = self.zeros(tasks)
        handles = [] if self.by_task else [layer.register_forward_hook(self._remember) for layer in self._layers]
        self._rows = None if self.by_task else rows
        try:
            yield rows
        finally:
            for handle in handles:
                handle.remove()
            self._rows = None
        if self.by_task:
            self.take(rows[0])
        for parameter in self.shared:
            parameter.grad = None

    def take(self, row: Tensor) -> None:
        """Copy the parameters' accumulated ``grad`` into ``row [P]``."""
        for parameter in self.shared:
            if parameter.grad is not None:
                start = self._offsets[id(parameter)]
                row[start : start + parameter.numel()] = parameter.grad.flatten()

    def reference(self, loss: Tensor) -> Tensor:
        """``[P]`` gradient of one scalar; keeps the graph for the losses that share it."""
        rows, self._rows = self._rows, None  # the hooks must not take it for a task's
        found = torch.autograd.grad(loss, self.shared, retain_graph=True, allow_unused=True)
        self._rows = rows
        flat = self.zeros(1)[0]
        for parameter, gradient in zip(self.shared, found, strict=True):
            if gradient is not None:
                start = self._offsets[id(parameter)]
                flat[start : start + parameter.numel()] = gradient.flatten()
        return flat

    def give(self, update: Tensor) -> None:
        """Set the parameters' ``grad`` to ``update [P]``."""
        for parameter in self.shared:
            start = self._offsets[id(parameter)]
            parameter.grad = update[start : start + parameter.numel()].view_as(parameter).to(parameter.dtype)

    def _remember(self, layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not output.requires_grad:
            return
        x = inputs[0].detach()

        def add(dy: Tensor) -> None:
            if self._rows is None:
                return
            tasks = self._rows.shape[0]
            left = dy.reshape(tasks, -1, dy.shape[-1])  # [k, rows of one task * L, out]
            right = x.reshape(tasks, -1, x.shape[-1]).to(dy.dtype)
            start = self._offsets[id(layer.weight)]
            self._rows[:, start : start + layer.weight.numel()] += torch.bmm(left.mT, right).flatten(1)

        output.register_hook(add)
