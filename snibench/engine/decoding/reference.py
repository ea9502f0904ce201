"""The reference path: the model's own forward pass, for causal models that the fast path does not serve.

A prefix that all rows of a batch share is read once and its cache then copied for each; the rest of the prompts
follows, padded on the left, then one token at a time. Rows that have ended leave the batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snibench.engine.backbone import base_of
from snibench.engine.batching import by_length, padded, sent, tokens_of_pass
from snibench.engine.decoding.decoder import Completion, Decoder, Tokens
from snibench.engine.decoding.greedy import Answers, likeliest, look_every
from snibench.engine.decoding.reading import LEAST_PREFIX
from snibench.engine.tokens import common_prefix


class ReferenceDecoder(Decoder):
    """Greedy decoding through the model's own forward pass."""

    def complete(self, prompts: Sequence[Tokens]) -> Iterator[tuple[int, Completion]]:
        """Completions in batches of one group and similar length."""
        for batch in batches_by_group(self, prompts):
            chosen = [prompts[index] for index in batch]
            for index, prompt, ids in zip(batch, chosen, self._batch(chosen), strict=True):
                yield index, Completion(tuple(ids), self.likeliest_label(prompt))

    def _batch(self, prompts: Sequence[Tokens]) -> list[list[int]]:
        """Answers of one batch."""
        from transformers import DynamicCache

        device, count = self.backbone.device, len(prompts)
        base = base_of(self.model)
        # Its name since transformers 5.24; the old one goes in 5.40.
        cache_name = "cache" if "cache" in inspect.signature(type(base).forward).parameters else "past_key_values"
        prefix = self._shared(prompts)
        cache = DynamicCache(config=base.config)
        if prefix:
            with self.routed(prompts[:1]):
                last_logits(self.model, input_ids=padded([prompts[0].ids[:prefix]], device), **{cache_name: cache})
            cache.batch_repeat_interleave(count)
        suffixes = [one.ids[prefix:] for one in prompts]
        ids = padded(suffixes, device, left=True)
        lengths = sent(torch.tensor([len(one) for one in suffixes]), device)
        real = torch.arange(ids.shape[1], device=device) >= (ids.shape[1] - lengths)[:, None]
        mask = torch.cat([real.new_ones(count, prefix), real], dim=1).long()
        places = prefix + (real.cumsum(1) - 1).clamp(min=0)

        rows = list(range(count))  # who is still in the batch
        answers = Answers(rows, self.ends(prompts))
        # What linear attention remembers cannot be cut by rows: there the ended ones stay, unheard.
        selects = all(hasattr(layer, "batch_select_indices") for layer in cache.layers)
        length, look = 0, 1  # the host looks at the first token, then as suits the device
        while True:
            fresh: list[Tensor] = []
            with self.routed([prompts[row] for row in rows]):
                for _ in range(min(look, self.encoder.max_output - length)):
                    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": places, cache_name: cache}
                    logits = last_logits(self.model, **inputs)
                    fresh.append(likeliest(logits))
                    # A row without a token is found at the next look; until then it needs some token.
                    ids, places = fresh[-1].clamp(min=0)[:, None], places[:, -1:] + 1
                    mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            length, look = length + len(fresh), look_every(device)
            answers.take(rows, fresh)
            if len(answers.ended) == count or length == self.encoder.max_output:
                return [answers.said[row] for row in range(count)]
            if selects and not answers.ended.isdisjoint(rows):
                keep = sent(torch.tensor([place for place, row in enumerate(rows) if row not in answers.ended]), device)
                cache.batch_select_indices(keep)
                rows = [row for row in rows if row not in answers.ended]
                ids, places, mask = ids[keep], places[keep], mask[keep]

    def _shared(self, prompts: Sequence[Tokens]) -> int:
        """Tokens of the prefix that is read once for all."""
        if len(prompts) < 2 or not (self.backbone.packs and self.method.shares_prefixes):
            return 0
        # A method may read task and instruction, so keys and values differ with them.
        if len({(one.prompted.card.name, one.instruction) for one in prompts}) > 1:
            return 0
        prefix = common_prefix([one.ids for one in prompts])
        return prefix if prefix >= LEAST_PREFIX else 0


def last_logits(model: nn.Module, **inputs: Any) -> Tensor:
    """``[B, V]`` logits after the last token of every row, of the model's own forward pass."""
    logits: Tensor = base_of(model)(**inputs, use_cache=True, logits_to_keep=1).logits[:, -1]
    return logits


def batches_by_group(decoder: Decoder, prompts: Sequence[Tokens]) -> Iterator[list[int]]:
    """Indices of ``prompts`` by group, then length, in batches whose padded tokens fit."""
    return by_length(
        [len(one.ids) for one in prompts],
        tokens_of_pass("reference", decoder.backbone.device),
        rows=decoder.batch_size,
        apart=[one.prompted.group for one in prompts],
    )
