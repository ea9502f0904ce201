"""The fast path: shared prefixes read once, then every row's own tokens, then one token at a time for all.

Rows of different tasks and formats share each pass. Keys and values lie in three places (``keys_values``): a prefix's,
once for all its rows; a block's, the prompts of rows of similar length, padded on the right; and the tail's, the
answers so far. Attention reads each where it lies (``passes``), so nothing is copied per row and nothing is padded but
a block. Positions count as they would in a row alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from snibench.engine.batching import by_length, padded, sent, tokens_of_pass
from snibench.engine.decoding.fast import FastModel
from snibench.engine.decoding.greedy import Answers, Ends, likeliest, look_every
from snibench.engine.decoding.keys_values import Block, Prefix, Span, Tail
from snibench.engine.decoding.label_ranking import Branch
from snibench.engine.decoding.passes import BranchPass, PromptPass, StepPass
from snibench.engine.tokens import common_prefix

# A shared prefix shorter than this is not worth a place of its own.
LEAST_PREFIX = 16
# Padded tokens per real one in a block.
_MOST_PADDING = 1.2
# Ended rows are taken out once they are this share of the batch.
_ENDED = 0.2


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt: its ``ids``, and the ``group_key`` that it must share with others to share their prefix."""

    ids: tuple[int, ...]
    group_key: Hashable


# A block's rows, the logits of their first tokens, and the function that reads branches after their prompts.
OnBlock = Callable[[Sequence[int], Tensor, Branch], None]
# Makes the method's per-row state active for some of the rows, by their numbers.
Routed = Callable[[Sequence[int]], AbstractContextManager[None]]


class Reading:
    """Rows being answered together. ``look``: tokens between two looks of the host; None: as suits the device."""

    def __init__(
        self,
        model: FastModel,
        rows: Sequence[Row],
        device: torch.device,
        routed: Routed,
        *,
        look: int | None = None,
    ) -> None:
        self._model, self._rows, self._device, self._routed = model, rows, device, routed
        self._look = look or look_every(device)
        self._most = tokens_of_pass("prompts", device)
        self._prefix_of: list[Prefix | None] = [None] * len(rows)
        self._blocks: list[Block] = []
        self._tail = Tail()

    # --------------------------------------------------------------------------------- prompts

    def prompts(self, on_block: OnBlock = lambda rows, logits, branch: None) -> Tensor:
        """Read all prompts: ``[B]``, the likeliest first token of every row, in the order of the blocks.

        ``on_block`` is passed every block's rows, the ``[n, V]`` logits of their first tokens, and the function that
        reads on from there along branches (``label_ranking``), leaving no trace.
        """
        self._read_prefixes()
        own = [len(row.ids) - self._shared(number) for number, row in enumerate(self._rows)]
        first: list[Tensor] = []
        for piece in by_length(own, self._most, padding=_MOST_PADDING):
            # Rows of one prefix side by side, so that they are one call of attention.
            members = sorted(piece, key=lambda number: (self._prefix_number(number), number))
            ids = [self._rows[number].ids[self._shared(number) :] for number in members]
            starts = [self._shared(number) for number in members]
            block = self._block(members, [len(one) for one in ids])
            with self._routed(members):
                logits = self._model.read(
                    padded(ids, self._device),
                    self._positions(starts, max(map(len, ids))),
                    PromptPass(self._model.scale, block, self._spans(members)),
                    last=block.lengths - 1,
                )
            on_block(members, logits, partial(self._branch, block))
            first.append(likeliest(logits))
            self._blocks.append(block)
        return torch.cat(first)

    def _branch(self, block: Block, start: int, end: int, ids: Tensor, depths: Tensor, mask: Tensor) -> Tensor:
        """``[m, S, E]`` states of ``ids [m, S]`` after the prompts of the block's rows ``start`` to ``end``."""
        members = block.rows[start:end]
        lengths = self._sent([len(self._rows[row].ids) for row in members])
        attention = BranchPass(self._model.scale, block, slice(start, end), mask, self._spans(members))
        with self._routed(members):
            return self._model.states(ids, lengths[:, None] + depths, attention)

    def _shared(self, row: int) -> int:
        prefix = self._prefix_of[row]
        return 0 if prefix is None else prefix.length

    def _prefix_number(self, row: int) -> int:
        """The number of the prefix that a row shares, -1 for none: rows are ordered by it, the same in every run."""
        prefix = self._prefix_of[row]
        return -1 if prefix is None else prefix.number

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
        for piece in by_length([len(ids) for _, ids in shared], self._most, padding=_MOST_PADDING):
            ids = [shared[number][1] for number in piece]
            leaders = [shared[number][0][0] for number in piece]
            block = self._block(leaders, [len(one) for one in ids])
            with self._routed(leaders):
                self._model.fill(
                    padded(ids, self._device),
                    self._positions([0] * len(ids), max(map(len, ids))),
                    PromptPass(self._model.scale, block, []),
                )
            for place, number in enumerate(piece):
                length = len(ids[place])
                prefix = Prefix(  # copies, so that the padded block can go
                    number,
                    length,
                    [one[place : place + 1, :, :length].contiguous() for one in block.keys],
                    [one[place : place + 1, :, :length].contiguous() for one in block.values],
                )
                for member in shared[number][0]:
                    self._prefix_of[member] = prefix

    def _block(self, members: list[int], lengths: list[int]) -> Block:
        size = self._sent(lengths)
        longest = max(lengths)
        mask = None
        if min(lengths) < longest:
            hidden = torch.arange(longest, device=self._device) >= size[:, None]
            mask = torch.zeros(hidden.shape, device=self._device, dtype=self._model.shape.dtype)
            mask = mask.masked_fill_(hidden, -math.inf)[:, None, None]
        return Block(members, size, mask)

    def _positions(self, starts: Sequence[int], longest: int) -> Tensor:
        """``[n, L]`` positions of rows that begin at ``starts``."""
        return self._sent(starts)[:, None] + torch.arange(longest, device=self._device)

    def _spans(self, members: Sequence[int]) -> list[Span]:
        """Starts and ends of the rows of one prefix among ``members``."""
        spans, start = [], 0
        for _, same in groupby(members, key=self._prefix_number):
            count = len(list(same))
            if (prefix := self._prefix_of[members[start]]) is not None:
                spans.append((start, start + count, prefix))
            start += count
        return spans

    def _sent(self, numbers: Sequence[int]) -> Tensor:
        return sent(torch.tensor(numbers, dtype=torch.long), self._device)

    # ---------------------------------------------------------------------------------- answers

    def answers(self, first: Tensor, ends: Ends, most: int) -> dict[int, list[int]]:
        """Greedy completions of every row, of at most ``most`` tokens; ``first [B]`` as ``prompts`` returned it."""
        present = [row for block in self._blocks for row in block.rows]
        answers = Answers(present, ends)
        tokens, places = first, self._sent([len(self._rows[row].ids) for row in present])
        sharing = self._sharing(present)
        fresh, length = [tokens], 1
        while True:
            answers.take(present, fresh)
            gone = sum(row in answers.ended for row in present)
            if gone == len(present) or length == most:
                return answers.said
            if gone > _ENDED * len(present):
                index = self._drop(answers.ended)
                tokens, places = tokens[index], places[index]
                present = [row for block in self._blocks for row in block.rows]
                sharing = self._sharing(present)
            fresh = []
            with self._routed(present):
                for _ in range(min(self._look, most - length)):
                    attention = StepPass(self._model.scale, self._blocks, self._tail, *sharing)
                    # A row without a token is found at the next look; until then it needs some token.
                    logits = self._model.read(tokens.clamp(min=0)[:, None], places[:, None], attention)
                    self._tail.advance()
                    tokens, places = likeliest(logits), places + 1
                    fresh.append(tokens)
            length += len(fresh)

    def _drop(self, ended: set[int]) -> Tensor:
        """The places of the rows that have not ended, which alone are kept."""
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
        index = self._sent(kept)
        self._tail.keep(index)
        return index

    def _sharing(self, present: Sequence[int]) -> tuple[Tensor, list[Span]]:
        """Places of the rows that have a shared prefix, those of one prefix together, and where each prefix's lie."""
        order = sorted(range(len(present)), key=lambda place: (self._prefix_number(present[place]), place))
        order = [place for place in order if self._prefix_of[present[place]] is not None]
        return self._sent(order), self._spans([present[place] for place in order])
