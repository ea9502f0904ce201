"""Greedy answers token by token: what is likeliest, when an answer is over, and when the host looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from snibench.base.errors import Diverged

# Whether a row's answer is over with the last of its tokens so far.
Ends = Callable[[int, Sequence[int]], bool]

# Tokens between two looks of the host at the new tokens. On an accelerator a look waits for all that was launched, so
# rows that have ended go on for some tokens, which are then left out. On a CPU a look costs nothing.
_LOOK_EVERY = {"cpu": 1}
_LOOK_ELSEWHERE = 8
# Stands for a token where no logit was a number.
_NONE = -1


def look_every(device: torch.device) -> int:
    """Tokens between two looks of the host."""
    return _LOOK_EVERY.get(device.type, _LOOK_ELSEWHERE)


def likeliest(logits: Tensor) -> Tensor:
    """``[B]`` the likeliest token of every row of ``[B, V]``; -1 where a row has no finite maximum."""
    highest, tokens = logits.max(-1)  # a NaN anywhere in a row is its maximum
    return torch.where(highest.isfinite(), tokens, _NONE)


def check_finite(tokens: Iterable[int]) -> None:
    """Nothing, if ``likeliest`` found a token in every row.

    Raises:
        Diverged: If not: what the model would say is no answer.
    """
    if _NONE in tokens:
        raise Diverged("the model's logits are not finite: its weights hold NaN or infinite values, or it overflows")


class Answers:
    """Answers under way. ``said``: by row, its tokens so far; ``ended``: rows whose answer is over."""

    def __init__(self, rows: Iterable[int], ends: Ends) -> None:
        self.said: dict[int, list[int]] = {row: [] for row in rows}
        self.ended: set[int] = set()
        self._ends = ends

    def take(self, rows: Sequence[int], fresh: Sequence[Tensor]) -> None:
        """Take in the next tokens ``[B]`` of ``rows``, one tensor for each step; what follows an end is left out.

        Raises:
            Diverged: If a row that has not ended has no token.
        """
        for row, ids in zip(rows, torch.stack(list(fresh), dim=1).tolist(), strict=True):
            for token in ids:
                if row in self.ended:
                    break
                check_finite((token,))
                self.said[row].append(token)
                if self._ends(row, self.said[row]):
                    self.ended.add(row)
