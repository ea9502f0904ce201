"""A method held against itself with every instance alone in its row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.errors import ModelError, first_line
from snibench.base.hashing import digest
from snibench.base.types import FitSpec, TaskCard
from snibench.contracts import Method
from snibench.engine.backbone import Backbone, base_of
from snibench.engine.check.probe import (
    FAULTS,
    TOKENS,
    Groups,
    Numbers,
    begin_alike,
    certain_tokens,
    decoded,
    difference,
    generated,
    made_up_tasks,
    own_logits,
    per_task,
)
from snibench.engine.packing import make_batch
from snibench.engine.tokens import Encoded

# How far trainable parameters are moved from their start, where most methods are the base model.
_MOVE = 0.05


_agreed: set[str] = set()  # fits whose method and model were found right in this process


def forget_checks() -> None:
    """Check every method anew in this process."""
    _agreed.clear()


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
        except FAULTS as error:
            raise ModelError(f"{name} cannot be read ({first_line(error)}). Take another method or model.") from error
    if differs:
        raise ModelError(f"{name} {differs}")
    _agreed.add(key)


def _method_differs(
    backbone: Backbone, method: Method, model: nn.Module, trained: Sequence[nn.Parameter], cards: Sequence[TaskCard]
) -> str:
    """Differences from every instance alone, and the remedy; empty if there are none."""
    groups = made_up_tasks(backbone, [card.name for card in cards])
    single: list[Groups] = [[(task, [one])] for task, some in groups for one in some]
    alone = _method_numbers(model, method, trained, backbone, single)
    expected = replace(alone, losses=per_task(list(alone.losses), groups))
    packs = backbone.packs and method.shares_prefixes
    if differs := difference(expected, _method_numbers(model, method, trained, backbone, [groups], pack=packs)):
        how = "Set shares_prefixes = False in the method." if packs else "Its losses must not depend on other rows."
        return f"is not trained as with one instance a row: {differs}. {how}"
    answers = [
        one
        for card, (_, some) in zip(cards, groups, strict=False)
        for one in _method_answer(backbone, model, method, card, some)
    ]
    said, _ = decoded(backbone, model, method, groups, cards)
    if begin_alike(answers, said):
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
) -> Numbers:
    """Losses of all batches, and the gradient of their sum, each batch by the share of its task that it holds."""
    shares = Counter(task for groups in batches for task, _ in groups)  # batches that a task is spread over
    losses: list[Tensor] = []
    total: list[Tensor] = [torch.zeros_like(parameter) for parameter in trained]
    for groups in batches:
        result: Any = method.losses(model, make_batch(groups, backbone, pack=pack))
        loss: Tensor = getattr(result, "tasks", result)
        weights = loss.new_tensor([1 / shares[task] for task, _ in groups])
        gradients = torch.autograd.grad((weights * loss).sum(), trained, allow_unused=True)
        total = [one if new is None else one + new for one, new in zip(total, gradients, strict=True)]
        losses.append(loss.detach().float().cpu())
    return Numbers(torch.cat(losses), torch.cat([one.flatten().cpu() for one in total]))


@torch.no_grad()
def _method_answer(
    backbone: Backbone, model: nn.Module, method: Method, card: TaskCard, some: Sequence[Encoded]
) -> list[tuple[int, ...]]:
    """First tokens of the answers to one task's prompts, each alone in its row, up to a near-tie."""
    answers = []
    for one in some:
        said = generated(backbone, model, method, card, one, TOKENS if method.shares_prefixes else 1)
        with method.for_prompts(model, [card], [one.prompt.instruction]):
            logits = own_logits(backbone, one, said[:-1])
        answers.append(certain_tokens(said, logits))
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
