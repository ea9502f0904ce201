"""Keys and values of the fast path, in three places: shared prefixes, the rows' own prompts, their answers so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from snibench.engine.batching import sent


@dataclass(frozen=True, slots=True)
class Prefix:
    """Keys and values ``[1, G, P, D]`` per layer of a prefix that rows share. ``number``: in the order of reading."""

    number: int
    length: int
    keys: list[Tensor]
    values: list[Tensor]


# Where rows of one prefix start and end.
Span: TypeAlias = tuple[int, int, Prefix]


@dataclass(slots=True)
class Block:
    """Own prompt tokens of some rows.

    ``rows``: which; those of one prefix stand together. Keys and values ``[n, G, L, D]`` per layer; ``lengths [n]``,
    and ``mask [n, 1, 1, L]``, None if all rows are equally long.
    """

    rows: list[int]
    lengths: Tensor
    mask: Tensor | None
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def keep(self, places: list[int]) -> None:
        """Drop all rows but those at ``places``."""
        if len(places) == len(self.rows):
            return
        index = sent(torch.tensor(places), self.lengths.device)
        self.rows = [self.rows[place] for place in places]
        self.lengths = self.lengths[index]
        self.mask = None if self.mask is None else self.mask[index]
        self.keys = [one[index] for one in self.keys]
        self.values = [one[index] for one in self.values]


class Tail:
    """Keys and values ``[B, G, t, D]`` of the rows' answers so far, with room to grow."""

    def __init__(self) -> None:
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._length = 0

    def add(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Take in ``[B, 1, G, D]`` of the current step, and return all so far."""
        step = self._length
        for kept, new in ((self._keys, key), (self._values, value)):
            batch, _, heads, size = new.shape
            if len(kept) == layer:
                kept.append(new.new_empty(batch, heads, 8, size))
            elif kept[layer].shape[2] == step:
                kept[layer] = torch.cat([kept[layer], torch.empty_like(kept[layer])], dim=2)
            kept[layer][:, :, step] = new[:, 0]
        return self._keys[layer][:, :, : step + 1], self._values[layer][:, :, : step + 1]

    def advance(self) -> None:
        """The step is over."""
        self._length += 1

    def keep(self, index: Tensor) -> None:
        """Drop all rows but those of ``index``."""
        self._keys = [one[index] for one in self._keys]
        self._values = [one[index] for one in self._values]
