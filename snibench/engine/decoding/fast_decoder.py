"""The fast path as a decoder: many prompts in rounds, as many at once as rows and memory allow."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from torch import Tensor

from snibench.engine.batching import by_prefix
from snibench.engine.decoding.decoder import Completion, Decoder, Tokens
from snibench.engine.decoding.fast import FastModel
from snibench.engine.decoding.label_ranking import Branch, label_scores
from snibench.engine.decoding.reading import LEAST_PREFIX, Reading, Row
from snibench.engine.tokens import common_prefix

# Bytes that the keys and values of one round may take, and its rows.
_MOST_BYTES = {"cpu": 1 << 30, "cuda": 8 << 30}
_MOST_ROWS = 1024


class FastDecoder(Decoder):
    """Greedy decoding with shared prefixes; ``fast.why_not_fast`` says which models it serves."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.fast = FastModel(self.model)

    def complete(self, prompts: Sequence[Tokens]) -> Iterator[tuple[int, Completion]]:
        """Completions round by round, group by group."""
        keys: list[Hashable] = [
            (prompt.prompted.group, prompt.prompted.card.name, prompt.instruction) for prompt in prompts
        ]
        for members in self._rounds(prompts, keys):
            chosen = [prompts[index] for index in members]
            rows = [Row(prompt.ids, keys[index]) for index, prompt in zip(members, chosen, strict=True)]
            yield from zip(members, self._read(chosen, rows), strict=True)

    def _rounds(self, prompts: Sequence[Tokens], keys: Sequence[Hashable]) -> Iterator[list[int]]:
        """Indices of rows that are answered together."""
        members: dict[Hashable, list[tuple[int, ...]]] = {}
        for prompt, key in zip(prompts, keys, strict=True):
            members.setdefault(key, []).append(prompt.ids)
        shared = {key: common_prefix(ids) if len(ids) > 1 else 0 for key, ids in members.items()}
        prefixes = [shared[key] if shared[key] >= LEAST_PREFIX else 0 for key in keys]
        # Half of the longest answer is more than most take.
        answer = self.encoder.max_output // 2
        return by_prefix(
            [len(prompt.ids) - prefix + answer for prompt, prefix in zip(prompts, prefixes, strict=True)],
            prefixes,
            keys,
            _MOST_BYTES.get(self.backbone.device.type, 1 << 30) // self.fast.shape.bytes_per_token,
            rows=min(self.batch_size or _MOST_ROWS, _MOST_ROWS),
        )

    def _read(self, prompts: Sequence[Tokens], rows: Sequence[Row]) -> list[Completion]:
        """Completions of one round."""
        reading = Reading(
            self.fast, rows, self.backbone.device, lambda members: self.routed([prompts[row] for row in members])
        )
        ranked: list[str | None] = [None] * len(rows)

        def rank(members: Sequence[int], logits: Tensor, branch: Branch) -> None:
            labels = [prompts[row].labels for row in members]
            scores = label_scores(labels, logits, branch, self.fast.logits)
            for row, own, values in zip(members, labels, scores, strict=True):
                if own is not None:
                    ranked[row] = own.best(values)

        first = reading.prompts(rank)
        ids = reading.answers(first, self.ends(prompts), self.encoder.max_output)
        return [Completion(tuple(ids[row]), ranked[row]) for row in range(len(rows))]
