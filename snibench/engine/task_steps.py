"""Steps that a method takes for one task by itself, and takes back: the ground of pseudo-gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from snibench.engine.packing import Batch


def rows_by_task(
    model: nn.Module, batch: Batch, row: Callable[[Batch, Mapping[str, nn.Parameter]], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """``{name: [K, *shape]}``: what ``row`` returns for the batch of each task alone, by the parameters' names.

    ``row`` may move the trainable parameters that it is given: each task starts from the same values, and all are as
    they were at the end, to the bit.
    """
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    rows = []
    for task in range(len(batch.tasks)):
        with _put_back(named):
            rows.append(row(batch.select([task]), named))
    return {name: torch.stack([one[name] for one in rows]) for name in named}


def gradients_of(loss: Tensor, named: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The gradient of ``loss`` by the parameters' names; zeros where it does not reach."""
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(named, gradients, strict=True))


def move(named: Mapping[str, nn.Parameter], along: Mapping[str, Tensor], length: float | Tensor) -> None:
    """Add ``length`` times ``along`` to the parameters."""
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.add_(along[name] * length)


@contextmanager
def _put_back(named: Mapping[str, nn.Parameter]) -> Iterator[None]:
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.copy_(before[name])
