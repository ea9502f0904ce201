"""The optimizer of a recipe, the same for all methods of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.types import Recipe

Groups = Sequence[Mapping[str, Any]]  # as torch's: "params", and what else holds for them
State = dict[str, Any]
# Devices with one kernel for a whole step of AdamW, in every torch that is served.
_FUSED = {"cpu", "cuda", "mps"}


class Together:
    """Several optimizers of different parameters as one: the interface that a training step and a checkpoint use."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all of them: the very ones, so that a new learning rate reaches its optimizer."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def step(self) -> None:
        """One step of each."""
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> State:
        """The states of all, as one optimizer's: parameters are numbered through."""
        state: dict[int, Any] = {}
        groups = []
        for first, part in zip(self._firsts(), (one.state_dict() for one in self.optimizers), strict=True):
            state |= {first + number: values for number, values in part["state"].items()}
            groups += [{**one, "params": [first + number for number in one["params"]]} for one in part["param_groups"]]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state: State) -> None:
        """Restore the result of ``state_dict``."""
        groups = iter(state["param_groups"])
        for first, optimizer in zip(self._firsts(), self.optimizers, strict=True):
            own = [next(groups) for _ in optimizer.param_groups]
            numbers = [number for group in own for number in group["params"]]
            optimizer.load_state_dict(
                {
                    "state": {n - first: state["state"][n] for n in numbers if n in state["state"]},
                    "param_groups": [{**group, "params": [n - first for n in group["params"]]} for group in own],
                }
            )

    def _firsts(self) -> list[int]:
        """The number of each optimizer's first parameter."""
        sizes = [sum(len(group["params"]) for group in optimizer.param_groups) for optimizer in self.optimizers]
        return [0, *accumulate(sizes[:-1])]


def make_optimizer(recipe: Recipe, model: nn.Module, groups: Groups) -> torch.optim.Optimizer | Together:
    """``recipe.optimizer`` of the parameters in ``groups``; a weight decay only where a group has one.

    ``adamw`` (0.9, 0.999); ``sgd`` with a momentum of 0.9; ``muon`` for matrices, with updates as large as AdamW's, so
    that one rate has about one meaning, and AdamW for embeddings, norms and biases.

    Source:
        Jordan et al., Muon: an optimizer for hidden layers (2024); the size of its updates from Liu et al., Muon is
        scalable for LLM training (2025).
    """
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(_copied(groups), lr=recipe.learning_rate, momentum=0.9)
    if recipe.optimizer == "adamw":
        return _adamw(recipe, groups)
    looked_up = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}

    def is_matrix(parameter: Tensor) -> bool:
        return parameter.ndim == 2 and id(parameter) not in looked_up

    matrices = _those(groups, is_matrix)
    others = _those(groups, lambda parameter: not is_matrix(parameter))
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        parts.append(
            torch.optim.Muon(
                _copied(matrices), lr=recipe.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
            )
        )
    if others:
        parts.append(_adamw(recipe, others))
    return Together(*parts)


def _adamw(recipe: Recipe, groups: Groups) -> torch.optim.Optimizer:
    devices = {parameter.device.type for group in groups for parameter in group["params"]}
    return torch.optim.AdamW(
        _copied(groups), lr=recipe.learning_rate, betas=(0.9, 0.999), weight_decay=0.0, fused=devices <= _FUSED
    )


def _those(groups: Groups, chosen: Any) -> list[dict[str, Any]]:
    """``groups`` with the wanted parameters alone, without the groups that have none."""
    parts = [{**group, "params": [parameter for parameter in group["params"] if chosen(parameter)]} for group in groups]
    return [part for part in parts if part["params"]]


def _copied(groups: Groups) -> list[dict[str, Any]]:
    return [dict(group) for group in groups]  # torch writes its options into them
