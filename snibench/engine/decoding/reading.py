"""The fast path: shared prefixes read once, then every row's own tokens, then one token at a time for all.

Rows of different tasks and formats share each pass. Keys and values lie in three places: a prefix's, once for
all its rows; a block's, the prompts of rows of similar length, padded on the right; and the tail's, what the rows
have said since. Attention reads each where it lies (``merged_attention``), so nothing is copied per row and nothing is
padded but a block. Positions count as they would in a row alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

import torch
from torch import Tensor, nn

from snibench.engine.decoding.fast import FastModel
from snibench.engine.decoding.label_ranking import Branch, likeliest
from snibench.engine.decoding.merged_attention import Part, attend, merged
from snibench.engine.tokens import common_prefix

# A shared prefix shorter than this is not worth a place of its own.
LEAST_PREFIX = 16
# Tokens of one pass over prompts. More do not make products faster, and their activations leave the cache.
_TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 65536}
# Padded tokens per real one in a block.
_MOST_PADDING = 1.2
# Ended rows are taken out once they are this share of the batch.
_ENDED = 0.2


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt: its ``ids``, and the ``group_key`` that it must share with others to share their prefix."""

    ids: tuple[int, ...]
    group_key: Hashable


@dataclass(frozen=True, slots=True)
class _Prefix:
    """Keys and values ``[1, G, P, D]`` per layer."""

    length: int
    keys: list[Tensor]
    values: list[Tensor]


@dataclass(slots=True)
class _Block:
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
        index = torch.tensor(places, device=self.lengths.device)
        self.rows = [self.rows[place] for place in places]
        self.lengths = self.lengths[index]
        self.mask = None if self.mask is None else self.mask[index]
        self.keys = [one[index] for one in self.keys]
        self.values = [one[index] for one in self.values]


class _Tail:
    """Keys and values ``[B, G, t, D]`` of what the rows have said, with room to grow."""

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


# Told of a block: its rows, their logits, and what reads branches after their prompts.
OnBlock = Callable[[Sequence[int], Tensor, Branch], None]
# Makes the method's per-row state active for some of the rows, by their numbers.
# Whether a row's answer is over with the last of its tokens so far.
Ends = Callable[[int, Sequence[int]], bool]
Routed = Callable[[Sequence[int]], AbstractContextManager[None]]


class Reading:
    """Rows being answered together."""

    def __init__(self, model: FastModel, rows: Sequence[Row], device: torch.device, routed: Routed) -> None:
        self._model, self._rows, self._device, self._routed = model, rows, device, routed
        self._most = _TOKENS_AT_ONCE.get(device.type, 4096)
        self._prefix_of: list[_Prefix | None] = [None] * len(rows)
        self._blocks: list[_Block] = []
        self._tail = _Tail()

    # --------------------------------------------------------------------------------- prompts

    def prompts(self, on_block: OnBlock = lambda rows, logits, branch: None) -> dict[int, int]:
        """Read all prompts; the most likely first token of every row.

        ``on_block`` is given every block's rows, the ``[n, V]`` logits of their first tokens, and what reads on from
        there along branches (``label_ranking``), leaving no trace.
        """
        self._read_prefixes()
        own = [len(row.ids) - self._shared(number) for number, row in enumerate(self._rows)]
        first: dict[int, int] = {}
        for piece in pieces(own, self._most):
            # Rows of one prefix side by side, so that they are one call of attention.
            members = sorted(piece, key=lambda number: (id(self._prefix_of[number]), number))
            ids = [self._rows[number].ids[self._shared(number) :] for number in members]
            starts = [self._shared(number) for number in members]
            block = self._block(members, [len(one) for one in ids])
            with self._routed(members):
                logits = self._model.read(
                    _padded(ids, self._device),
                    _positions(starts, block, self._device),
                    _PromptPass(self._model.scale, block, self._spans(members)),
                    last=block.lengths - 1,
                )
            on_block(members, logits, partial(self._branch, block))
            first |= zip(members, likeliest(logits).tolist(), strict=True)
            self._blocks.append(block)
        return first

    def _branch(self, block: _Block, start: int, end: int, ids: Tensor, depths: Tensor, mask: Tensor) -> Tensor:
        """``[m, S, E]`` states of ``ids [m, S]`` after the prompts of the block's rows ``start`` to ``end``."""
        members = block.rows[start:end]
        lengths = torch.tensor([len(self._rows[row].ids) for row in members], device=self._device)
        attention = _BranchPass(self._model.scale, block, slice(start, end), mask, self._spans(members))
        with self._routed(members):
            return self._model.states(ids, lengths[:, None] + depths, attention)

    def _shared(self, row: int) -> int:
        prefix = self._prefix_of[row]
        return 0 if prefix is None else prefix.length

    def _read_prefixes(self) -> None:
        """Read the prefix that the rows of one group share, several groups in one pass."""
        group_keys: dict[Hashable, list[int]] = {}
        for number, row in enumerate(self._rows):
            group_keys.setdefault(row.group_key, []).append(number)
        shared = []
        for members in group_keys.values():
            length = common_prefix([self._rows[number].ids for number in members]) if len(members) > 1 else 0
            if length >= LEAST_PREFIX:
                shared.append((members, self._rows[members[0]].ids[:length]))
        for piece in pieces([len(ids) for _, ids in shared], self._most):
            ids = [shared[number][1] for number in piece]
            leaders = [shared[number][0][0] for number in piece]
            block = self._block(leaders, [len(one) for one in ids])
            with self._routed(leaders):
                self._model.fill(
                    _padded(ids, self._device),
                    _positions([0] * len(ids), block, self._device),
                    _PromptPass(self._model.scale, block, []),
                )
            for place, number in enumerate(piece):
                length = len(ids[place])
                prefix = _Prefix(  # copies, so that the padded block can go
                    length,
                    [one[place : place + 1, :, :length].contiguous() for one in block.keys],
                    [one[place : place + 1, :, :length].contiguous() for one in block.values],
                )
                for member in shared[number][0]:
                    self._prefix_of[member] = prefix

    def _block(self, members: list[int], lengths: list[int]) -> _Block:
        size = torch.tensor(lengths, device=self._device)
        longest = max(lengths)
        mask = None
        if min(lengths) < longest:
            hidden = torch.arange(longest, device=self._device) >= size[:, None]
            mask = torch.zeros(hidden.shape, device=self._device, dtype=self._model.shape.dtype)
            mask = mask.masked_fill_(hidden, -math.inf)[:, None, None]
        return _Block(members, size, mask)

    def _spans(self, members: Sequence[int]) -> list[tuple[int, int, _Prefix]]:
        """Where rows of one prefix start and end among ``members``."""
        spans, start = [], 0
        for _, found in groupby(members, key=lambda number: id(self._prefix_of[number])):
            count = len(list(found))
            if (prefix := self._prefix_of[members[start]]) is not None:
                spans.append((start, start + count, prefix))
            start += count
        return spans

    # ---------------------------------------------------------------------------------- answers

    def answers(self, first: dict[int, int], ends: Ends, most: int) -> dict[int, list[int]]:
        """Greedy completions of every row, ``first`` being their first tokens.

        At most ``most`` tokens.
        """
        said: dict[int, list[int]] = {row: [] for row in first}
        tokens, ended = dict(first), set()
        for length in range(1, most + 1):
            for row in [row for block in self._blocks for row in block.rows if row not in ended]:
                said[row].append(tokens[row])
                if ends(row, said[row]):
                    ended.add(row)
            present = [row for block in self._blocks for row in block.rows]
            gone = sum(row in ended for row in present)
            if gone == len(present) or length == most:
                break
            if gone > _ENDED * len(present):
                self._drop(ended)
                present = [row for block in self._blocks for row in block.rows]
            fresh = self._step([tokens[row] for row in present], present, length)
            tokens = dict(zip(present, fresh, strict=True))
        return said

    def _drop(self, ended: set[int]) -> None:
        kept: list[int] = []
        blocks, start = [], 0
        for block in self._blocks:
            places = [place for place, row in enumerate(block.rows) if row not in ended]
            kept += [start + place for place in places]
            start += len(block.rows)
            if places:
                block.keep(places)
                blocks.append(block)
        self._blocks = blocks
        self._tail.keep(torch.tensor(kept, device=self._device))

    def _step(self, tokens: list[int], present: list[int], length: int) -> list[int]:
        """The next token of every row, after its ``length``-th."""
        ids = torch.tensor(tokens, device=self._device)[:, None]
        places = [len(self._rows[row].ids) + length - 1 for row in present]
        by_prefix = sorted(range(len(present)), key=lambda place: (id(self._prefix_of[present[place]]), place))
        by_prefix = [place for place in by_prefix if self._prefix_of[present[place]] is not None]
        attention = _StepPass(
            self._model.scale,
            self._blocks,
            self._tail,
            torch.tensor(by_prefix, device=self._device),
            self._spans([present[place] for place in by_prefix]),
        )
        with self._routed(present):
            logits = self._model.read(ids, torch.tensor(places, device=self._device)[:, None], attention)
        self._tail.advance()
        found: list[int] = likeliest(logits).tolist()
        return found


def pieces(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Numbers of ``lengths`` in pieces of similar ones, whose padded sum is at most ``most`` and little padding."""
    found: list[list[int]] = []
    real = 0
    for number in sorted(range(len(lengths)), key=lambda number: (lengths[number], number)):
        length = lengths[number]  # the longest of its piece, since they are sorted
        if found:
            padded = length * (len(found[-1]) + 1)
            if padded <= most and padded <= _MOST_PADDING * (real + length):
                found[-1].append(number)
                real += length
                continue
        found.append([number])
        real = length
    return found


def _padded(ids: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    rows = [torch.tensor(one) for one in ids]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)


def _positions(starts: Sequence[int], block: _Block, device: torch.device) -> Tensor:
    """``[n, L]`` positions of rows that begin at ``starts``."""
    longest = int(block.lengths.max())
    return torch.tensor(starts, device=device)[:, None] + torch.arange(longest, device=device)


# ------------------------------------------------------------------------------------- passes


class _PromptPass:
    """Attention while prompts are read: to the prefix, and causally to the row's own tokens."""

    def __init__(self, scale: float, block: _Block, spans: Sequence[tuple[int, int, _Prefix]]) -> None:
        self._scale, self._block, self._spans = scale, block, spans

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
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
        for start, end, prefix in self._spans:
            there = over_prefix(query[start:end], layer, prefix, self._scale)
            output[start:end] = merged((output[start:end], total[start:end]), there)[0]
        return output.transpose(1, 2).flatten(2)


class _BranchPass:
    """Attention while branches are read: to the row's prefix, its own prompt, and back along its own branch."""

    def __init__(
        self, scale: float, block: _Block, rows: slice, mask: Tensor, spans: Sequence[tuple[int, int, _Prefix]]
    ) -> None:
        self._scale, self._block, self._rows, self._mask, self._spans = scale, block, rows, mask, spans

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        rows, block = self._rows, self._block
        query = query.transpose(1, 2)
        branch = attend(query, key.transpose(1, 2), value.transpose(1, 2), self._scale, mask=self._mask)
        own_mask = None if block.mask is None else block.mask[rows]
        own = attend(query, block.keys[layer][rows], block.values[layer][rows], self._scale, mask=own_mask)
        output, total = merged(branch, own)
        for start, end, prefix in self._spans:
            there = over_prefix(query[start:end], layer, prefix, self._scale)
            output[start:end] = merged((output[start:end], total[start:end]), there)[0]
        return output.transpose(1, 2).flatten(2)


def over_prefix(query: Tensor, layer: int, prefix: _Prefix, scale: float) -> Part:
    """Attention of ``query [n, H, L, D]`` to one prefix, as n * L queries of a single row."""
    rows, heads, length, size = query.shape
    flat = query.transpose(1, 2).reshape(1, rows * length, heads, size).transpose(1, 2)
    output, total = attend(flat, prefix.keys[layer], prefix.values[layer], scale)
    return (
        output[0].view(heads, rows, length, size).transpose(0, 1),
        total[0].view(heads, rows, length).transpose(0, 1),
    )


class _StepPass:
    """Attention while one token per row is read: to the tail, the row's own prompt, and its prefix."""

    def __init__(
        self,
        scale: float,
        blocks: Sequence[_Block],
        tail: _Tail,
        by_prefix: Tensor,
        spans: Sequence[tuple[int, int, _Prefix]],
    ) -> None:
        self._scale, self._blocks, self._tail, self._by_prefix, self._spans = scale, blocks, tail, by_prefix, spans

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
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
                self._over_prefix(chosen[start:end], prefix.keys[layer], prefix.values[layer])
                for start, end, prefix in self._spans
            ]
            here = result[0][self._by_prefix], result[1][self._by_prefix]
            result[0][self._by_prefix] = merged(here, _joined(parts))[0]
        return result[0].reshape(batch, 1, heads * size)

    def _over_prefix(self, query: Tensor, key: Tensor, value: Tensor) -> Part:
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
