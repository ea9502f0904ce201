"""Greedy answers of a tuned model to many prompts.

Prompts of one task and format start alike, so their common prefix is read once and its keys and values serve all of
them; the rest of the prompts follows, padded on the left, then one token at a time. Rows that have ended leave
the batch. Source of the padding and masks: they give every token the positions and the past that it would have
alone, so that batch size and company change no answer beyond float rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snibench.api import Method
from snibench.backbone import Backbone
from snibench.batches import Encoded, Encoder, base_of, common_prefix
from snibench.types import Prompt, TaskCard

# A shared prefix shorter than this is not worth a forward pass of its own.
_LEAST_PREFIX = 16
# Prompt tokens of one forward pass.
_TOKENS_AT_ONCE = {"cpu": 8192, "cuda": 131072, "mps": 16384}


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt to answer. ``group`` names prompts that start alike; it decides speed, never answers."""

    card: TaskCard
    prompt: Prompt
    group: str


@dataclass(frozen=True, slots=True)
class Reply:
    """``prediction``: stripped. A prompt that does not fit the input limit is not answered: ``too_long``."""

    prediction: str
    prompt_tokens: int
    truncated: bool
    too_long: bool


class Answerer:
    """Answers prompts with one tuned model."""

    def __init__(
        self, backbone: Backbone, model: nn.Module, method: Method, encoder: Encoder, *, batch_size: int | None = None
    ) -> None:
        self.backbone, self.model, self.method, self.encoder = backbone, model, method, encoder
        self.batch_size = batch_size
        self._limit = _TOKENS_AT_ONCE.get(backbone.device.type, 8192)
        self._newlines = _newline_ids(backbone.tokenizer)

    @torch.no_grad()
    def answer(
        self, asked: Sequence[Asked], *, on_batch: Callable[[Mapping[int, Reply]], None] = lambda replies: None
    ) -> list[Reply]:
        """A reply to every prompt, in order; ``on_batch`` gets each batch's replies by index as they come."""
        self.model.eval()
        encoded = self.encoder.prompts([one.prompt for one in asked])
        replies: dict[int, Reply] = {}
        for piece in self._batches(asked, encoded):
            fresh: dict[int, Reply] = {}
            texts = self._generate([asked[index].card for index in piece], [encoded[index] for index in piece])
            for index, text in zip(piece, texts, strict=True):
                one = encoded[index]
                fresh[index] = Reply(text, one.prompt_tokens, one.truncated, one.too_long)
            on_batch(fresh)
            replies |= fresh
        return [replies[index] for index in range(len(asked))]

    def _batches(self, asked: Sequence[Asked], encoded: Sequence[Encoded]) -> Iterator[list[int]]:
        """Indices by group, then length, in pieces whose padded tokens fit."""
        order = sorted(range(len(asked)), key=lambda index: (asked[index].group, len(encoded[index].prompt_ids), index))
        piece: list[int] = []
        for index in order:
            longest = len(encoded[index].prompt_ids)  # sorted: the newest is the longest of its group
            full = self.batch_size is not None and len(piece) >= self.batch_size
            if piece and (
                full or asked[piece[0]].group != asked[index].group or longest * (len(piece) + 1) > self._limit
            ):
                yield piece
                piece = []
            piece.append(index)
        if piece:
            yield piece

    def _generate(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded]) -> list[str]:
        texts = [""] * len(cards)
        rows = [row for row, one in enumerate(encoded) if not one.too_long]
        if not rows:
            return texts
        some_cards, some = [cards[row] for row in rows], [encoded[row] for row in rows]
        if self.backbone.encoder_decoder:
            answers = self._generate_encoder_decoder(some_cards, some)
        else:
            answers = self._decode(some_cards, some)
        for row, ids in zip(rows, answers, strict=True):
            text = self.backbone.tokenizer.decode(ids, skip_special_tokens=True)
            # A blank before the first word belongs to the format; a newline there is an answer's end all the same.
            texts[row] = text.strip() if _may_hold_newline(cards[row]) else text.lstrip(" ").split("\n")[0].strip()
        return texts

    # -------------------------------------------------------------------------- decoder-only

    def _forward(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded], **inputs: Any) -> Tensor:
        """``[B]`` the most likely next token of every row."""
        instructions = [one.prompt.instruction for one in encoded]
        with self.method.for_prompts(self.model, cards, instructions):
            logits: Tensor = base_of(self.model)(**inputs, use_cache=True, logits_to_keep=1).logits[:, -1]
        return logits.argmax(-1)

    def _decode(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded]) -> list[list[int]]:
        from transformers import DynamicCache

        device = self.backbone.device
        count = len(encoded)
        prefix = common_prefix([one.prompt_ids for one in encoded]) if count > 1 else 0
        shares = self.backbone.packs and self.method.shares_prefixes
        if not shares or prefix < _LEAST_PREFIX or len({card.name for card in cards}) > 1:
            prefix = 0
        if len({one.prompt.instruction for one in encoded}) > 1:
            prefix = 0  # a method may read the instruction, so its keys and values may differ
        cache = DynamicCache(config=base_of(self.model).config)
        if prefix:
            start = torch.tensor([encoded[0].prompt_ids[:prefix]], device=device)
            self._forward(cards[:1], encoded[:1], input_ids=start, past_key_values=cache)
            cache.batch_repeat_interleave(count)
        own = [torch.tensor(one.prompt_ids[prefix:]) for one in encoded]
        ids = nn.utils.rnn.pad_sequence(own, batch_first=True, padding_value=0, padding_side="left").to(device)
        lengths = torch.tensor([len(one) for one in own], device=device)
        real = torch.arange(ids.shape[1], device=device) >= (ids.shape[1] - lengths)[:, None]
        mask = torch.cat([real.new_ones(count, prefix), real], dim=1).long()
        positions = prefix + (real.cumsum(1) - 1).clamp(min=0)

        answers: list[list[int]] = [[] for _ in encoded]
        rows = list(range(count))  # who is still in the batch
        for _ in range(self.encoder.max_output):
            tokens = self._forward(
                [cards[row] for row in rows],
                [encoded[row] for row in rows],
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
            )
            open_places = []
            for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
                if token == self.backbone.tokenizer.eos_token_id:
                    continue
                answers[row].append(token)
                if token not in self._newlines or _may_hold_newline(cards[row]):
                    open_places.append(place)
            if not open_places:
                break
            ids, positions = tokens[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            if len(open_places) < len(rows):
                keep = torch.tensor(open_places, device=device)
                cache.batch_select_indices(keep)
                rows = [rows[place] for place in open_places]
                ids, positions, mask = ids[keep], positions[keep], mask[keep]
        return answers

    # ------------------------------------------------------------------------ encoder-decoder

    def _generate_encoder_decoder(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded]) -> list[list[int]]:
        own = [torch.tensor(one.prompt_ids) for one in encoded]
        ids = nn.utils.rnn.pad_sequence(own, batch_first=True, padding_value=-1).to(self.backbone.device)
        with self.method.for_prompts(self.model, cards, [one.prompt.instruction for one in encoded]):
            output: Tensor = base_of(self.model).generate(
                input_ids=ids.clamp(min=0),
                attention_mask=(ids >= 0).long(),
                max_new_tokens=self.encoder.max_output,
                do_sample=False,
                num_beams=1,
            )
        return [row[1:] for row in output.tolist()]  # the first is the decoder's start


def _may_hold_newline(card: TaskCard) -> bool:
    """Whether the task's answers may span lines, as one of its positive examples does."""
    return any("\n" in example.output for example in card.positive)


def _newline_ids(tokenizer: Any) -> frozenset[int]:
    """Token ids whose text holds a newline."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return frozenset(token for token, text in enumerate(texts) if "\n" in text)
