"""The reference path: transformers' own forward passes, for every model that the fast path does not serve.

A prefix that all rows of a batch share is read once and its cache then copied for each; the rest of the prompts
follows, padded on the left, then one token at a time. Rows that have ended leave the batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.types import TaskCard
from snibench.contracts import Method
from snibench.engine.backbone import Backbone, base_of
from snibench.engine.decoding.label_ranking import Labels, likeliest
from snibench.engine.decoding.reading import LEAST_PREFIX, Ends
from snibench.engine.losses import logits_at
from snibench.engine.tokens import Encoded, common_prefix

# Prompt tokens of one forward pass.
_TOKENS_AT_ONCE = {"cpu": 8192, "cuda": 131072, "mps": 16384}


class ReferenceDecoder:
    """Greedy decoding through the model's own forward pass."""

    def __init__(self, backbone: Backbone, model: nn.Module, method: Method, most: int) -> None:
        self._backbone, self._model, self._method, self._most = backbone, model, method, most
        base = base_of(model)
        parameters = inspect.signature(type(base).forward).parameters
        # Its name since transformers 5.24; the old one goes in 5.40.
        self._cache_name = "cache" if "cache" in parameters else "past_key_values"

    def batches(self, groups: Sequence[str], encoded: Sequence[Encoded], most_rows: int | None) -> Iterator[list[int]]:
        """Indices by group, then length, in batches whose padded tokens fit."""
        order = sorted(range(len(encoded)), key=lambda index: (groups[index], len(encoded[index].prompt_ids), index))
        limit = _TOKENS_AT_ONCE.get(self._backbone.device.type, 8192)
        batch: list[int] = []
        for index in order:
            longest = len(encoded[index].prompt_ids)  # sorted: the newest is the longest of its group
            full = most_rows is not None and len(batch) >= most_rows
            if batch and (full or groups[batch[0]] != groups[index] or longest * (len(batch) + 1) > limit):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def logits(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded], **inputs: Any) -> Tensor:
        """``[B, V]`` logits after the last token of every row."""
        instructions = [one.prompt.instruction for one in encoded]
        with self._method.for_prompts(self._model, cards, instructions):
            found: Tensor = base_of(self._model)(**inputs, use_cache=True, logits_to_keep=1).logits[:, -1]
        return found

    def batched(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded], ends: Ends) -> list[list[int]]:
        """Completions of every row."""
        from transformers import DynamicCache

        device = self._backbone.device
        count = len(encoded)
        prefix = common_prefix([one.prompt_ids for one in encoded]) if count > 1 else 0
        shares = self._backbone.packs and self._method.shares_prefixes
        if not shares or prefix < LEAST_PREFIX or len({card.name for card in cards}) > 1:
            prefix = 0
        if len({one.prompt.instruction for one in encoded}) > 1:
            prefix = 0  # a method may read the instruction, so its keys and values may differ
        cache = DynamicCache(config=base_of(self._model).config)
        if prefix:
            start = torch.tensor([encoded[0].prompt_ids[:prefix]], device=device)
            self.logits(cards[:1], encoded[:1], input_ids=start, **{self._cache_name: cache})
            cache.batch_repeat_interleave(count)
        own = [torch.tensor(one.prompt_ids[prefix:]) for one in encoded]
        ids = nn.utils.rnn.pad_sequence(own, batch_first=True, padding_value=0, padding_side="left").to(device)
        lengths = torch.tensor([len(one) for one in own], device=device)
        real = torch.arange(ids.shape[1], device=device) >= (ids.shape[1] - lengths)[:, None]
        mask = torch.cat([real.new_ones(count, prefix), real], dim=1).long()
        positions = prefix + (real.cumsum(1) - 1).clamp(min=0)

        answers: list[list[int]] = [[] for _ in encoded]
        rows = list(range(count))  # who is still in the batch
        ended: set[int] = set()
        # What linear attention remembers cannot be cut by rows: there the ended ones stay, unheard.
        selects = all(hasattr(layer, "batch_select_indices") for layer in cache.layers)
        for _ in range(self._most):
            logits = self.logits(
                [cards[row] for row in rows],
                [encoded[row] for row in rows],
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                **{self._cache_name: cache},
            )
            tokens = likeliest(logits)
            for row, token in zip(rows, tokens.tolist(), strict=True):
                if row not in ended:
                    answers[row].append(token)
                    if ends(row, answers[row]):
                        ended.add(row)
            if len(ended) == count:
                break
            ids, positions = tokens[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            if selects and not ended.isdisjoint(rows):
                keep = torch.tensor([place for place, row in enumerate(rows) if row not in ended], device=device)
                cache.batch_select_indices(keep)
                rows = [row for row in rows if row not in ended]
                ids, positions, mask = ids[keep], positions[keep], mask[keep]
        return answers

    def seq2seq(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded]) -> list[list[int]]:
        """Completions of an encoder-decoder, row by row."""
        own = [torch.tensor(one.prompt_ids) for one in encoded]
        ids = nn.utils.rnn.pad_sequence(own, batch_first=True, padding_value=-1).to(self._backbone.device)
        with self._method.for_prompts(self._model, cards, [one.prompt.instruction for one in encoded]):
            output: Tensor = base_of(self._model).generate(
                input_ids=ids.clamp(min=0),
                attention_mask=(ids >= 0).long(),
                max_new_tokens=self._most,
                do_sample=False,
                num_beams=1,
                logits_processor=[_finite],
            )
        return [row[1:] for row in output.tolist()]  # the first is the decoder's start

    def generate(
        self,
        cards: Sequence[TaskCard],
        encoded: Sequence[Encoded],
        ends: Ends = lambda row, ids: False,
    ) -> list[list[int]]:
        """Greedy completions by the model's own ``generate``.

        Rows of equal length together and none padded, so that nothing leaks into what a model remembers of its past.
        """
        answers: dict[int, list[int]] = {}
        rows: dict[int, list[int]] = {}
        for index, one in enumerate(encoded):
            rows.setdefault(len(one.prompt_ids), []).append(index)
        for members in rows.values():
            some = [cards[index] for index in members]
            with self._method.for_prompts(self._model, some, [encoded[index].prompt.instruction for index in members]):
                answers |= zip(members, self._greedy(members, [encoded[index] for index in members], ends), strict=True)
        return [answers[index] for index in range(len(encoded))]

    def _greedy(self, rows: Sequence[int], encoded: Sequence[Encoded], ends: Ends) -> list[list[int]]:
        start = 1 if self._backbone.encoder_decoder else len(encoded[0].prompt_ids)

        def over(ids: Tensor, scores: Any, **_: Any) -> Tensor:
            said = ids[:, start:].tolist()
            return torch.tensor([ends(*one) for one in zip(rows, said, strict=True)], device=ids.device)

        ids = torch.tensor([one.prompt_ids for one in encoded], device=self._backbone.device)
        output: Tensor = base_of(self._model).generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self._most,
            stopping_criteria=[over],
            logits_processor=[_finite],
        )
        answers = []
        for row, said in zip(rows, output[:, start:].tolist(), strict=True):
            length = next((count for count in range(1, len(said) + 1) if ends(row, said[:count])), len(said))
            answers.append(said[:length])
        return answers

    # ---------------------------------------------------------------------------------- labels

    def label_scores(self, card: TaskCard, one: Encoded, labels: Labels) -> list[float]:
        """The score of every label after one prompt, each read in a row of its own."""
        device, start = self._backbone.device, list(one.prompt_ids)
        count = len(labels.ids)
        base = base_of(self._model)
        if self._backbone.encoder_decoder:
            first = 0
            ids = torch.tensor([start] * count, device=device)
            spoken = [[base.config.decoder_start_token_id, *label[:-1]] for label in labels.ids]
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": _stacked(spoken)}
            inputs["decoder_input_ids"] = inputs["decoder_input_ids"].clamp(min=0).to(device)
        else:
            first = len(start) - 1
            ids = _stacked([[*start, *label[:-1]] for label in labels.ids]).to(device)
            inputs = {"input_ids": ids.clamp(min=0), "attention_mask": (ids >= 0).long()}
        places = [(row, first + column) for row, label in enumerate(labels.ids) for column in range(len(label))]
        with self._method.for_prompts(self._model, [card] * count, [one.prompt.instruction] * count):
            logits = logits_at(base, torch.tensor(places, device=device), **inputs)
        targets = torch.tensor([token for label in labels.ids for token in label], device=device)
        each = -nn.functional.cross_entropy(logits.float(), targets, reduction="none")
        return [float(some.mean()) for some in each.split([len(label) for label in labels.ids])]


def _stacked(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids, padded with -1 behind."""
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=-1)


def _finite(_: Tensor, logits: Tensor) -> Tensor:
    """``logits`` as they are; Diverged if none of a row can be the likeliest."""
    likeliest(logits)
    return logits
