"""Batches of the pre-training text of ``tiny``: rows as tokens, packed behind a shared prefix."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerFast

from tiny_pretraining.corpus import row
from tiny_pretraining.tokenizer import EOS_ID, PAD_ID
from tiny_pretraining.wording import Row

READING_WEIGHT = 0.3  # of a text without a task, where an answer has 1
TEXT_WEIGHT = 0.06  # of each token of a text or a question, where it is predicted at all
TEXT_SHARE = 0.5  # of the rows whose texts and questions are predicted as well
RICH = 250  # pool from which definitions are written as people write; the short ones are learned first
LATE = 1099  # pool from which more is asked for yes or no
PARTS = 2  # of a batch, each the work of one thread: on a busy machine threads must not wait for each other often


class Encoded:
    """A row as tokens: ``ids``, ``segment`` (0 = prefix), ``position``, ``target`` (-1 = none), ``weight``.

    The tokens of one answer share a weight of 1, so that a label counts as much as a sentence. ``text``: the weight of
    every other token but the definition's, which is full of words that nobody can foresee.
    """

    __slots__ = ("answers", "ids", "position", "segment", "target", "view", "weight")

    def __init__(self, row: Row, pieces: list[list[int]], text: float = 0.0) -> None:
        self.view = row.view
        prefix, *rest = pieces
        self.ids = list(prefix)
        self.segment = [0] * len(prefix)
        self.position = list(range(len(prefix)))
        self.target = [-1] * len(prefix)
        self.weight = [0.0] * len(prefix)
        whole = READING_WEIGHT if row.view == "reading" else 1.0
        for number, branch in enumerate(row.branches, 1):
            start, answered = len(self.ids), False
            for _, is_answer in branch:
                tokens = rest.pop(0)
                if answered:  # the blank line after a solved example ends its answer
                    self.target[-1] = tokens[0]
                if is_answer and len(self.ids) > start:
                    self.target[-1] = tokens[0]
                    self.weight[-1] = whole / (len(tokens) + 1)
                self.ids += tokens
                self.target += [*tokens[1:], EOS_ID] if is_answer else [-1] * len(tokens)
                self.weight += [whole / (len(tokens) + 1) if is_answer else 0.0] * len(tokens)
                answered = is_answer
            self.segment += [number] * (len(self.ids) - start)
            self.position += range(len(prefix), len(prefix) + len(self.ids) - start)
        self.answers = sum(token >= 0 for token in self.target)
        if text:
            first = 0 if row.view.startswith("page/") else len(prefix)
            for spot in range(first, len(self.ids) - 1):
                if self.target[spot] < 0 and self.segment[spot] == self.segment[spot + 1]:
                    self.target[spot], self.weight[spot] = self.ids[spot + 1], text


def encoded(tokenizer: PreTrainedTokenizerFast, rows: list[Row], rng: Random | None = None) -> list[Encoded]:
    """Rows as tokens; pieces are encoded apart, so that an answer's tokens never depend on its prompt.

    With ``rng`` some rows have their texts and questions predicted, too.
    """
    texts = [text for row in rows for text in (row.prefix, *(t for branch in row.branches for t, _ in branch))]
    ids = [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    out, spot = [], 0
    for r in rows:
        n = 1 + sum(len(branch) for branch in r.branches)
        text = TEXT_WEIGHT if rng and rng.random() < TEXT_SHARE else 0.0
        out.append(Encoded(r, ids[spot : spot + n], text))
        spot += n
    return out


def collate(rows: list[Encoded]) -> dict[str, Tensor]:
    """``ids, position, target, weight`` ``[B, L]``; ``mask`` ``[B, 1, L, L]``: causal, prefix and own branch."""
    length = -(-max(len(r.ids) for r in rows) // 16) * 16

    def padded(values: str, fill: float) -> Tensor:
        return torch.tensor([getattr(r, values) + [fill] * (length - len(r.ids)) for r in rows])

    segment = padded("segment", -1)
    visible = (segment[:, None, :] == segment[:, :, None]) | (segment[:, None, :] == 0)
    visible &= torch.ones(length, length, dtype=torch.bool).tril()
    return {
        "ids": padded("ids", PAD_ID),
        "position": padded("position", 0),
        "target": padded("target", -1),
        "weight": padded("weight", 0.0),
        "answers": torch.tensor([r.answers for r in rows]),
        "mask": torch.zeros(visible.shape).masked_fill_(~visible, -1e9)[:, None],
    }


def batches(
    tokenizer: PreTrainedTokenizerFast, seed: int, budget: int, pool: int = 0, spot: int = 0, rows: int = 320
) -> Iterator[tuple[int, int, list[dict[str, Tensor]]]]:
    """Endless batches of ``PARTS`` parts, together about ``budget`` tokens, as (pool, spot in it, parts).

    A part holds rows of similar length.

    Pool ``n`` is a function of the seed and ``n`` alone, so that training continues where it stopped.
    """
    while True:
        rng = Random(f"tiny {seed} {pool}")
        texts = [row(rng, pool >= RICH, pool >= LATE) for _ in range(rows)]
        drawn = sorted(encoded(tokenizer, texts, rng), key=lambda r: len(r.ids))
        groups: list[list[Encoded]] = [[]]
        for r in drawn:
            if groups[-1] and (len(groups[-1]) + 1) * len(r.ids) > budget // PARTS:
                groups.append([])
            groups[-1].append(r)
        rng.shuffle(groups)
        for number in range(spot, len(groups) - PARTS + 1, PARTS):
            yield pool, number, [collate(group) for group in groups[number : number + PARTS]]
        pool, spot = pool + 1, 0


class Pages(IterableDataset[tuple[int, int, list[dict[str, Tensor]]]]):
    """``batches`` for a ``DataLoader``, whose worker draws them before they are needed."""

    def __init__(self, *given: Any) -> None:
        self.given = given

    def __iter__(self) -> Iterator[tuple[int, int, list[dict[str, Tensor]]]]:
        """As ``batches``."""
        return batches(*self.given)


def held_out(tokenizer: PreTrainedTokenizerFast, count: int) -> list[Encoded]:
    """Rows of definitions that training does not draw: same families, new wordings and instances."""
    rng = Random("tiny held out")
    return [r for r in encoded(tokenizer, [row(rng, True) for _ in range(count)]) if r.view != "reading"]
