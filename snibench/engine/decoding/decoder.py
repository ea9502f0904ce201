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
    def replies(self, prompted: Sequence[Prompted], *, rank_labels: bool = False) -> Iterator[tuple[int, Reply]]:
        """Index and reply of every prompt as they come; prompts that are too long first."""
        if not prompted:
            return
        encoded = self.encoder.prompts([tokens.prompt for tokens in prompted])
        short = [index for index, tokens in enumerate(encoded) if not tokens.too_long]
        for index, tokens in enumerate(encoded):
            if tokens.too_long:
                yield index, Reply("", tokens.prompt_tokens, tokens.truncated, True)
        for position, completion in self._completed(
            [prompted[index] for index in short], [encoded[index] for index in short], rank_labels=rank_labels
        ):
            index = short[position]
            tokens = encoded[index]
            text = self._text(prompted[index].ends_at, completion.ids)
            yield index, Reply(text, tokens.prompt_tokens, tokens.truncated, tokens.too_long, completion.ranked)

    def answer(self, prompted: Sequence[Prompted], *, rank_labels: bool = False) -> list[Reply]:
        """A reply to every prompt, in order."""
        replies = dict(self.replies(prompted, rank_labels=rank_labels))
        return [replies[index] for index in range(len(prompted))]

    @torch.no_grad()
    def token_ids(self, prompted: Sequence[Prompted]) -> list[tuple[int, ...]]:
        """The ids of every answer, in order; no prompt is too long."""
        encoded = self.encoder.prompts([prompt.prompt for prompt in prompted])
        ids = {index: completion.ids for index, completion in self._completed(prompted, encoded)}
        return [ids[index] for index in range(len(prompted))]

    def _completed(
        self, prompted: Sequence[Prompted], encoded: Sequence[Encoded], *, rank_labels: bool = False
    ) -> Iterator[tuple[int, Completion]]:
        self.model.eval()
        labels = self._labels(prompted, encoded) if rank_labels else [None] * len(prompted)
        return self.complete([Tokens(*parts) for parts in zip(prompted, encoded, labels, strict=True)])

    def _labels(self, prompted: Sequence[Prompted], encoded: Sequence[Encoded]) -> list[Labels | None]:
        """Per prompt the labels to rank."""
        by_prompt: dict[tuple[str, str], Labels | None] = {}
        labels = []
        for prompt, tokens in zip(prompted, encoded, strict=True):
            key = prompt.card.name, last_word(tokens.prompt.text)  # all that their tokens depend on
            if key not in by_prompt:
                by_prompt[key] = labels_after(tokens.prompt, prompt.card, self.encoder)
            labels.append(by_prompt[key])
        return labels

    # ------------------------------------------------------------------- shared by the engines

    def routed(self, prompts: Sequence[Tokens]) -> AbstractContextManager[None]:
        """The method's hook for these prompts, one a row."""
        cards, instructions = [prompt.prompted.card for prompt in prompts], [prompt.instruction for prompt in prompts]
        return self.method.for_prompts(self.model, cards, instructions)

    def ends(self, prompts: Sequence[Tokens]) -> Ends:
        """Whether the answer to a prompt, by its place among these, is over with the last of its tokens so far."""
        stops = [prompt.prompted.ends_at for prompt in prompts]
        return lambda row, ids: self._over(stops[row], ids)

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

    def likeliest_label(self, prompt: Tokens) -> str | None:
        """The likeliest of a prompt's labels, each read in a row of its own; None without labels."""
        if prompt.labels is None:
            return None
        with self.routed([prompt] * len(prompt.labels.ids)):
            return prompt.labels.best(scores_alone(self.backbone, self.model, prompt.ids, prompt.labels))
