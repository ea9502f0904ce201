"""A method's parameters in a model, counted: where they are, how many, and how each is moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snibench.base.errors import ModelError
from snibench.base.hashing import derive_seed
from snibench.base.registry import METHODS, RULES
from snibench.base.types import TaskCard
from snibench.contracts import Encode, Group, Method
from snibench.engine.adapted_layers import adapted_layers
from snibench.engine.backbone import base_of, read_backbone, skeleton
from snibench.engine.embeddings import InstructionEncoder
from snibench.fits.guard import StageFailed, guarded
from snibench.fits.isolation import isolated, seed_generators
from snibench.models.checked import known_check
from snibench.plan.on_model import OnModel

_MAX_INPUT = 1024  # tokens of a text that a method has embedded; sizes do not depend on it


@dataclass(frozen=True)
class MovedAlike:
    """Trainable parameters with the same optimizer settings."""

    group: Group
    tensors: int
    parameters: int


@dataclass(frozen=True)
class Attached:
    """The trainable part of a model.

    ``of_tasks``: trainable parameters that belong to single tasks. ``adapted``: the linear layers with any;
    ``adaptable``: all those that LoRA-like methods adapt. ``elsewhere``: trainable tensors outside of those layers and
    their numbers of parameters, largest first. ``rule``: combines the tasks' gradients. ``loaded``: weights were read.
    """

    trainable: int
    total: int
    of_tasks: int
    adapted: tuple[str, ...]
    adaptable: tuple[str, ...]
    elsewhere: dict[str, int]
    moved: tuple[MovedAlike, ...]
    rule: str
    loaded: bool


def attached(found: OnModel, *, trust_remote_code: bool = False) -> Attached:
    """The method of ``found`` in its model, which is built without its weights unless the method looks at them.

    Raises:
        ModelError: If the model cannot be loaded, or the method cannot be put into it.
    """
    cards = [found.suite.tasks[task].card for task in found.suite.seen]
    bare = skeleton(found.model, trust_remote_code=trust_remote_code)
    if bare is not None:
        try:
            return _attached(found, bare, cards, _shapes_only(bare), loaded=False)
        except StageFailed:
            pass  # it looks at weights or embeddings: only these say what comes of it
    paths = known_check(found.model).paths
    backbone = read_backbone(found.model, paths, trust_remote_code=trust_remote_code)
    encode = InstructionEncoder(backbone, _MAX_INPUT)
    try:
        return _attached(found, backbone.model, cards, encode, loaded=True)
    except StageFailed as failure:
        raise ModelError(
            f"{found.choice.label} cannot be put into {found.model.ref.spec}: {failure.cause}"
        ) from failure


def _attached(
    found: OnModel,
    model: nn.Module,
    cards: Sequence[TaskCard],
    encode: Encode,
    *,
    loaded: bool,
) -> Attached:
    adaptable = adapted_layers(model)
    with isolated(), guarded("attach"):
        method_type = METHODS.get(found.choice.name)
        method: Method = method_type(method_type.Settings(**found.choice.settings_of(0)))
        seed = derive_seed("initial values", 0)
        seed_generators(seed)
        tuned = method.attach(model.requires_grad_(False), cards, encode, seed)
        named = {name: parameter for name, parameter in tuned.named_parameters() if parameter.requires_grad}
        groups = method.groups(named) if named else {}
        of_tasks = sum(parameter.numel() for parameter in method.task_parameters(tuned))
        rule = found.choice.rule or (RULES.name_of(type(method.rule())) if found.choice.trains else "")
    places = {name: _layer_of(name, adaptable) for name in named}
    elsewhere = {name: parameter.numel() for name, parameter in named.items() if not places[name]}
    return Attached(
        trainable=sum(parameter.numel() for parameter in named.values()),
        total=sum(parameter.numel() for parameter in tuned.parameters()),
        of_tasks=of_tasks,
        adapted=tuple(name for name in adaptable if name in set(places.values())),
        adaptable=tuple(adaptable),
        elsewhere=dict(sorted(elsewhere.items(), key=lambda one: -one[1])),
        moved=_moved_alike((groups.get(name, Group()), parameter) for name, parameter in named.items()),
        rule=rule,
        loaded=loaded,
    )


def _shapes_only(model: nn.Module) -> Encode:
    """Embeddings without numbers: whatever depends on one of them raises."""
    width = base_of(model).config.get_text_config().hidden_size
    return lambda texts: torch.empty(len(texts), width, device="meta")


def _layer_of(parameter: str, layers: Sequence[str]) -> str:
    """The layer inside of which a parameter stands, under whatever wrapper; "" for none."""
    return next((layer for layer in layers if f".{layer}." in f".{parameter}"), "")


def _moved_alike(parameters: Iterable[tuple[Group, Tensor]]) -> tuple[MovedAlike, ...]:
    """Largest first."""
    tensors: Counter[Group] = Counter()
    numbers: Counter[Group] = Counter()
    for group, parameter in parameters:
        tensors[group] += 1
        numbers[group] += parameter.numel()
    return tuple(MovedAlike(group, tensors[group], size) for group, size in numbers.most_common())
