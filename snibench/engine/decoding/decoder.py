"""Greedy answers of a tuned model to many prompts.

Batch size and company change no answer beyond float rounding: every token has the positions and the past that it
would have alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.types import Prompt, Reply, TaskCard
from snibench.contracts import Method, usual_stop
from snibench.engine.backbone import Backbone
from snibench.engine.decoding.fast import FastModel, why_not_fast
from snibench.engine.decoding.label_ranking import Branch, Labels, label_scores, labels_after
from snibench.engine.decoding.reading import LEAST_PREFIX, Ends, Reading, Row
from snibench.engine.decoding.reference import ReferenceDecoder
from snibench.engine.tokens import Encoded, Encoder, common_prefix, last_word

# Bytes that the keys and values of one round may take, and its rows.
_MOST_BYTES = {"cpu": 1 << 30, "cuda": 8 << 30}
_MOST_ROWS = 1024
# How far logits of the fast pass may lie from the reference pass's, relative to their norm: rounding only.
_CLOSE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}
# Tokens of the prompt on which the two are compared.
_PROBE = 64


@dataclass(frozen=True, slots=True)
class Prompted:
    """One prompt to answer. ``group`` names prompts that start alike; it decides speed, never answers.

    ``stop``: the text at which its answer is over, empty for none; None: the usual one.
    """

    card: TaskCard
    prompt: Prompt
    group: str
    stop: str | None = None

    @property
    def ends_at(self) -> str:
        """The text at which its answer is over; empty for none."""
        return usual_stop(self.card) if self.stop is None else self.stop


# Token ids of an answer, and its likeliest label.
Completion = tuple[list[int], str | None]


class Decoder:
    """Answers prompts with one tuned model. ``notes``: what could not be done the fast way, and why."""

    def __init__(
        self,
        backbone: Backbone,
        model: nn.Module,
        method: Method,
        encoder: Encoder,
        *,
        batch_size: int | None = None,
        rank_labels: bool = False,
    ) -> None:
        self.backbone, self.model, self.method, self.encoder = backbone, model, method, encoder
        self.batch_size, self.rank_labels = batch_size, rank_labels
        self.notes: list[str] = []
        self._newlines = _newline_ids(backbone.tokenizer)
        self._reference = ReferenceDecoder(backbone, model, method, encoder.max_output)

    @torch.no_grad()
    def answer(
        self, asked: Sequence[Prompted], *, on_batch: Callable[[Mapping[int, Reply]], None] = lambda replies: None
    ) -> list[Reply]:
        """A reply to every prompt, in order; ``on_batch`` gets each batch's replies by index as they come."""
        if not asked:
            return []
        self.model.eval()
        encoded = self.encoder.prompts([one.prompt for one in asked])
        replies = {
            index: Reply("", one.prompt_tokens, one.truncated, True)
            for index, one in enumerate(encoded)
            if one.too_long
        }
        if replies:
            on_batch(replies)
        todo = [index for index in range(len(asked)) if index not in replies]
        for batch, said in self._decoded([asked[index] for index in todo], [encoded[index] for index in todo]):
            fresh = {}
            for place, (ids, ranked) in zip(batch, said, strict=True):
                one = encoded[todo[place]]
                text = self._text(asked[todo[place]].ends_at, ids)
                fresh[todo[place]] = Reply(text, one.prompt_tokens, one.truncated, one.too_long, ranked)
            on_batch(fresh)
            replies |= fresh
        return [replies[index] for index in range(len(asked))]

    @torch.no_grad()
    def tokens(self, asked: Sequence[Prompted]) -> list[tuple[int, ...]]:
        """The ids of every answer, in order; no prompt is too long."""
        self.model.eval()
        encoded = self.encoder.prompts([one.prompt for one in asked])
        said = {
            index: tuple(ids)
            for batch, some in self._decoded(asked, encoded)
            for index, (ids, _) in zip(batch, some, strict=True)
        }
        return [said[index] for index in range(len(asked))]

    def _text(self, stop: str, ids: Sequence[int]) -> str:
        if ids and ids[-1] in self.backbone.ends:
            ids = ids[:-1]
        text: str = self.backbone.tokenizer.decode(ids, skip_special_tokens=True)
        # A blank before the first word belongs to the format; a stop there is an answer's end all the same.
        return text.lstrip(" ").split(stop)[0].strip() if stop else text.strip()

    def _ends_of(self, stops: Sequence[str]) -> Ends:
        """Whether a row's answer so far is over, by the rows' stops."""
        return lambda row, ids: self._ends(stops[row], ids)

    def _ends(self, stop: str, ids: Sequence[int]) -> bool:
        """Whether an answer of the tokens ``ids`` is over with the last of them."""
        if ids[-1] in self.backbone.ends:
            return True
        if stop in ("", "\n"):
            return bool(stop) and ids[-1] in self._newlines
        # A stop may begin in the middle of a token, so the text decides.
        text: str = self.backbone.tokenizer.decode(ids, skip_special_tokens=True)
        return stop in text

    def _decoded(
        self, asked: Sequence[Prompted], encoded: Sequence[Encoded]
    ) -> Iterator[tuple[Sequence[int], list[Completion]]]:
        """Indices of one batch after the other, and the completions of its rows."""
        cards = [one.card for one in asked]
        group_keys = [(one.group, one.card.name, e.prompt.instruction) for one, e in zip(asked, encoded, strict=True)]
        fast = self._fast(cards, encoded)
        batches = (
            self._reference.batches([one.group for one in asked], encoded, self.batch_size)
            if fast is None
            else self._rounds(fast, group_keys, encoded)
        )
        for batch in batches:
            some_cards, some = [cards[index] for index in batch], [encoded[index] for index in batch]
            ends = self._ends_of([asked[index].ends_at for index in batch])
            if fast is None:
                yield batch, self._say(some_cards, some, ends)
            else:
                yield batch, self._read(fast, some_cards, some, [group_keys[index] for index in batch], ends)

    def _labels(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded]) -> list[Labels | None]:
        """Per row the labels to rank, if that is wanted."""
        if not self.rank_labels:
            return [None] * len(cards)
        known: dict[tuple[str, str], Labels | None] = {}
        found = []
        for card, one in zip(cards, encoded, strict=True):
            key = card.name, last_word(one.prompt.text)  # all that their tokens depend on
            if key not in known:
                known[key] = labels_after(one.prompt, card, self.encoder)
            found.append(known[key])
        return found

    def _say(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded], ends: Ends) -> list[Completion]:
        """Completions of one batch by the reference path."""
        if self.backbone.paths.decoding == "generate":
            answers = self._reference.generate(cards, encoded, ends)
        elif self.backbone.encoder_decoder:
            answers = self._reference.seq2seq(cards, encoded)
        else:
            answers = self._reference.batched(cards, encoded, ends)
        ranked = [
            None if labels is None else labels.best(self._reference.label_scores(card, one, labels))
            for card, one, labels in zip(cards, encoded, self._labels(cards, encoded), strict=True)
        ]
        return list(zip(answers, ranked, strict=True))

    # ---------------------------------------------------------------------------- the fast path

    def _fast(self, cards: Sequence[TaskCard], encoded: Sequence[Encoded]) -> FastModel | None:
        """The fast forward pass, if it serves this model and method."""
        if not encoded:
            return None
        reason = (
            "the model is an encoder-decoder"
            if self.backbone.encoder_decoder
            else "the method gives every prompt a row of its own"
            if not self.method.shares_prefixes
            else why_not_fast(self.model)
        )
        if self.backbone.paths.decoding != "fast":
            reason = reason or "its fast path gave other answers"
        if not reason:
            fast = FastModel(self.model)
            if self._agrees(fast, cards[0], encoded[0]):
                return fast
            reason = "its forward pass differs from what its structure says"
        self.notes.append(f"answers by the reference path: {reason}")
        return None

    def _agrees(self, fast: FastModel, card: TaskCard, one: Encoded) -> bool:
        """Whether prefix, prompt and one further token give the reference pass's logits."""
        ids = one.prompt_ids[:_PROBE]
        rows = [Row(ids[: len(ids) - cut], 0) for cut in range(min(2, len(ids)))]
        found: list[Tensor] = []
        Reading(fast, rows, self.backbone.device, self._routed([card] * 2, [one] * 2)).prompts(
            lambda members, logits, branch: found.extend(logits[members.index(0)][None] if 0 in members else [])
        )
        expected = self._reference.logits([card], [one], input_ids=torch.tensor([ids], device=self.backbone.device))
        here, there = found[0].float(), expected[0].float()
        return bool((here - there).norm() <= _CLOSE.get(expected.dtype, 0.02) * there.norm())

    def _rounds(
        self, fast: FastModel, group_keys: Sequence[Hashable], encoded: Sequence[Encoded]
    ) -> Iterator[list[int]]:
        """Indices of rows that are answered together, group by group, as many as rows and memory allow."""
        most = _MOST_BYTES.get(self.backbone.device.type, 1 << 30) // fast.shape.bytes_per_token
        rows = min(self.batch_size or _MOST_ROWS, _MOST_ROWS)
        members: dict[Hashable, list[int]] = {}
        for index, group_key in enumerate(group_keys):
            members.setdefault(group_key, []).append(index)
        batch: list[int] = []
        tokens = 0
        for same in members.values():
            prefix = common_prefix([encoded[index].prompt_ids for index in same]) if len(same) > 1 else 0
            prefix = prefix if prefix >= LEAST_PREFIX else 0
            for index in same:
                # Half of the longest answer is more than most take.
                own = len(encoded[index].prompt_ids) - prefix + self.encoder.max_output // 2
                new = own + (prefix if not batch or group_keys[batch[-1]] != group_keys[index] else 0)
                if batch and (len(batch) == rows or tokens + new > most):
                    yield batch
                    batch, tokens = [], 0
                    new = own + prefix
                batch.append(index)
                tokens += new
        if batch:
            yield batch

    def _read(
        self,
        fast: FastModel,
        cards: Sequence[TaskCard],
        encoded: Sequence[Encoded],
        group_keys: Sequence[Hashable],
        ends: Ends,
    ) -> list[Completion]:
        """Completions of one round by the fast path."""
        rows = [Row(one.prompt_ids, group_key) for one, group_key in zip(encoded, group_keys, strict=True)]
        reading = Reading(fast, rows, self.backbone.device, self._routed(cards, encoded))
        labels = self._labels(cards, encoded)
        ranked: list[str | None] = [None] * len(rows)

        def rank(members: Sequence[int], logits: Tensor, branch: Branch) -> None:
            scores = label_scores([labels[row] for row in members], logits, branch, fast.logits)
            for row, found in zip(members, scores, strict=True):
                if (known := labels[row]) is not None:
                    ranked[row] = known.best(found)

        first = reading.prompts(rank)
        said = reading.answers(first, ends, self.encoder.max_output)
        return [(said[row], ranked[row]) for row in range(len(rows))]

    def _routed(
        self, cards: Sequence[TaskCard], encoded: Sequence[Encoded]
    ) -> Callable[[Sequence[int]], AbstractContextManager[None]]:
        """The method's hook for some of the rows."""
        instructions = [one.prompt.instruction for one in encoded]
        return lambda rows: self.method.for_prompts(
            self.model, [cards[row] for row in rows], [instructions[row] for row in rows]
        )


def _newline_ids(tokenizer: Any) -> frozenset[int]:
    """Token ids whose text holds a newline."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return frozenset(token for token, text in enumerate(texts) if "\n" in text)
