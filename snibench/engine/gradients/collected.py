"""The gradients of one step: what a rule sees of them, and how they become the update.

Kept whole, they are one matrix of ``(K + E) * P`` numbers. Where that does not fit, each layer's inputs and output
gradients are kept instead, tokens times (in + out) numbers a layer, and gradients are formed layer by layer: first
``M += G_l G_l'``, then, with the rule's weights, the combined gradient ``(w dy)' x`` by one product.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from snibench.base.errors import PluginError
from snibench.contracts import Needs
from snibench.engine.gradients.sites import Call, Site

_BLOCK = re.compile(r"(.*?\.\d+)\.")
_BLOCK_COLUMNS = 1024


class TaskGradients:
    """Gradients of a step as a rule may read them: those that its ``needs`` name. The rest raises.

    ``gram [K + R, K + R]``: float64, tasks first, then the R anchors. ``losses [K]``: float64. ``generator``: seeded by
    the harness for this step. ``layers``: the Gram matrix of each layer alone; they add up to ``gram``. A layer is a
    block of the model, or a parameter that stands outside of all blocks; for a rule that needs ``TENSORS``, every
    parameter is one. ``rows()``: the gradients themselves.
    """

    def __init__(
        self,
        tasks: tuple[str, ...],
        gram: Tensor | None = None,
        losses: Tensor | None = None,
        generator: torch.Generator | None = None,
        layers: Mapping[str, Tensor] | None = None,
        *,
        rows: Callable[[], Iterator[tuple[str, Tensor]]] | None = None,
        anchors: int | None = None,
    ) -> None:
        self.tasks = tasks
        self.anchors = anchors or (0 if gram is None else len(gram) - len(tasks))
        self._gram, self._losses, self._generator = gram, losses, generator
        self._layers, self._rows = layers, rows

    @classmethod
    def asked_for(cls, needs: Needs, tasks: tuple[str, ...], **known: Any) -> TaskGradients:
        """The part of ``known``, by the names of the arguments above, that ``needs`` ask for."""
        asked = {
            "gram": Needs.GRAM,
            "losses": Needs.LOSSES,
            "generator": Needs.GENERATOR,
            "layers": Needs.LAYERS | Needs.TENSORS,
            "rows": Needs.ROWS,
        }
        return cls(tasks, **{name: value for name, value in known.items() if name not in asked or needs & asked[name]})

    @property
    def gram(self) -> Tensor:
        """``[K + R, K + R]`` inner products."""
        return _asked(self._gram, "gram", "GRAM")

    @property
    def losses(self) -> Tensor:
        """``[K]`` losses."""
        return _asked(self._losses, "losses", "LOSSES")

    @property
    def generator(self) -> torch.Generator:
        """The step's own."""
        return _asked(self._generator, "generator", "GENERATOR")

    @property
    def layers(self) -> Mapping[str, Tensor]:
        """Inner products by layer or parameter."""
        return _asked(self._layers, "layers", "LAYERS or Needs.TENSORS")

    def rows(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter's name and its gradients ``[K + R, *shape]``, one at a time: all at once may not fit."""
        yield from _asked(self._rows, "rows", "ROWS")()


Quantity = TypeVar("Quantity")


def _asked(value: Quantity | None, name: str, need: str) -> Quantity:
    if value is None:
        raise PluginError(
            f"gradients.{name} was read, but the rule's needs do not ask for it, so it was not computed. "
            f"Add Needs.{need} to its needs."
        )
    return value


def gram_matrix(gradients: Tensor, *, columns: int = 1 << 16, exact: int = 1 << 24) -> Tensor:
    """``G G'`` of ``[K, P]`` gradients in float64, accumulated over pieces of ``columns``, small enough for a cache.

    Up to P = ``exact`` products are float64, too. Beyond it they are float32 within blocks of 1,024 columns, whose sums
    are float64: an inner product is then off by less than 1e-7 of the norms, no more than float32 gradients are off
    themselves, in a quarter of the time (docs/performance.md).
    """
    rows, size = gradients.shape
    gram = gradients.new_zeros(rows, rows, dtype=torch.float64)
    for piece in gradients.split(columns, dim=1):
        if size > exact and piece.shape[1] % _BLOCK_COLUMNS == 0 and gradients.dtype != torch.float64:
            blocks = piece.float().unflatten(1, (-1, _BLOCK_COLUMNS)).transpose(0, 1)  # [blocks, K, columns of a block]
            gram += (blocks @ blocks.mT).double().sum(0)
        else:
            wide = piece.double()
            gram += wide @ wide.T
    return gram.cpu()


def tensor_of(name: str) -> str:
    """The parameter itself, as a layer of its own."""
    return name


def layer_of(name: str) -> str:
    """The layer that a parameter belongs to: up to the number of its block, or its own name outside of blocks."""
    block = _BLOCK.match(name)
    return block[1] if block else name


class Collected(ABC):
    """``G [K + E, P]`` of one step: K tasks, then E extra rows: anchors, and last an auxiliary loss if there is one.

    A row is written by micro-batches in any order; ``order[t]`` is where task t's stands.
    """

    def __init__(self, named: Mapping[str, nn.Parameter], tasks: int) -> None:
        self.named = named
        self.tasks = tasks
        self.extras = 0
        self.apart: list[tuple[nn.Parameter, Tensor]] = []  # gradients of other parameters, to add with weight 1
        self.auxiliary = False  # whether the last extra row is that of an auxiliary loss
        self._order: list[int] = []  # position -> task, as micro-batches come

    @property
    def rows(self) -> int:
        """K + E."""
        return self.tasks + self.extras

    def place(self, piece: Sequence[int]) -> slice:
        """Place of the rows of the next micro-batch: ``piece`` names its tasks."""
        start = len(self._order)
        self._order += piece
        return slice(start, start + len(piece))

    def complete(self, extras: int, auxiliary: bool) -> None:
        """Zero rows for tasks that no micro-batch had, and ``extras`` extra rows; ``auxiliary``: that the last is."""
        if missing := sorted(set(range(self.tasks)) - set(self._order)):
            self.clear(self.place(missing))
        for index in range(self.extras, extras):
            self.extra(index)
        self.auxiliary = auxiliary

    @abstractmethod
    def clear(self, rows: slice) -> None:
        """Set these rows to zero."""

    @abstractmethod
    def extra(self, index: int) -> slice:
        """The extra row ``index``; a new one is zero."""

    @abstractmethod
    def pieces(self) -> Iterator[tuple[str, Tensor]]:
        """Every parameter's name and its ``[K + E, size]`` gradients, in the order of tasks."""

    @abstractmethod
    def combine(self, weights: Callable[[str], Tensor]) -> None:
        """Set every parameter's ``grad`` to the sum of its gradients by ``weights(name) [K + E]``."""

    def grams(self, group_of: Callable[[str], str] = layer_of) -> dict[str, Tensor]:
        """The float64 Gram matrix of every layer; ``group_of`` says which layer a parameter belongs to."""
        grams: dict[str, Tensor] = {}
        for name, gradients in self.pieces():
            own, layer = gram_matrix(gradients), group_of(name)
            grams[layer] = grams[layer] + own if layer in grams else own
        return grams

    def gram(self) -> Tensor:
        """``[K + E, K + E]`` float64 inner products of the whole gradients."""
        return torch.stack(list(self.grams().values())).sum(0)

    def matrix(self) -> Tensor:
        """``[K + E, P]``, in the order of tasks: a copy as large as all gradients."""
        return torch.cat([gradients.float() for _, gradients in self.pieces()], dim=1)

    def apply(self, weights: Tensor, layers: Sequence[str] = (), group_of: Callable[[str], str] = layer_of) -> None:
        """Set the parameters' ``grad`` to the update that ``weights`` make.

        Args:
            weights: ``[K + E]``, or ``[Q, K + E]`` with a row for every one of ``layers``.
            layers: Q names.
            group_of: Which layer a parameter belongs to.
        """
        if weights.dim() == 1:
            self.combine(lambda name: weights)
        else:
            rows = dict(zip(layers, weights, strict=True))
            self.combine(lambda name: rows[group_of(name)])

    def _permutation(self) -> Tensor:
        """``[K + E]``: at which position the row of each task stands; extra rows follow as they are."""
        return torch.tensor(self._order + list(range(self.tasks, self.rows))).argsort()


class DenseGradients(Collected):
    """One matrix. ``buffer`` is a ``[>= K + E, P]`` tensor to work in; ``grow`` makes one with more rows."""

    def __init__(
        self, named: Mapping[str, nn.Parameter], tasks: int, buffer: Tensor, grow: Callable[[int], Tensor]
    ) -> None:
        super().__init__(named, tasks)
        self._buffer, self._grow = buffer, grow
        self._spans: dict[str, slice] = {}
        start = 0
        for name, parameter in named.items():
            self._spans[name] = slice(start, start + parameter.numel())
            start += parameter.numel()

    def view(self, rows: slice, name: str) -> Tensor:
        """``[rows, *shape]`` of one parameter, to write in."""
        part = self._buffer[rows, self._spans[name]]
        return part.view(len(part), *self.named[name].shape)

    def clear(self, rows: slice) -> None:
        """Rows of the matrix."""
        self._buffer[rows] = 0

    def extra(self, index: int) -> slice:
        """The extra row ``index``; a new one is zero."""
        if index >= self.extras:
            self.extras = index + 1
            if len(self._buffer) < self.rows:
                self._buffer = self._grow(self.rows)
            self._buffer[self.rows - 1] = 0
        return slice(self.tasks + index, self.tasks + index + 1)

    def pieces(self) -> Iterator[tuple[str, Tensor]]:
        """Columns of the matrix."""
        order = self._permutation().to(self._buffer.device)
        for name, span in self._spans.items():
            yield name, self._buffer[order, span]

    def gram(self) -> Tensor:
        """``[K + E, K + E]``, over the matrix as it lies."""
        order = self._permutation()
        return gram_matrix(self._buffer[: self.rows])[order][:, order]

    def matrix(self) -> Tensor:
        """``[K + E, P]``, in the order of tasks."""
        return self._buffer[self._permutation().to(self._buffer.device)]

    def apply(self, weights: Tensor, layers: Sequence[str] = (), group_of: Callable[[str], str] = layer_of) -> None:
        """As for all; one product over the whole matrix where all layers have the same weights."""
        if weights.dim() == 2:
            super().apply(weights, layers, group_of)
            return
        update = self._placed(weights) @ self._buffer[: self.rows]
        for name, span in self._spans.items():
            parameter = self.named[name]
            parameter.grad = update[span].view_as(parameter).to(parameter.dtype)

    def combine(self, weights: Callable[[str], Tensor]) -> None:
        """Weighted sums of rows, parameter by parameter."""
        for name, span in self._spans.items():
            parameter = self.named[name]
            update = self._placed(weights(name)) @ self._buffer[: self.rows, span]
            parameter.grad = update.view_as(parameter).to(parameter.dtype)

    def _placed(self, weights: Tensor) -> Tensor:
        """``weights`` in the order in which the rows lie."""
        return weights[self._permutation().argsort()].to(self._buffer)


class FactoredGradients(Collected):
    """Every leaf module's calls, from which gradients are formed when they are asked for."""

    def __init__(self, named: Mapping[str, nn.Parameter], tasks: int, sites: Mapping[str, Sequence[Site]]) -> None:
        super().__init__(named, tasks)
        self._sites = sites
        self._calls: dict[int, list[tuple[range, Call]]] = {}  # module -> the rows that its segments belong to

    def keep(self, module: nn.Module, rows: slice, call: Call) -> None:
        """One call of ``module`` for the tasks at ``rows``."""
        self._calls.setdefault(id(module), []).append((range(rows.start, rows.stop), call))

    def clear(self, rows: slice) -> None:
        """Without a call of a module they are zero."""

    def extra(self, index: int) -> slice:
        """The extra row ``index``."""
        self.extras = max(self.extras, index + 1)
        return slice(self.tasks + index, self.tasks + index + 1)

    def pieces(self) -> Iterator[tuple[str, Tensor]]:
        """Each parameter's gradients, formed now and dropped by the caller."""
        order = self._permutation()
        for name, parameter in self.named.items():
            gradients = parameter.detach().new_zeros(self.rows, *parameter.shape)
            for site, rows, call in self._of(name):
                site.add(call, gradients[rows.start : rows.stop])
            yield name, gradients.flatten(1)[order.to(gradients.device)]

    def combine(self, weights: Callable[[str], Tensor]) -> None:
        """``(w dy)' x``, one product for each call."""
        place = self._permutation().argsort()
        for name, parameter in self.named.items():
            own = weights(name)[place]
            update = torch.zeros_like(parameter)[None]
            for site, rows, call in self._of(name):
                site.add(call.weighted(own[rows.start : rows.stop]), update)
            parameter.grad = update[0]

    def _of(self, name: str) -> Iterator[tuple[Site, range, Call]]:
        for site in self._sites[name]:
            for rows, call in self._calls.get(id(site.module), []):
                yield site, rows, call
