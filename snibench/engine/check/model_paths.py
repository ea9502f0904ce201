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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from snibench.base.errors import ModelError, StoreError, first_line
from snibench.base.types import Checked, Paths
from snibench.contracts import Method
from snibench.engine.backbone import Backbone, base_of, read_backbone
from snibench.engine.check.probe import (
    FAULTS,
    LOSS_TOLERANCE,
    TOKENS,
    NoMethod,
    Numbers,
    begin_alike,
    certain_tokens,
    decoded,
    difference,
    generated,
    made_up_tasks,
    own_logits,
    per_task,
    plain_card,
)
from snibench.engine.losses import target_logits, target_nll
from snibench.engine.packed_attention import install
from snibench.engine.packing import make_batch
from snibench.engine.tokens import Encoded
from snibench.models.checked import check_place, kept_check
from snibench.models.find import ModelSource
from snibench.store import write_json


def check_model(source: ModelSource, *, device: str = "cpu", trust_remote_code: bool = False) -> Checked:
    """The fastest paths of a model that give its own loss, gradient and answers; kept, so that each is checked once.

    Raises:
        ModelError: If the model cannot be loaded whole, reads what comes later, or no path gives its own numbers.
    """
    if (known := kept_check(source)) is not None:
        return known
    checked = _checked(source, device, trust_remote_code)
    try:
        write_json(check_place(source), {"paths": asdict(checked.paths), "notes": list(checked.notes)})
    except StoreError as error:
        note = f"This model is checked again in every run: {first_line(error)} Or name another folder: SNIBENCH_HOME."
        return replace(checked, notes=(*checked.notes, note))
    return checked


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
    except FAULTS as error:
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
class _Truth:
    """Outputs of the model's own forward pass: numbers of training, and per prompt its answer up to a near-tie."""

    numbers: Numbers
    answers: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, backbone: Backbone) -> _Truth:
        """From one instance alone in its row at a time, all logits.

        Raises:
            ModelError: If its weights are no numbers, the model reads what comes later, or its ``generate`` says what
                its forward pass does not.
        """
        groups = made_up_tasks(backbone)
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
            backbone.model, lambda: per_task([_own_loss(backbone, one) for _, some in groups for one in some], groups)
        )
        if numbers.error:
            raise ModelError(f"{type(backbone.model).__name__} cannot be tuned: {numbers.error}")
        return cls(numbers, tuple(_own_answer(backbone, one) for _, some in groups for one in some))

    def difference(self, other: Numbers) -> str:
        """Differences of ``other`` from this, in words; empty if there are none."""
        return difference(self.numbers, other)

    def answers_differ(self, backbone: Backbone) -> str:
        """Differences between the answers, in words; empty if there are none."""
        groups = made_up_tasks(backbone)
        try:
            said, note = decoded(backbone, backbone.model, NoMethod(), groups)
        except FAULTS as error:
            return f"it cannot answer ({first_line(error)})"
        if note and backbone.paths.decoding == "fast":
            return note
        return "" if begin_alike(self.answers, said) else "its greedy answers differ"


def _finite(model: nn.Module) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def _reads_ahead(backbone: Backbone, instance: Encoded) -> bool:
    with torch.no_grad():
        without, within = own_logits(backbone, instance, ()), own_logits(backbone, instance, instance.target_ids)[:1]
    return not bool((without - within).abs().max() <= LOSS_TOLERANCE * without.abs().max())


def _own_loss(backbone: Backbone, instance: Encoded) -> Tensor:
    targets = torch.tensor(instance.target_ids, device=backbone.device)
    return nn.functional.cross_entropy(own_logits(backbone, instance, instance.target_ids[:-1]), targets)


def _training(backbone: Backbone) -> Numbers:
    """The numbers of a training step on the made-up tasks."""
    batch = make_batch(made_up_tasks(backbone), backbone, pack=backbone.packs)
    return _numbers(backbone.model, lambda: target_nll(target_logits(backbone.model, batch), batch))


def _numbers(model: nn.Module, losses: Callable[[], Tensor]) -> Numbers:
    """Losses, and their sum's gradient in the input embeddings, which everything behind them shapes."""
    weight = base_of(model).get_input_embeddings().weight.requires_grad_(True)
    try:
        each = losses()
        (gradient,) = torch.autograd.grad(each.sum(), weight)
    except FAULTS as error:
        return Numbers(torch.empty(0), torch.empty(0), f"its training step fails ({first_line(error)})")
    finally:
        weight.requires_grad_(False)
    return Numbers(each.detach().cpu(), gradient.flatten().cpu())


@torch.no_grad()
def _own_answer(backbone: Backbone, instance: Encoded) -> tuple[int, ...]:
    """The first tokens of the model's own greedy answer, as far as rounding could not change them.

    Raises:
        ModelError: If its ``generate`` says what its full forward pass does not.
    """
    answer = generated(backbone, backbone.model, cast(Method, NoMethod()), plain_card(""), instance, TOKENS)
    certain = certain_tokens(answer, own_logits(backbone, instance, answer[:-1]))
    if any(a != b for a, b in zip(certain, answer, strict=False)):
        raise ModelError(
            f"{type(backbone.model).__name__} in '{backbone.source.folder}' does not generate what its own full "
            "forward pass says is likeliest, so its answers cannot be trusted. Name another model."
        )
    return certain


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} further tensors" if len(names) > 1 else ""
    return f"'{names[0]}'{more}"
