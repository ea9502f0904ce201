"""Attention of the fast path: each pass reads keys and values where they lie, and merges the parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from snibench.engine.decoding.keys_values import Block, Prefix, Span, Tail
from snibench.engine.decoding.merged_attention import Part, attend, merged


class PromptPass:
    """Attention while prompts are read: to the prefix, and causally to the row's own tokens."""

    def __init__(self, scale: float, block: Block, spans: Sequence[Span]) -> None:
        self._scale, self._block, self._spans = scale, block, spans

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """As ``fast.Attention``."""
        block = self._block
        key, value = key.transpose(1, 2), value.transpose(1, 2)
        block.keys.append(key)
        block.values.append(value)
        if query.shape[1] == 0:
            return query
        query = query.transpose(1, 2)  # [n, H, L, D]
        if query.shape[2] == key.shape[2]:
            output, total = attend(query, key, value, self._scale, causal=True)
        else:  # the last layer's one wanted column, which is every row's last
            output, total = attend(query, key, value, self._scale, mask=block.mask)
        return _with_prefixes((output, total), query, layer, self._spans, self._scale)


class BranchPass:
    """Attention while branches are read: to the row's prefix, its own prompt, and back along its own branch."""

    def __init__(self, scale: float, block: Block, rows: slice, mask: Tensor, spans: Sequence[Span]) -> None:
        self._scale, self._block, self._rows, self._mask, self._spans = scale, block, rows, mask, spans

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """As ``fast.Attention``."""
        rows, block = self._rows, self._block
        query = query.transpose(1, 2)
        branch = attend(query, key.transpose(1, 2), value.transpose(1, 2), self._scale, mask=self._mask)
        own_mask = None if block.mask is None else block.mask[rows]
        own = attend(query, block.keys[layer][rows], block.values[layer][rows], self._scale, mask=own_mask)
        output, total = merged(branch, own)
        return _with_prefixes((output, total), query, layer, self._spans, self._scale)


def _with_prefixes(own: Part, query: Tensor, layer: int, spans: Sequence[Span], scale: float) -> Tensor:
    """``[n, L, H * D]``: attention to the rows' own keys, merged with that to the prefixes that they share."""
    output, total = own
    for start, end, prefix in spans:
        shared = _over_prefix(query[start:end], layer, prefix, scale)
        output[start:end] = merged((output[start:end], total[start:end]), shared)[0]
    return output.transpose(1, 2).flatten(2)


def _over_prefix(query: Tensor, layer: int, prefix: Prefix, scale: float) -> Part:
    """Attention of ``query [n, H, L, D]`` to one prefix, as n * L queries of a single row."""
    rows, heads, length, size = query.shape
    flat = query.transpose(1, 2).reshape(1, rows * length, heads, size).transpose(1, 2)
    output, total = attend(flat, prefix.keys[layer], prefix.values[layer], scale)
    return (
        output[0].view(heads, rows, length, size).transpose(0, 1),
        total[0].view(heads, rows, length).transpose(0, 1),
    )


class StepPass:
    """Attention while one token per row is read: to the tail, the row's own prompt, and its prefix."""

    def __init__(
        self,
        scale: float,
        blocks: Sequence[Block],
        tail: Tail,
        by_prefix: Tensor,
        spans: Sequence[Span],
    ) -> None:
        self._scale, self._blocks, self._tail, self._by_prefix, self._spans = scale, blocks, tail, by_prefix, spans

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """As ``fast.Attention``."""
        scale = self._scale
        batch, _, heads, size = query.shape
        groups = key.shape[2]
        # Query heads that read one key head stand together as that head's queries.
        query = query.view(batch, groups, heads // groups, size)
        result = attend(query, *self._tail.add(layer, key, value), scale)
        start, parts = 0, []
        for block in self._blocks:
            end = start + len(block.rows)
            parts.append(attend(query[start:end], block.keys[layer], block.values[layer], scale, mask=block.mask))
            start = end
        result = merged(result, _joined(parts))
        if self._spans:
            chosen = query[self._by_prefix]
            parts = [
                self._step_over_prefix(chosen[start:end], prefix.keys[layer], prefix.values[layer])
                for start, end, prefix in self._spans
            ]
            here = result[0][self._by_prefix], result[1][self._by_prefix]
            result[0][self._by_prefix] = merged(here, _joined(parts))[0]
        return result[0].reshape(batch, 1, heads * size)

    def _step_over_prefix(self, query: Tensor, key: Tensor, value: Tensor) -> Part:
        """Attention of ``[m, G, H/G, D]`` to one prefix."""
        rows, groups, each, size = query.shape
        flat = query.transpose(0, 1).reshape(1, groups, rows * each, size)
        output, total = attend(flat, key, value, self._scale)
        return (
            output.view(groups, rows, each, size).transpose(0, 1),
            total.view(groups, rows, each).transpose(0, 1),
        )


def _joined(parts: Sequence[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    return torch.cat([output for output, _ in parts]), torch.cat([total for _, total in parts])
