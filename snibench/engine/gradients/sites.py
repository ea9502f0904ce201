"""Leaf modules whose parameter gradients follow from their input and the gradient of their output.

Rows of the input belong to tasks, segment by segment, and each row of the output depends on the same row of the input
alone. So the gradient of a segment is exact without a backward of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a module: input ``x [rows, ..., in]`` (ids ``[rows, ...]``), output gradient ``dy [rows, ..., out]``.

    Rows lie in ``count`` segments, of equal size unless ``sizes`` says how many rows each has.
    """

    x: Tensor
    dy: Tensor
    count: int
    sizes: tuple[int, ...] | None = None

    def segments(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Input and output gradient of every segment."""
        sizes = self.sizes or [len(self.x) // self.count] * self.count
        yield from zip(self.x.split(list(sizes)), self.dy.split(list(sizes)), strict=True)

    def weighted(self, weights: Tensor) -> Call:
        """A call of one segment whose gradient is the sum of this one's by ``weights [count]``."""
        sizes = torch.tensor(self.sizes or [len(self.x) // self.count] * self.count)
        rows = weights.to(self.dy).repeat_interleave(sizes.to(self.dy.device))
        return replace(self, dy=self.dy * rows.view(-1, *[1] * (self.dy.dim() - 1)), count=1, sizes=None)


@dataclass(frozen=True, slots=True)
class Site:
    """One parameter of a module, by its name there."""

    module: nn.Module
    name: str

    def add(self, call: Call, out: Tensor, *, fresh: bool = False) -> None:
        """Add every segment's gradient to ``out [count, *shape]``; ``fresh``: overwrite what is there instead."""
        if isinstance(self.module, nn.Linear) and self.name == "weight":
            _add_products(call, out, fresh=fresh)
            return
        if fresh:
            out.zero_()
        if isinstance(self.module, nn.Linear):
            for row, (_, dy) in zip(out, call.segments(), strict=True):
                row += dy.flatten(0, -2).sum(0)
        elif isinstance(self.module, nn.Embedding):
            for row, (ids, dy) in zip(out, call.segments(), strict=True):
                if self.module.padding_idx is not None:
                    dy = dy * (ids != self.module.padding_idx)[..., None]
                row.index_add_(0, ids.flatten(), dy.flatten(0, -2).to(row.dtype))
        else:
            out += _by_autograd(self, call)


def site_of(module: nn.Module, name: str) -> Site | None:
    """The site of parameter ``name`` of ``module``, None where rows are not known to stay apart."""
    # Norms by name: every model family has a class of its own. Batch norms mix rows.
    norm = type(module).__name__.endswith(("LayerNorm", "RMSNorm")) and not any(module.children())
    return Site(module, name) if norm or isinstance(module, nn.Linear | nn.Embedding) else None


def _add_products(call: Call, out: Tensor, *, fresh: bool) -> None:
    """Add every segment's ``dy' x`` to ``out``; ``fresh``: overwrite what is there."""
    x, dy = call.x.to(call.dy.dtype), call.dy
    if call.sizes is None:
        left, right = dy.reshape(call.count, -1, dy.shape[-1]).mT, x.reshape(call.count, -1, x.shape[-1])
        if out.dtype != dy.dtype:
            _put(out, torch.bmm(left, right), fresh=fresh)
        elif fresh:
            torch.bmm(left, right, out=out)
        else:
            out.baddbmm_(left, right)
        return
    for row, (x_t, dy_t) in zip(out, replace(call, x=x).segments(), strict=True):
        _put(row, dy_t.flatten(0, -2).T @ x_t.flatten(0, -2), fresh=fresh)


def _put(out: Tensor, value: Tensor, *, fresh: bool) -> None:
    if fresh:  # what is there may be NaN
        out.copy_(value)
    else:
        out.add_(value)


def _by_autograd(site: Site, call: Call) -> Tensor:
    """``[count, *shape]``: the module run again on its input, once with a parameter of its own for every segment."""
    parameter = getattr(site.module, site.name).detach()
    with torch.enable_grad():
        if call.sizes is None:
            copies = parameter.expand(call.count, *parameter.shape).clone().requires_grad_()
            x = call.x.reshape(call.count, -1, *call.x.shape[1:])
            y = vmap(lambda own, rows: functional_call(site.module, {site.name: own}, (rows,)))(copies, x)
            together: Tensor = torch.autograd.grad(y, copies, call.dy.reshape(y.shape))[0]
            return together
        gradients = []
        for x_t, dy_t in call.segments():
            own = parameter.clone().requires_grad_()
            y_t = functional_call(site.module, {site.name: own}, (x_t,))
            gradients += torch.autograd.grad(y_t, own, dy_t)
    return torch.stack(gradients)


def sites_of(model: nn.Module, named: Mapping[str, nn.Parameter]) -> dict[str, list[Site]] | None:
    """Every place where each parameter is used (tied ones have several); None if one is used where rows may mix."""
    names = {id(parameter): name for name, parameter in named.items()}
    sites: dict[str, list[Site]] = {name: [] for name in named}
    for module in model.modules():
        for own, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            if (name := names.get(id(parameter))) is None:
                continue
            if (site := site_of(module, own)) is None:
                return None
            sites[name].append(site)
    return sites
