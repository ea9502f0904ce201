"""The contract of a decoder: greedy answers of a tuned model to many prompts.

Batch size and company change no answer beyond float rounding: every token has the positions and the past that it
would have alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from snibench.base.types import Prompt, Reply, TaskCard
from snibench.contracts import Method, until, usual_stop
from snibench.engine.backbone import Backbone
from snibench.engine.decoding.greedy import Ends
from snibench.engine.decoding.label_ranking import Labels, labels_after, scores_alone
from snibench.engine.tokens import Encoded, Encoder, last_word


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


@dataclass(frozen=True, slots=True)
class Tokens:
    """One prompt as a decoder reads it. ``labels``: those to rank, None for none."""

    prompted: Prompted
    encoded: Encoded
    labels: Labels | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        """The prompt's token ids."""
        return self.encoded.prompt_ids

    @property
    def instruction(self) -> str:
        """The instruction as rendered, demonstrations that did not fit left out."""
        return self.encoded.prompt.instruction


@dataclass(frozen=True, slots=True)
class Completion:
    """Token ids of an answer, up to its end, and its likeliest label where labels were to be ranked."""

    ids: tuple[int, ...]
    ranked: str | None = None


class Decoder(ABC):
    """Answers prompts with one tuned model."""

    def __init__(
        self, backbone: Backbone, model: nn.Module, method: Method, encoder: Encoder, batch_size: int | None = None
    ) -> None:
        self.backbone, self.model, self.method, self.encoder = backbone, model, method, encoder
        self.batch_size = batch_size

    @cached_property
    def _newlines(self) -> frozenset[int]:
        """Token ids whose text holds a newline."""
        tokenizer = self.backbone.tokenizer
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        return frozenset(token for token, text in enumerate(texts) if "\n" in text)

    @abstractmethod
    def complete(self, prompts: Sequence[Tokens]) -> Iterator[tuple[int, Completion]]:
        """Index and completion of every prompt, batch by batch, in any order.

        The model is in evaluation mode, and no gradient is asked for. No prompt is too long.

        Raises:
            Diverged: If the model's logits are not finite.
        """

    # --------------------------------------------------------------------------------- answers

    @torch.no_grad()
    def replies(self, asked: Sequence[Prompted], *, rank_labels: bool = False) -> Iterator[tuple[int, Reply]]:
        """Index and reply of every prompt as they come; prompts that are too long first."""
        if not asked:
            return
        encoded = self.encoder.prompts([one.prompt for one in asked])
        short = [index for index, one in enumerate(encoded) if not one.too_long]
        for index, one in enumerate(encoded):
            if one.too_long:
                yield index, Reply("", one.prompt_tokens, one.truncated, True)
        for place, completion in self._completed(
            [asked[index] for index in short], [encoded[index] for index in short], rank_labels=rank_labels
        ):
            index = short[place]
            one = encoded[index]
            text = self._text(asked[index].ends_at, completion.ids)
            yield index, Reply(text, one.prompt_tokens, one.truncated, one.too_long, completion.ranked)

    def answer(self, asked: Sequence[Prompted], *, rank_labels: bool = False) -> list[Reply]:
        """A reply to every prompt, in order."""
        replies = dict(self.replies(asked, rank_labels=rank_labels))
        return [replies[index] for index in range(len(asked))]

    @torch.no_grad()
    def token_ids(self, asked: Sequence[Prompted]) -> list[tuple[int, ...]]:
        """The ids of every answer, in order; no prompt is too long."""
        encoded = self.encoder.prompts([one.prompt for one in asked])
        ids = {index: completion.ids for index, completion in self._completed(asked, encoded)}
        return [ids[index] for index in range(len(asked))]

    def _completed(
        self, asked: Sequence[Prompted], encoded: Sequence[Encoded], *, rank_labels: bool = False
    ) -> Iterator[tuple[int, Completion]]:
        self.model.eval()
        labels = self._labels(asked, encoded) if rank_labels else [None] * len(asked)
        return self.complete([Tokens(*each) for each in zip(asked, encoded, labels, strict=True)])

    def _labels(self, asked: Sequence[Prompted], encoded: Sequence[Encoded]) -> list[Labels | None]:
        """Per prompt the labels to rank."""
        known: dict[tuple[str, str], Labels | None] = {}
        labels = []
        for one, own in zip(asked, encoded, strict=True):
            key = one.card.name, last_word(own.prompt.text)  # all that their tokens depend on
            if key not in known:
                known[key] = labels_after(own.prompt, one.card, self.encoder)
            labels.append(known[key])
        return labels

    # ------------------------------------------------------------------- shared by the engines

    def routed(self, prompts: Sequence[Tokens]) -> AbstractContextManager[None]:
        """The method's hook for these prompts, one a row."""
        cards, instructions = [one.prompted.card for one in prompts], [one.instruction for one in prompts]
        return self.method.for_prompts(self.model, cards, instructions)

    def ends(self, prompts: Sequence[Tokens]) -> Ends:
        """Whether the answer to a prompt, by its place among these, is over with the last of its tokens so far."""
        stops = [one.prompted.ends_at for one in prompts]
        return lambda place, ids: self._over(stops[place], ids)

    def _over(self, stop: str, ids: Sequence[int]) -> bool:
        if ids[-1] in self.backbone.ends:
            return True
        if stop in ("", "\n"):
            return bool(stop) and ids[-1] in self._newlines
        # A stop may begin in the middle of a token, so the text decides.
        text: str = self.backbone.tokenizer.decode(ids, skip_special_tokens=True)
        return stop in text

    def _text(self, stop: str, ids: Sequence[int]) -> str:
        if ids and ids[-1] in self.backbone.ends:
            ids = ids[:-1]
        text: str = self.backbone.tokenizer.decode(ids, skip_special_tokens=True)
        return until(stop, text)

    def likeliest_label(self, one: Tokens) -> str | None:
        """The likeliest of a prompt's labels, each read in a row of its own; None without labels."""
        if one.labels is None:
            return None
        with self.routed([one] * len(one.labels.ids)):
            return one.labels.best(scores_alone(self.backbone, self.model, one.ids, one.labels))
