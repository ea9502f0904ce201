"""Sequences that share a forward pass, and their tensors.

Sizes are constants by device, not shares of the memory that happens to be free, so that a run gives the same bits
again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor, nn

Purpose = Literal["training", "prompts", "reference"]

# Padded tokens of one forward pass. ``training``: enough to keep the processor busy, few enough to keep activations
# small. ``prompts``, of the fast path: more do not make products faster, and on a CPU activations leave its cache.
# ``reference``: prompts through a model's own forward pass.
_TOKENS: dict[Purpose, dict[str, int]] = {
    "training": {"cpu": 1024, "cuda": 32768, "mps": 8192},
    "prompts": {"cpu": 4096, "cuda": 65536, "mps": 16384},
    "reference": {"cpu": 8192, "cuda": 131072, "mps": 16384},
}
# Devices that are not in the table.
_OTHER = 4096


def tokens_of_pass(purpose: Purpose, device: torch.device) -> int:
    """Padded tokens of one forward pass on ``device``."""
    return _TOKENS[purpose].get(device.type, _OTHER)


def by_length(
    sizes: Sequence[int],
    tokens: int,
    *,
    rows: int | None = None,
    padding: float = math.inf,
    apart: Sequence[Hashable] | None = None,
) -> Iterator[list[int]]:
    """Indices of ``sizes`` in batches of similar length, at least one in each, every index once.

    Args:
        sizes: Tokens of each sequence.
        tokens: Most padded tokens of a batch of several.
        rows: Most sequences of a batch.
        padding: Most padded tokens for a token.
        apart: For each sequence a key; different keys are never in one batch, and batches come in their order.
    """
    keys: Sequence[Any] = apart or [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda index: (keys[index], sizes[index], index))
    sums = [0, *accumulate(sizes[index] for index in order)]

    def fits(start: int, end: int) -> bool:
        """Whether the sequences at ``start`` to ``end - 1`` of the order may be one batch."""
        padded = sizes[order[end - 1]] * (end - start)  # the last is the longest, since they are sorted
        alike = keys[order[start]] == keys[order[end - 1]]
        return alike and padded <= tokens and padded <= padding * (sums[end] - sums[start])

    return _cut(order, fits, rows)


def by_prefix(
    sizes: Sequence[int], prefixes: Sequence[int], keys: Sequence[Hashable], tokens: int, *, rows: int | None = None
) -> Iterator[list[int]]:
    """Indices of ``sizes`` in batches of at most ``tokens`` and ``rows``, those of one key one after the other.

    Args:
        sizes: Tokens of each sequence beside its prefix.
        prefixes: Tokens of its prefix, which the sequences of one key in a batch hold once.
        keys: A key for each sequence.
        tokens: Most tokens of a batch of several; padding is not counted.
        rows: Most sequences of a batch.
    """
    members: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        members.setdefault(key, []).append(index)
    order = [index for same in members.values() for index in same]
    own = [0, *accumulate(sizes[index] for index in order)]
    # Prefixes that begin at a place of the order or before it.
    begun = list(
        accumulate(prefixes[same[0]] if place == 0 else 0 for same in members.values() for place in range(len(same)))
    )

    def fits(start: int, end: int) -> bool:
        held = prefixes[order[start]] + begun[end - 1] - begun[start]
        return own[end] - own[start] + held <= tokens

    return _cut(order, fits, rows)


def _cut(order: Sequence[int], fits: Callable[[int, int], bool], rows: int | None) -> Iterator[list[int]]:
    """``order`` in runs that fit, each as long as it can be."""
    start = 0
    for place in range(len(order)):
        if place > start and (place - start == rows or not fits(start, place + 1)):
            yield list(order[start:place])
            start = place
    if order:
        yield list(order[start:])


# ------------------------------------------------------------------------------------- tensors


def padded(rows: Sequence[Sequence[int]], device: torch.device, *, value: int = 0, left: bool = False) -> Tensor:
    """``[B, L]`` int64 rows, filled with ``value`` behind them, or in front where ``left``."""
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    side = "left" if left else "right"
    whole = nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value, padding_side=side)
    return sent(whole, device)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` of the CPU on ``device``; to a GPU from pinned memory, so that the host does not wait for the copy."""
    if device.type == "cpu":
        return tensor
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
