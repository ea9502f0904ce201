"""Choice of the decoder: the fast one where it gives the reference path's numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snibench.base.types import Prompt, Segment, TaskCard
from snibench.contracts import Method
from snibench.engine.backbone import Backbone
from snibench.engine.batching import padded
from snibench.engine.decoding.decoder import Decoder, Prompted, Tokens
from snibench.engine.decoding.fast import why_not_fast
from snibench.engine.decoding.fast_decoder import FastDecoder
from snibench.engine.decoding.generate import GenerateDecoder
from snibench.engine.decoding.reading import Reading, Row
from snibench.engine.decoding.reference import ReferenceDecoder, last_logits
from snibench.engine.tokens import Encoder

# How far logits of the fast pass may lie from the reference pass's, relative to their norm: rounding only.
_CLOSE = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}
# A prompt of its own, not one of those that are asked, so that a run that goes on decides as it did before.
_PROBE = Prompt(
    (
        Segment("instruction", "Read the text below and answer the question that follows it with a single word.\n"),
        Segment("input", "Text: The river was high, and the old bridge shook.\nQuestion: What shook?\nAnswer:"),
    )
)
# Tokens of it that are compared.
_COMPARED = 64
_CARD = TaskCard("probe", "", (), (), "", (), (), None, "")  # to a method a task that it was not tuned on


def choose(
    backbone: Backbone, model: nn.Module, method: Method, encoder: Encoder, *, batch_size: int | None = None
) -> tuple[Decoder, str]:
    """The fastest decoder that serves a model with its method, and why it is not the fast one; empty if it is.

    Args:
        backbone: The base model, whose ``paths`` say how it may be read.
        model: What ``method`` attached to it, or ``backbone.model``.
        method: Its ``for_prompts`` is active while rows are answered.
        encoder: Of prompts; its ``max_output`` is the longest answer.
        batch_size: Most rows at once; None: as many as memory allows.
    """
    generates = backbone.encoder_decoder or backbone.paths.decoding == "generate"
    engine = GenerateDecoder if generates else ReferenceDecoder
    reason = (
        "the model is an encoder-decoder"
        if backbone.encoder_decoder
        else "the method gives every prompt a row of its own"
        if not method.shares_prefixes
        else why_not_fast(model)
    )
    if backbone.paths.decoding != "fast":
        reason = reason or "its fast path gave other answers"
    if not reason:
        fast = FastDecoder(backbone, model, method, encoder, batch_size)
        if _agrees(fast):
            return fast, ""
        reason = "its forward pass differs from what its structure says"
    return engine(backbone, model, method, encoder, batch_size), f"answers by the reference path: {reason}"


@torch.no_grad()
def _agrees(decoder: FastDecoder) -> bool:
    """Whether prefix, prompt and one further token give the logits of the model's own forward pass."""
    decoder.model.eval()
    probe = Tokens(Prompted(_CARD, _PROBE, ""), decoder.encoder.prompts([_PROBE])[0])
    device, ids = decoder.backbone.device, probe.ids[:_COMPARED]
    rows = [Row(ids[: len(ids) - cut], 0) for cut in range(min(2, len(ids)))]
    logits_read: list[Tensor] = []
    Reading(decoder.fast, rows, device, lambda members: decoder.routed([probe] * len(members))).prompts(
        lambda members, logits, branch: logits_read.extend(logits[members.index(0)][None] if 0 in members else [])
    )
    with decoder.routed([probe]):
        expected = last_logits(decoder.model, input_ids=padded([ids], device))
    here, there = logits_read[0].float(), expected[0].float()
    return bool((here - there).norm() <= _CLOSE.get(expected.dtype, 0.02) * there.norm())
