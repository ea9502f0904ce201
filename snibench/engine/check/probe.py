"""The made-up tasks that models and methods are checked on, and what is compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.types import Prompt, Segment, TaskCard
from snibench.contracts import Method
from snibench.engine.backbone import Backbone, base_of
from snibench.engine.decoding import Prompted, choose
from snibench.engine.decoding.decoder import Tokens
from snibench.engine.decoding.generate import GenerateDecoder
from snibench.engine.tokens import Encoded, Encoder

# How far two losses may lie apart (relative, but at least to 1), and two gradients (relative to their norm).
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 2e-3
# Two logits nearer than this share of the logits' spread are a tie: rounding may order them either way.
TIE = 2e-3
# Tokens of an answer that are compared.
TOKENS = 5

TEXTS = {
    "colour": ("Read the text below and say with a single word of English which colour the text is about.\nText: ",
               (("A red house stands by the sea.\nColour:", "red"), ("Green hills.\nColour:", "green"),
                ("The old man wore a coat as blue as the sky at noon.\nColour:", "blue"))),
    "animal": ("You are given a sentence. Answer with the animal that the sentence names, and nothing else.\nInput: ",
               (("My dog sleeps.\nOutput:", "dog"), ("Two horses ran over the hill in the rain.\nOutput:", "horse"),
                ("A cat sat on the mat.\nOutput:", "cat"))),
}  # fmt: skip


@dataclass(frozen=True)
class Numbers:
    """``losses [K]`` and ``gradient`` (flat: of the input embeddings, or of all that is trained), or an ``error``."""

    losses: Tensor
    gradient: Tensor
    error: str = ""


def difference(expected: Numbers, actual: Numbers) -> str:
    """The difference of ``actual`` from ``expected`` in words; empty if there is none."""
    if actual.error:
        return actual.error
    gap = float(((actual.losses - expected.losses).abs() / expected.losses.abs().clamp(min=1)).max())
    if not gap <= LOSS_TOLERANCE:
        return f"its loss is off by {gap:.1e}"
    gap = float((actual.gradient - expected.gradient).norm() / expected.gradient.norm().clamp(min=1e-6))
    return "" if gap <= GRADIENT_TOLERANCE else f"its gradient is off by {gap:.1e}"


# Whatever a path raises inside a model that it does not suit.
FAULTS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    AssertionError,
)


class NoMethod:
    """Stands in for a method: no parameters, no hooks."""

    shares_prefixes = True

    @contextmanager
    def for_prompts(self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]) -> Iterator[None]:
        """A context in which nothing is changed."""
        yield


Groups = list[tuple[str, list[Encoded]]]  # made-up tasks, each with its instances


def made_up_tasks(backbone: Backbone, names: Sequence[str] = tuple(TEXTS)) -> Groups:
    """The made-up tasks as tokens, under these names."""
    encoder = Encoder(backbone, 1 << 20, 64)
    groups = []
    for name, (instruction, instances) in zip(names, TEXTS.values(), strict=False):
        prompts = [Prompt((Segment("instruction", instruction), Segment("input", text))) for text, _ in instances]
        groups.append((name, encoder.pairs(prompts, [answer for _, answer in instances])))
    return groups


def plain_card(name: str) -> TaskCard:
    """A task of which only the name is known."""
    return TaskCard(name, "", (), (), "", (), (), None, "exact_match")


def own_logits(backbone: Backbone, case: Encoded, following: Sequence[int]) -> Tensor:
    """``[1 + n, V]`` logits after the prompt and after each of n following tokens, of the model's own forward pass."""
    base, device = base_of(backbone.model), backbone.device
    if backbone.encoder_decoder:
        spoken = torch.tensor([[base.config.decoder_start_token_id, *following]], device=device)
        inputs = {"input_ids": torch.tensor([case.prompt_ids], device=device), "decoder_input_ids": spoken}
    else:
        inputs = {"input_ids": torch.tensor([[*case.prompt_ids, *following]], device=device)}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    logits: Tensor = base(**inputs, use_cache=False).logits[0].float()
    return logits[-1 - len(following) :]


def per_task(losses: Sequence[Tensor], groups: Groups) -> Tensor:
    """``[K]`` means of the losses of all instances, task-major, over each task's."""
    return torch.stack(list(losses)).view(len(groups), -1).mean(1)


@torch.no_grad()
def generated(
    backbone: Backbone, model: nn.Module, method: Method, card: TaskCard, case: Encoded, most: int
) -> tuple[int, ...]:
    """At most ``most`` tokens of the answer to one prompt by the model's own ``generate``, whatever ends it."""
    decoder = GenerateDecoder(backbone, model, method, Encoder(backbone, 1 << 20, most))
    ((_, completion),) = decoder.complete([Tokens(Prompted(card, case.prompt, "", stop=""), case)])
    return completion.ids


def certain_tokens(generated: Sequence[int], logits: Tensor) -> tuple[int, ...]:
    """The likeliest tokens while they are those generated, up to a near-tie; ``logits [n, V]`` of these places."""
    certain: list[int] = []
    for token, row in zip(generated, logits, strict=True):
        first, second = row.topk(2).values.tolist()
        if first - second < TIE * float(row.max() - row.min()):
            break
        certain.append(int(row.argmax()))
        if certain[-1] != token:
            break
    return tuple(certain)


def decoded(
    backbone: Backbone, model: nn.Module, method: Any, groups: Groups, cards: Sequence[TaskCard] = ()
) -> tuple[list[tuple[int, ...]], str]:
    """The first tokens of the answers to all prompts as the engine decodes them, and a note of doing so, if any."""
    decoder, note = choose(backbone, model, method, Encoder(backbone, 1 << 20, TOKENS))
    by_name = {card.name: card for card in cards}
    prompted = [
        Prompted(by_name.get(name) or plain_card(name), instance.prompt, name)
        for name, instances in groups
        for instance in instances
    ]
    return decoder.token_ids(prompted), note


def begin_alike(expected: Sequence[Sequence[int]], actual: Sequence[Sequence[int]]) -> bool:
    """Whether all answers begin alike; one may have ended where the other went on."""
    pairs = list(zip(expected, actual, strict=True))
    return all(tuple(a[: len(b)]) == tuple(b[: len(a)]) for a, b in pairs)
