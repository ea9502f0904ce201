"""Prompts and answers as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snibench.base.types import Prompt
from snibench.engine.backbone import virtual_tokens

if TYPE_CHECKING:
    from snibench.engine.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Encoded:
    """One prompt as token ids, with its answer's ids where it is trained on.

    ``others``: ids of further targets that are scored under the same prompt (``Method.targets``).
    ``truncated``: demonstrations were dropped to fit, and ``too_long``: even without any it did not. The first
    ``virtual`` ids are virtual tokens of the method (``soft_prompts``).
    """

    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...]
    prompt: Prompt
    truncated: bool = False
    too_long: bool = False
    virtual: int = 0
    others: tuple[tuple[int, ...], ...] = ()

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt's text."""
        return len(self.prompt_ids) - self.virtual


class Encoder:
    """Encodes prompts and answers for one base model, with the virtual tokens that a method has attached to it."""

    def __init__(self, backbone: Backbone, max_input: int, max_output: int) -> None:
        self.tokenizer = backbone.tokenizer
        self.encoder_decoder = backbone.encoder_decoder
        self.max_output = max_output
        self._start = self._leading_ids()
        self._virtual = virtual_tokens(backbone.model)
        self.max_input = max_input
        if (limit := backbone.source.info.learned_positions) is not None and not self.encoder_decoder:
            # Virtual tokens have positions, too; that prompt and answer have theirs is seen to while a run is planned.
            self.max_input = min(max_input, limit - max_output - len(self._virtual))

    def _leading_ids(self) -> tuple[int, ...]:
        """Special ids that the tokenizer puts in front of a text."""
        marked = self.tokenizer("a").input_ids
        plain = self.tokenizer("a", add_special_tokens=False).input_ids
        for start in range(len(marked) - len(plain) + 1):
            if marked[start : start + len(plain)] == plain:
                return tuple(marked[:start])
        return ()

    def prompt_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole prompts. An encoder's ends in the end-of-sequence token, a decoder's must not."""
        end = [self.tokenizer.eos_token_id] if self.encoder_decoder else []
        return [[*self._start_of(one), *one, *end] for one in self._plain(texts)]

    def _start_of(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Tokens to put in front of ``ids``: none where the text begins so itself, as chat templates write it."""
        return () if tuple(ids[: len(self._start)]) == self._start else self._start

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False).input_ids
        return ids

    def prompts(self, prompts: Sequence[Prompt]) -> list[Encoded]:
        """Each prompt encoded, demonstrations dropped from the last until it fits in ``max_input`` tokens.

        The input and the answer slot are never cut: a prompt that does not fit even without demonstrations
        comes back whole and marked ``too_long``.
        """
        encoded = []
        for prompt, ids in zip(prompts, self.prompt_ids([prompt.text for prompt in prompts]), strict=True):
            shorter, truncated = prompt, False
            while len(ids) > self.max_input and (fewer := _without_last_demonstration(shorter)):
                shorter, truncated = fewer, True
                ids = self.prompt_ids([shorter.text])[0]
            too_long = len(ids) > self.max_input
            encoded.append(Encoded((*self._virtual, *ids), (), shorter, truncated, too_long, len(self._virtual)))
        return encoded

    def pairs(self, prompts: Sequence[Prompt], targets: Sequence[str]) -> list[Encoded]:
        """Each prompt with its answer."""
        return self.scored(prompts, [(target,) for target in targets])

    def scored(self, prompts: Sequence[Prompt], targets: Sequence[Sequence[str]]) -> list[Encoded]:
        """Each prompt with its targets, as each stands behind the prompt in one text, and the end-of-sequence token.

        A target is preceded by a blank unless the prompt ends in white space (a decoder continues the prompt; an
        encoder-decoder's answer starts anew).
        """
        pairs = [(prompt.text, target) for prompt, own in zip(prompts, targets, strict=True) for target in own]
        if self.encoder_decoder:
            answers = self._plain([target for _, target in pairs])
        else:
            texts = [target if text[-1:].isspace() else f" {target}" for text, target in pairs]
            answers = self._continued([last_word(text) for text, _ in pairs], texts)
        ids = iter(answers)
        encoded = []
        for one, own in zip(self.prompts(prompts), targets, strict=True):
            first, *others = ((*next(ids)[: self.max_output - 1], self.tokenizer.eos_token_id) for _ in own)
            encoded.append(replace(one, target_ids=first, others=tuple(others)))
        return encoded

    def _continued(self, before: Sequence[str], texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text as they stand behind another one: a tokenizer may put a blank in front of a text alone."""
        heads = self._plain(before)
        wholes = self._plain([head + text for head, text in zip(before, texts, strict=True)])
        return [
            whole[len(head) :] if whole[: len(head)] == head else self._at_line_start(text)
            for head, whole, text in zip(heads, wholes, texts, strict=True)
        ]

    def _at_line_start(self, text: str) -> list[int]:
        """Ids of a text of which no token reaches back into the prompt, as one would that ends in a blank."""
        head, whole, alone = self._plain(["\n", f"\n{text}", text])
        return whole[len(head) :] if whole[: len(head)] == head else alone


def last_word(text: str) -> str:
    """The last word of a prompt and what white space follows it: all that the tokens of its answer depend on."""
    body = text.rstrip()
    word = body.rsplit(None, 1)[-1] if body else ""
    return text[len(body) - len(word) :]


def _without_last_demonstration(prompt: Prompt) -> Prompt | None:
    for role in ("example", "history"):
        for index in range(len(prompt.segments) - 1, -1, -1):
            if prompt.segments[index].role == role:
                return Prompt((*prompt.segments[:index], *prompt.segments[index + 1 :]))
    return None


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix that leaves every sequence at least one token of its own."""
    limit = min(len(sequence) for sequence in sequences) - 1
    first, *others = sequences
    for index in range(limit):
        if any(other[index] != first[index] for other in others):
            return index
    return max(limit, 0)
