"""From prompts and answers to the tensors a model reads.

A training step draws K tasks and m instances of each. One task's instances start alike (definition, examples),
so their common token prefix stands once and the instances follow it in the same row, each with the position
ids it would have alone and a mask that shows it the prefix and itself. That equals separate rows up to rounding,
at a fraction of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from snibench.attention import Layout, packed
from snibench.types import Prompt, Segment

if TYPE_CHECKING:
    from snibench.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Encoded:
    """One prompt as token ids, with its answer's ids where it is trained on.

    ``truncated``: demonstrations were dropped to fit, and ``too_long``: even without any it did not. The first
    ``virtual`` ids are virtual tokens of the method (``soft_prompts``).
    """

    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...]
    prompt: Prompt
    truncated: bool = False
    too_long: bool = False
    virtual: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt's text."""
        return len(self.prompt_ids) - self.virtual


@dataclass(frozen=True)
class Batch:
    """K tasks' instances, ready for one forward pass. Rows are task-major and every task has equally many.

    ``input_ids``, ``positions`` ``[B, L]``. ``mask``: bool ``[B, 1, L, L]`` if packed, else ``[B, L]``.
    ``row_task [B]``: index into ``tasks``. The N target tokens: ``target_index [N, 2]`` is the (row, column) whose
    hidden state predicts ``target_ids [N]``; ``target_task [N]``; ``target_weight [N]`` sums to 1 per task (every
    instance weighs the same, and so does every token within one). For encoder-decoder models the columns
    count in ``decoder_ids [B, L']``. ``layout``: where the parts of packed rows lie.
    """

    tasks: tuple[str, ...]
    instructions: tuple[str, ...]
    input_ids: Tensor
    positions: Tensor
    mask: Tensor
    row_task: Tensor
    target_index: Tensor
    target_ids: Tensor
    target_task: Tensor
    target_weight: Tensor
    decoder_ids: Tensor | None = None
    layout: Layout | None = None

    @property
    def tokens(self) -> int:
        """Tokens that the model reads, padding included."""
        return self.input_ids.numel() + (0 if self.decoder_ids is None else self.decoder_ids.numel())


class Encoder:
    """Encodes prompts and answers for one base model, with the virtual tokens that a method has attached to it."""

    def __init__(self, backbone: Backbone, max_input: int, max_output: int) -> None:
        self.tokenizer = backbone.tokenizer
        self.encoder_decoder = backbone.encoder_decoder
        self.max_input = max_input
        self.max_output = max_output
        self._start = self._leading_ids()
        self._virtual = virtual_tokens(backbone.model)

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
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False).input_ids
        end = [self.tokenizer.eos_token_id] if self.encoder_decoder else []
        return [[*self._start, *one, *end] for one in ids]

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
        """Each prompt with its answer, which is tokenized apart and ends with the end-of-sequence token.

        The answer is preceded by a blank unless the prompt ends in white space (a decoder continues the
        prompt; an encoder-decoder's answer starts anew).
        """
        texts = [
            target if self.encoder_decoder or prompt.text[-1:].isspace() else f" {target}"
            for prompt, target in zip(prompts, targets, strict=True)
        ]
        answers = self.tokenizer(texts, add_special_tokens=False).input_ids
        return [
            replace(one, target_ids=(*answer[: self.max_output - 1], self.tokenizer.eos_token_id))
            for one, answer in zip(self.prompts(prompts), answers, strict=True)
        ]


def _without_last_demonstration(prompt: Prompt) -> Prompt | None:
    for kind in ("example", "history"):
        for index in range(len(prompt.segments) - 1, -1, -1):
            if prompt.segments[index].kind == kind:
                return Prompt((*prompt.segments[:index], *prompt.segments[index + 1 :]))
    return None


def with_history(prompt: Prompt, turns: Sequence[str]) -> Prompt:
    """``prompt`` after solved turns, one droppable segment each."""
    return Prompt((*(Segment("history", turn) for turn in turns), *prompt.segments))


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix that leaves every sequence at least one token of its own."""
    limit = min(len(sequence) for sequence in sequences) - 1
    first, *others = sequences
    for index in range(limit):
        if any(other[index] != first[index] for other in others):
            return index
    return max(limit, 0)


# ---------------------------------------------------------------------------------- training


@dataclass(frozen=True, slots=True)
class _Row:
    """One row before padding: ``part[i]`` is 0 in the shared prefix, j in the row's j-th instance."""

    ids: list[int]
    positions: list[int]
    part: list[int]
    targets: list[tuple[int, int, float]]  # column, id, weight


def _pack(instances: Sequence[Encoded], share: float) -> _Row:
    """One task's instances behind their common prefix; each instance's tokens weigh ``share`` together."""
    # A single instance has no prefix to share: every token is its own.
    prefix = common_prefix([one.prompt_ids for one in instances]) if len(instances) > 1 else 0
    ids, positions, part = list(instances[0].prompt_ids[:prefix]), list(range(prefix)), [0] * prefix
    targets = []
    for number, one in enumerate(instances, start=1):
        own = [*one.prompt_ids[prefix:], *one.target_ids[:-1]]
        slot = len(ids) + len(one.prompt_ids) - prefix - 1
        weight = share / len(one.target_ids)
        targets += [(slot + offset, target, weight) for offset, target in enumerate(one.target_ids)]
        ids += own
        positions += range(prefix, prefix + len(own))
        part += [number] * len(own)
    return _Row(ids, positions, part, targets)


def make_batch(groups: Sequence[tuple[str, Sequence[Encoded]]], backbone: Backbone, *, pack: bool) -> Batch:
    """The batch of ``groups``: (task, its m instances), m the same for all.

    ``pack``: one row per task with the shared prefix once, else one row per instance.
    """
    if backbone.encoder_decoder:
        return _encoder_decoder_batch(groups, backbone)
    share = 1 / len(groups[0][1])
    if pack:
        rows = [(index, _pack(instances, share)) for index, (_, instances) in enumerate(groups)]
    else:
        rows = [(index, _pack([one], share)) for index, (_, instances) in enumerate(groups) for one in instances]
    device = backbone.device
    part = _pad([row.part for _, row in rows], -1)
    mask = _block_mask(part) if pack else part >= 0
    return Batch(
        input_ids=_pad([row.ids for _, row in rows], 0).to(device),
        positions=_pad([row.positions for _, row in rows], 0).to(device),
        mask=mask.to(device),
        layout=Layout.of(part).to(device) if pack else None,
        **_bookkeeping(groups, [(task, row.targets) for task, row in rows], device),
    )


def _encoder_decoder_batch(groups: Sequence[tuple[str, Sequence[Encoded]]], backbone: Backbone) -> Batch:
    share = 1 / len(groups[0][1])
    rows = [(index, one) for index, (_, instances) in enumerate(groups) for one in instances]
    start = backbone.model.config.decoder_start_token_id
    inputs = _pad([list(one.prompt_ids) for _, one in rows], -1)
    targets = [
        (task, [(column, target, share / len(one.target_ids)) for column, target in enumerate(one.target_ids)])
        for task, one in rows
    ]
    return Batch(
        input_ids=inputs.clamp(min=0).to(backbone.device),
        positions=torch.zeros_like(inputs).to(backbone.device),
        mask=(inputs >= 0).to(backbone.device),
        decoder_ids=_pad([[start, *one.target_ids[:-1]] for _, one in rows], 0).to(backbone.device),
        **_bookkeeping(groups, targets, backbone.device),
    )


def _bookkeeping(
    groups: Sequence[tuple[str, Sequence[Encoded]]],
    rows: Sequence[tuple[int, list[tuple[int, int, float]]]],
    device: torch.device,
) -> dict[str, Any]:
    flat = [(row, column, id_, task, w) for row, (task, found) in enumerate(rows) for column, id_, w in found]
    places, columns, ids, tasks, weights = zip(*flat, strict=True)
    return {
        "tasks": tuple(task for task, _ in groups),
        "instructions": tuple(instances[0].prompt.instruction for _, instances in groups),
        "row_task": torch.tensor([task for task, _ in rows], device=device),
        "target_index": torch.tensor([places, columns], device=device).T,
        "target_ids": torch.tensor(ids, device=device),
        "target_task": torch.tensor(tasks, device=device),
        "target_weight": torch.tensor(weights, dtype=torch.float32, device=device),
    }


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def _block_mask(part: Tensor) -> Tensor:
    """Bool ``[B, 1, L, L]``: who attends to whom. Padding attends to itself, since softmax over nothing is NaN."""
    length = part.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    queries, keys = part[:, :, None], part[:, None, :]
    visible = (keys == 0) | (keys == queries)
    return (causal & visible)[:, None]


def micro_batches(
    groups: Sequence[tuple[str, Sequence[Encoded]]], tokens: int, *, rows: int | None = None, pack: bool = True
) -> Iterator[list[int]]:
    """Indices of ``groups`` in pieces of about ``tokens`` padded tokens, at least one task and at most ``rows``.

    Similar lengths together, to spare padding.
    """
    sizes = [_tokens_of(instances, pack) for _, instances in groups]
    piece: list[int] = []
    for index in sorted(range(len(groups)), key=sizes.__getitem__):
        # Sorted: the newest is the longest.
        if piece and (sizes[index] * (len(piece) + 1) > tokens or len(piece) == rows):
            yield piece
            piece = []
        piece.append(index)
    yield piece


def _tokens_of(instances: Sequence[Encoded], pack: bool) -> int:
    """Tokens of one task's instances in a batch, without what pads them to another task's."""
    lengths = [len(one.prompt_ids) + len(one.target_ids) for one in instances]
    if not pack:
        return len(lengths) * max(lengths)
    prefix = common_prefix([one.prompt_ids for one in instances]) if len(instances) > 1 else 0
    return sum(lengths) - (len(lengths) - 1) * prefix


# ------------------------------------------------------------------------------------ forward


def base_of(model: nn.Module) -> Any:
    """The transformers model inside a peft wrapper, or the model itself."""
    wrapper: Any = model
    return wrapper.get_base_model() if hasattr(model, "get_base_model") else model


def virtual_tokens(model: nn.Module) -> tuple[int, ...]:
    """The ids that stand before every prompt of ``model``; none where no method inserted any (``soft_prompts``)."""
    embedding = base_of(model).get_input_embeddings()
    count = getattr(embedding, "virtual_tokens", 0)
    return tuple(range(embedding.num_embeddings, embedding.num_embeddings + count)) if count else ()


def target_logits(model: nn.Module, batch: Batch) -> Tensor:
    """``[N, vocabulary]`` float32 logits at the target tokens only.

    The vocabulary projection is a fifth of a small model and targets are a few tokens in hundreds. Models that
    scale or cap their logits after the projection are read through their own full forward pass.
    """
    base = base_of(model)
    rows, columns = batch.target_index.unbind(1)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.mask}
    with packed(batch.layout):
        if batch.decoder_ids is not None:
            logits = base(**inputs, decoder_input_ids=batch.decoder_ids, use_cache=False).logits[rows, columns]
        elif _plain_head(base):
            hidden = base.base_model(**inputs, position_ids=batch.positions, use_cache=False).last_hidden_state
            logits = base.get_output_embeddings()(hidden[rows, columns])
        else:
            logits = base(**inputs, position_ids=batch.positions, use_cache=False).logits[rows, columns]
    wide: Tensor = logits.float()
    return wide


def _plain_head(base: Any) -> bool:
    """Whether logits are just the output embedding of the last hidden state."""
    config = base.config
    shaped = ("final_logit_softcapping", "logits_scaling", "logit_scale", "lm_head_multiplier", "mup_width_multiplier")
    return base.base_model is not base and not any(getattr(config, name, None) for name in shaped)


def target_nll(logits: Tensor, batch: Batch) -> Tensor:
    """``[K]``: per task, the mean over its instances of their mean target negative log-likelihood."""
    each = nn.functional.cross_entropy(logits, batch.target_ids, reduction="none") * batch.target_weight
    return each.new_zeros(len(batch.tasks)).index_add(0, batch.target_task, each)
