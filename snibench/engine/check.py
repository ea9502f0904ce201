"""Whether a model and a method are read right: the engine's paths held against the model's own forward pass.

A fast path that differs from transformers without a word is the worst fault that a benchmark can have. So before a
model is used it reads two made-up tasks in float32: loss, gradient and greedy answers of each path beside the model's
own full forward pass, one instance alone in its row, eager attention. ``Paths`` names the fastest paths that agree; a
model for which none does is refused. The decision is part of every fit's id, and made once for a model.

Tolerances are far from rounding (1e-6 to 1e-5 here) and from what leaks or caps change (1e-2 and more), so that no
machine decides otherwise.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from snibench.base.errors import ModelError, StoreError, first_line
from snibench.base.hashing import digest
from snibench.base.types import Checked, FitSpec, Paths, Prompt, Segment, TaskCard
from snibench.contracts import Method
from snibench.engine.backbone import Backbone, base_of, read_backbone
from snibench.engine.decoding import Prompted, choose
from snibench.engine.decoding.decoder import Tokens
from snibench.engine.decoding.generate import GenerateDecoder
from snibench.engine.losses import target_logits, target_nll
from snibench.engine.packed_attention import install
from snibench.engine.packing import make_batch
from snibench.engine.tokens import Encoded, Encoder
from snibench.models.checked import check_place, kept_check
from snibench.models.find import ModelSource
from snibench.store import write_json

# How far two losses may lie apart (relative, but at least to 1), and two gradients (relative to their norm).
_LOSS, _GRADIENT = 1e-4, 2e-3
# Two logits nearer than this share of the logits' spread are a tie: rounding may order them either way.
_TIE = 2e-3
# Tokens of an answer that are compared.
_TOKENS = 5
# How far trainable parameters are moved from their start, where most methods are the base model.
_MOVE = 0.05

_TEXTS = {
    "colour": ("Read the text below and say with a single word of English which colour the text is about.\nText: ",
               (("A red house stands by the sea.\nColour:", "red"), ("Green hills.\nColour:", "green"),
                ("The old man wore a coat as blue as the sky at noon.\nColour:", "blue"))),
    "animal": ("You are given a sentence. Answer with the animal that the sentence names, and nothing else.\nInput: ",
               (("My dog sleeps.\nOutput:", "dog"), ("Two horses ran over the hill in the rain.\nOutput:", "horse"),
                ("A cat sat on the mat.\nOutput:", "cat"))),
}  # fmt: skip


# ------------------------------------------------------------------------------------- models


def check_model(source: ModelSource, *, device: str = "cpu", trust_remote_code: bool = False) -> Checked:
    """The fastest paths of a model that give its own loss, gradient and answers; kept, so that each is checked once.

    Raises:
        ModelError: If the model cannot be loaded whole, reads what comes later, or no path gives its own numbers.
    """
    if (known := kept_check(source)) is not None:
        return known
    found = _checked(source, device, trust_remote_code)
    try:
        write_json(check_place(source), {"paths": asdict(found.paths), "notes": list(found.notes)})
    except StoreError as error:
        note = f"This model is checked again in every run: {first_line(error)} Or name another folder: SNIBENCH_HOME."
        return replace(found, notes=(*found.notes, note))
    return found


def _checked(source: ModelSource, device: str, trust_remote_code: bool) -> Checked:
    options: Mapping[str, Any] = {"device": device, "trust_remote_code": trust_remote_code}
    notes: list[str] = []
    exact = Paths("eager", "single", "generate")
    try:
        own = read_backbone(source, exact, **options)
    except ModelError:  # a few models have no eager attention
        exact = replace(exact, attention="sdpa")
        own = read_backbone(source, exact, **options)
    name = type(own.model).__name__
    if own.unexpected:
        notes.append(f"{name} has no place for {_listed(own.unexpected)} of the model's files: left out.")
    try:
        truth = _Truth.of(own)
    except _FAULTS as error:
        raise ModelError(
            f"{name} in '{source.folder}' cannot be read even by transformers' own passes ({first_line(error)}). "
            "Mend its config.json, or name another model."
        ) from error
    del own
    gc.collect()
    tried = ("sdpa", "eager") if exact.attention == "eager" else ("sdpa",)
    return Checked(_fastest(source, truth, tried, options, notes, name), tuple(notes))


def _fastest(
    source: ModelSource, truth: _Truth, tried: Sequence[str], options: Mapping[str, Any], notes: list[str], name: str
) -> Paths:
    """The fastest paths that agree with ``truth``; why no faster ones do goes to ``notes``."""
    differs = ""
    for attention in tried:
        try:
            backbone = read_backbone(source, Paths(attention, "single", "batched"), **options)  # type: ignore[arg-type]
        except ModelError as error:
            differs = str(error)
            continue
        if differs := truth.difference(_training(backbone)):
            continue
        if attention != "sdpa":
            notes.append(f"Eager attention, which is slower: no other gives the numbers of {name}.")
        ways = [backbone]
        if attention == "sdpa" and not backbone.encoder_decoder:
            packed = replace(backbone, paths=Paths("sdpa", "packed", "fast"))
            if not (why := _why_not_packed(backbone) or _packed_differs(packed, truth)):
                ways = [packed, replace(packed, paths=Paths("sdpa", "packed", "batched")), backbone]
            else:
                backbone.model.set_attn_implementation("sdpa")
                notes.append(f"No shared prefixes in training: {why}.")
        last = ways[-1].paths
        for way in [*ways, replace(backbone, paths=replace(last, decoding="generate"))]:
            if not (differs := truth.answers_differ(way)):
                if way.paths.decoding == "generate":
                    notes.append("Answers through the model's own generate, which is slower: padded rows give others.")
                return way.paths
    raise ModelError(f"{name} in '{source.folder}' cannot be read as transformers reads it: {differs}. Name another.")


def _packed_differs(packed: Backbone, truth: _Truth) -> str:
    if packed.device.type == "cpu":
        install(packed.model)
    return truth.difference(_training(packed)) and "instances of one row are not kept apart"


def _why_not_packed(backbone: Backbone) -> str:
    """Windows and chunks of the config, which act on long rows only and so escape a short probe; empty if none."""
    config = backbone.model.config
    for one in (config, config.get_text_config()):
        types = set(getattr(one, "layer_types", None) or ())
        window = getattr(one, "sliding_window", None) and getattr(one, "use_sliding_window", True)
        if types - {"full_attention"} or (not types and window):
            return "not every layer attends to the whole past"
    return ""


@dataclass(frozen=True)
class _Numbers:
    """``losses [K]`` and ``gradient`` (flat: of the input embeddings, or of all that is trained), or an ``error``."""

    losses: Tensor
    gradient: Tensor
    error: str = ""


@dataclass(frozen=True)
class _Truth:
    """Outputs of the model's own forward pass: numbers of training, and per prompt its answer up to a near-tie."""

    numbers: _Numbers
    answers: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, backbone: Backbone) -> _Truth:
        """From one instance alone in its row at a time, all logits.

        Raises:
            ModelError: If its weights are no numbers, the model reads what comes later, or its ``generate`` says what
                its forward pass does not.
        """
        groups = _groups(backbone)
        if not _finite(backbone.model):
            raise ModelError(
                f"The weights in '{backbone.source.folder}' hold NaN or infinite values. Fetch or save them again."
            )
        if _reads_ahead(backbone, groups[0][1][0]):
            cause = (
                "its decoder has no causal mask, or masks its start token as padding"
                if backbone.encoder_decoder
                else "an encoder without a causal mask"
            )
            raise ModelError(
                f"{type(backbone.model).__name__} in '{backbone.source.folder}' sees tokens that come later ({cause}), "
                "so it cannot answer. Name a model that continues text."
            )
        numbers = _numbers(
            backbone.model, lambda: _per_task([_own_loss(backbone, one) for _, some in groups for one in some], groups)
        )
        if numbers.error:
            raise ModelError(f"{type(backbone.model).__name__} cannot be tuned: {numbers.error}")
        return cls(numbers, tuple(_own_answer(backbone, one) for _, some in groups for one in some))

    def difference(self, other: _Numbers) -> str:
        """Differences of ``other`` from this, in words; empty if there are none."""
        return _difference(self.numbers, other)

    def answers_differ(self, backbone: Backbone) -> str:
        """Differences between the answers, in words; empty if there are none."""
        groups = _groups(backbone)
        try:
            said, note = _said(backbone, backbone.model, _Plain(), groups)
        except _FAULTS as error:
            return f"it cannot answer ({first_line(error)})"
        if note and backbone.paths.decoding == "fast":
            return note
        return "" if _same(self.answers, said) else "its greedy answers differ"


def _difference(expected: _Numbers, found: _Numbers) -> str:
    if found.error:
        return found.error
    gap = float(((found.losses - expected.losses).abs() / expected.losses.abs().clamp(min=1)).max())
    if not gap <= _LOSS:
        return f"its loss is off by {gap:.1e}"
    gap = float((found.gradient - expected.gradient).norm() / expected.gradient.norm().clamp(min=1e-6))
    return "" if gap <= _GRADIENT else f"its gradient is off by {gap:.1e}"


# Whatever a path raises inside a model that it does not suit.
_FAULTS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    AssertionError,
)


# ------------------------------------------------------------------------------------ methods

_agreed: set[str] = set()  # fits whose method and model were found right in this process


def check_method(
    backbone: Backbone, method: Method, model: nn.Module, cards: Sequence[TaskCard], spec: FitSpec
) -> None:
    """Hold a method, attached to a model, against itself with every instance alone in its row.

    In evaluation mode and float32, all trainable parameters moved off their start (where most methods are the base
    model) and put back bit by bit. Once for a method, its settings and a model. ``cards``: seen tasks.

    Raises:
        ModelError: If its loss, gradient or greedy answers differ on the paths that the model is read by.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    key = digest([spec.method, spec.settings, spec.source, spec.model.digest, asdict(spec.paths), len(cards)])
    if not trained or not cards or key in _agreed:
        return
    name = f"{spec.label} in {type(base_of(model)).__name__}"
    with _moved(model, trained):
        try:
            differs = _method_differs(backbone, method, model, trained, cards)
        except _FAULTS as error:
            raise ModelError(f"{name} cannot be read ({first_line(error)}). Take another method or model.") from error
    if differs:
        raise ModelError(f"{name} {differs}")
    _agreed.add(key)


def _method_differs(
    backbone: Backbone, method: Method, model: nn.Module, trained: Sequence[nn.Parameter], cards: Sequence[TaskCard]
) -> str:
    """Differences from every instance alone, and the remedy; empty if there are none."""
    groups = _groups(backbone, [card.name for card in cards])
    single: list[Groups] = [[(task, [one])] for task, some in groups for one in some]
    alone = _method_numbers(model, method, trained, backbone, single)
    expected = replace(alone, losses=_per_task(list(alone.losses), groups))
    packs = backbone.packs and method.shares_prefixes
    if differs := _difference(expected, _method_numbers(model, method, trained, backbone, [groups], pack=packs)):
        how = "Set shares_prefixes = False in the method." if packs else "Its losses must not depend on other rows."
        return f"is not trained as with one instance a row: {differs}. {how}"
    answers = [
        one
        for card, (_, some) in zip(cards, groups, strict=False)
        for one in _method_answer(backbone, model, method, card, some)
    ]
    said, _ = _said(backbone, model, method, groups, cards)
    if _same(answers, said):
        return ""
    return "does not answer as with one prompt a row. Set shares_prefixes = False in the method."


def _method_numbers(
    model: nn.Module,
    method: Method,
    trained: Sequence[nn.Parameter],
    backbone: Backbone,
    batches: Sequence[Groups],
    *,
    pack: bool = False,
) -> _Numbers:
    """Losses of all batches, and the gradient of their sum, each batch by the share of its task that it holds."""
    shares = Counter(task for groups in batches for task, _ in groups)  # batches that a task is spread over
    losses: list[Tensor] = []
    total: list[Tensor] = [torch.zeros_like(parameter) for parameter in trained]
    for groups in batches:
        found: Any = method.losses(model, make_batch(groups, backbone, pack=pack))
        loss: Tensor = getattr(found, "tasks", found)
        weights = loss.new_tensor([1 / shares[task] for task, _ in groups])
        gradients = torch.autograd.grad((weights * loss).sum(), trained, allow_unused=True)
        total = [one if new is None else one + new for one, new in zip(total, gradients, strict=True)]
        losses.append(loss.detach().float().cpu())
    return _Numbers(torch.cat(losses), torch.cat([one.flatten().cpu() for one in total]))


@torch.no_grad()
def _method_answer(
    backbone: Backbone, model: nn.Module, method: Method, card: TaskCard, some: Sequence[Encoded]
) -> list[tuple[int, ...]]:
    """First tokens of the answers to one task's prompts, each alone in its row, up to a near-tie."""
    answers = []
    for one in some:
        said = _generated(backbone, model, method, card, one, _TOKENS if method.shares_prefixes else 1)
        with method.for_prompts(model, [card], [one.prompt.instruction]):
            logits = _own_logits(backbone, one, said[:-1])
        answers.append(_certain(said, logits))
    return answers


@contextmanager
def _moved(model: nn.Module, trained: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside: evaluation mode, float32, trainable parameters moved; then all as it was, random state included."""
    mode = model.training
    kept = [(parameter, parameter.data) for parameter in model.parameters()]
    buffers = [
        (module, name, value)
        for module in model.modules()
        for name, value in module._buffers.items()
        if value is not None and value.is_floating_point()
    ]
    generator = torch.Generator().manual_seed(0)
    moving = {id(parameter) for parameter in trained}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            model.eval()
            for module, name, value in buffers:
                module._buffers[name] = value.float()
            for parameter, value in kept:
                parameter.data = value.float()
                if id(parameter) in moving:
                    step = torch.randn(value.shape, generator=generator).to(value.device)
                    parameter.data = parameter.data + _MOVE * step
            yield
        finally:
            for parameter, value in kept:
                parameter.data = value
            for module, name, value in buffers:
                module._buffers[name] = value
            model.train(mode)


# ------------------------------------------------------------------------------------ probing


class _Plain:
    """Stands in for a method: no parameters, no hooks."""

    shares_prefixes = True

    @contextmanager
    def for_prompts(self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]) -> Iterator[None]:
        yield


Groups = list[tuple[str, list[Encoded]]]  # made-up tasks, each with its instances


def _groups(backbone: Backbone, names: Sequence[str] = tuple(_TEXTS)) -> Groups:
    """The made-up tasks as tokens, under these names."""
    encoder = Encoder(backbone, 1 << 20, 64)
    groups = []
    for name, (instruction, instances) in zip(names, _TEXTS.values(), strict=False):
        prompts = [Prompt((Segment("instruction", instruction), Segment("input", text))) for text, _ in instances]
        groups.append((name, encoder.pairs(prompts, [answer for _, answer in instances])))
    return groups


def _card(name: str) -> TaskCard:
    return TaskCard(name, "", (), (), "", (), (), None, "exact_match")


def _own_logits(backbone: Backbone, one: Encoded, following: Sequence[int]) -> Tensor:
    """``[1 + n, V]`` logits after the prompt and after each of n following tokens, of the model's own forward pass."""
    base, device = base_of(backbone.model), backbone.device
    if backbone.encoder_decoder:
        spoken = torch.tensor([[base.config.decoder_start_token_id, *following]], device=device)
        inputs = {"input_ids": torch.tensor([one.prompt_ids], device=device), "decoder_input_ids": spoken}
    else:
        inputs = {"input_ids": torch.tensor([[*one.prompt_ids, *following]], device=device)}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    logits: Tensor = base(**inputs, use_cache=False).logits[0].float()
    return logits[-1 - len(following) :]


def _finite(model: nn.Module) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def _reads_ahead(backbone: Backbone, one: Encoded) -> bool:
    with torch.no_grad():
        alone, before = _own_logits(backbone, one, ()), _own_logits(backbone, one, one.target_ids)[:1]
    return not bool((alone - before).abs().max() <= _LOSS * alone.abs().max())


def _own_loss(backbone: Backbone, one: Encoded) -> Tensor:
    targets = torch.tensor(one.target_ids, device=backbone.device)
    return nn.functional.cross_entropy(_own_logits(backbone, one, one.target_ids[:-1]), targets)


def _per_task(losses: Sequence[Tensor], groups: Groups) -> Tensor:
    return torch.stack(list(losses)).view(len(groups), -1).mean(1)


def _training(backbone: Backbone) -> _Numbers:
    """The numbers of a training step on the made-up tasks."""
    batch = make_batch(_groups(backbone), backbone, pack=backbone.packs)
    return _numbers(backbone.model, lambda: target_nll(target_logits(backbone.model, batch), batch))


def _numbers(model: nn.Module, losses: Callable[[], Tensor]) -> _Numbers:
    """Losses, and their sum's gradient in the input embeddings, which everything behind them shapes."""
    weight = base_of(model).get_input_embeddings().weight.requires_grad_(True)
    try:
        each = losses()
        (gradient,) = torch.autograd.grad(each.sum(), weight)
    except _FAULTS as error:
        return _Numbers(torch.empty(0), torch.empty(0), f"its training step fails ({first_line(error)})")
    finally:
        weight.requires_grad_(False)
    return _Numbers(each.detach().cpu(), gradient.flatten().cpu())


@torch.no_grad()
def _own_answer(backbone: Backbone, one: Encoded) -> tuple[int, ...]:
    """The first tokens of the model's own greedy answer, as far as rounding could not change them.

    Raises:
        ModelError: If its ``generate`` says what its full forward pass does not.
    """
    said = _generated(backbone, backbone.model, cast(Method, _Plain()), _card(""), one, _TOKENS)
    certain = _certain(said, _own_logits(backbone, one, said[:-1]))
    if any(a != b for a, b in zip(certain, said, strict=False)):
        raise ModelError(
            f"{type(backbone.model).__name__} in '{backbone.source.folder}' does not generate what its own full "
            "forward pass says is likeliest, so its answers cannot be trusted. Name another model."
        )
    return certain


@torch.no_grad()
def _generated(
    backbone: Backbone, model: nn.Module, method: Method, card: TaskCard, one: Encoded, most: int
) -> tuple[int, ...]:
    """At most ``most`` tokens of the answer to one prompt by the model's own ``generate``, whatever ends it."""
    decoder = GenerateDecoder(backbone, model, method, Encoder(backbone, 1 << 20, most))
    ((_, completion),) = decoder.complete([Tokens(Prompted(card, one.prompt, "", stop=""), one)])
    return completion.ids


def _certain(said: Sequence[int], logits: Tensor) -> tuple[int, ...]:
    """The likeliest tokens while they are what was said, up to a near-tie; ``logits [n, V]`` of these places."""
    certain: list[int] = []
    for token, here in zip(said, logits, strict=True):
        first, second = here.topk(2).values.tolist()
        if first - second < _TIE * float(here.max() - here.min()):
            break
        certain.append(int(here.argmax()))
        if certain[-1] != token:
            break
    return tuple(certain)


def _said(
    backbone: Backbone, model: nn.Module, method: Any, groups: Groups, cards: Sequence[TaskCard] = ()
) -> tuple[list[tuple[int, ...]], str]:
    """The first tokens of the answers to all prompts as the engine decodes them, and a note of doing so, if any."""
    decoder, note = choose(backbone, model, method, Encoder(backbone, 1 << 20, _TOKENS))
    known = {card.name: card for card in cards}
    asked = [Prompted(known.get(name) or _card(name), one.prompt, name) for name, some in groups for one in some]
    return decoder.token_ids(asked), note


def _same(expected: Sequence[Sequence[int]], found: Sequence[Sequence[int]]) -> bool:
    """Whether all answers begin alike; one may have ended where the other went on."""
    pairs = list(zip(expected, found, strict=True))
    return all(tuple(a[: len(b)]) == tuple(b[: len(a)]) for a, b in pairs)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} further tensors" if len(names) > 1 else ""
    return f"'{names[0]}'{more}"
