"""Poly: a few skills, each a low-rank adapter, and for every task which of them it uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from peft.tuners.poly import PolyLayer
from torch import Tensor, nn

from snibench.api import BaseMethod, Batch, Count, Encode, Group, ModelInfo, Positive, Routing, TaskCard
from snibench_peft.attaching import attach_adapter, no_place_for_linear


@dataclass(frozen=True, slots=True)
class PolySettings:
    """``skills`` adapters of ``r`` ranks a layer. ``splits``: parts of each layer with a routing of their own (MHR).

    ``router_ratio``: the routers' learning rate as a multiple of the skills', which have the run's.
    """

    r: Count = 2
    skills: Count = 4
    splits: Count = 1
    router_ratio: Positive = 100.0


class Poly(BaseMethod):
    """A task's update in a layer is a mixture of a few shared low-rank adapters, its shares learned per task.

    In training the shares are sampled (relaxed Bernoulli), in answering they are the sigmoids over their sum. An
    unseen task uses all skills equally: the last row of every router, which no task trains, stays at 0. The routers
    learn at a hundred times the skills' learning rate, as in the authors' library (0.1 and 1e-3).

    Source: Ponti et al., Combining Parameter-efficient Modules for Task-level Generalisation (EACL 2023); several
    splits: Caccia et al., Multi-Head Adapter Routing (NeurIPS 2023); through peft.
    """

    Settings: ClassVar[type] = PolySettings

    def unfit(self, info: ModelInfo) -> str | None:
        """Its layers take the place of plain linear ones."""
        return no_place_for_linear(info, "poly")

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with skills and a router on every linear layer of its blocks."""
        settings = self.settings
        self._index = {card.name: index for index, card in enumerate(cards)}
        adapted = attach_adapter(
            model,
            "POLY",
            seed,
            r=settings.r,
            n_skills=settings.skills,
            n_tasks=len(cards) + 1,
            n_splits=settings.splits,
            target_modules="all-linear",
        )
        self._routing = Routing()
        for layer in adapted.modules():
            if isinstance(layer, PolyLayer):
                layer.register_forward_pre_hook(self._tell, with_kwargs=True)
        with torch.no_grad():
            for logits in self.task_parameters(adapted):
                logits[-1] = 0
        return adapted

    def task_parameters(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """Every layer's ``[T + 1, splits * skills]`` routing logits."""
        return [parameter for name, parameter in model.named_parameters() if name.endswith("module_logits")]

    def groups(self, named: Mapping[str, nn.Parameter]) -> Mapping[str, Group]:
        """The routers at their own learning rate."""
        ratio = self.settings.router_ratio
        return {name: Group(scale=ratio) for name in named if name.endswith("module_logits")}

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]`` mean target NLL, each task through its own mixture."""
        tasks = torch.tensor([self._index[task] for task in batch.tasks], device=batch.row_task.device)
        with self._routing.using(tasks[batch.row_task]):
            return super().losses(model, batch)

    @contextmanager
    def for_prompts(self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]) -> Iterator[None]:
        """A seen task's rows through its own mixture, an unseen one's through all skills equally."""
        rows = [self._index.get(card.name, len(self._index)) for card in cards]
        with self._routing.using(torch.tensor(rows, device=next(model.parameters()).device)):
            yield

    def _tell(self, layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """peft hands task ids down from its wrapper, which the harness does not call."""
        return args, {**kwargs, "task_ids": self._routing.rows}
