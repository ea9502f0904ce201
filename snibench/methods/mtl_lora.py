"""MTL-LoRA: shared down-projection, several shared up-projections, a transform and a routing per task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from snibench.base.bounds import Count, Dropout, Positive
from snibench.base.lazy import nn, torch
from snibench.base.types import TaskCard
from snibench.contracts import Encode
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class MtlLoraSettings:
    """``experts``: n up-projections; ``temperature``: tau of their softmax; ``diagonal``: Lambda holds r numbers only.

    ``unseen``: how a task that was not trained on is routed: "mixture" of the seen tasks' updates by the similarity
    of the instructions, their "mean", or the "nearest" one's. ``sharpness``: temperature of that similarity.
    """

    r: Count = 8
    alpha: Count = 16
    experts: Count = 3
    temperature: Positive = 0.1
    diagonal: bool = False
    unseen: Literal["mixture", "mean", "nearest"] = "mixture"
    sharpness: Positive = 0.1
    dropout: Dropout = 0.0


class MtlLora(BaseMethod):
    """Low-rank adapters with a shared A, several shared B, and per task a transform and a routing.

    ``h = W x + (alpha/r) sum_i softmax(omega_t/tau)_i B_i Lambda_t A x`` for task t. The source answers only for
    tasks it was trained on. For an unseen task u this method applies the exact mixture ``sum_t p_t DeltaW_t`` of the
    seen tasks' updates, p by the similarity of u's instruction, as rendered, to theirs.

    Source: Yang et al., MTL-LoRA: Low-Rank Adaptation for Multi-Task Learning (AAAI 2025).
    """

    Settings: ClassVar[type] = MtlLoraSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with a task-routed layer in place of every linear one."""
        from snibench.engine.adapters import Routing, TaskRoutedLayer, draw_down_projections, insert

        settings = self.settings
        self._routing = Routing()
        self._index = {card.name: index for index, card in enumerate(cards)}
        self._encode = encode
        known = encode([card.definition for card in cards])  # [T, H]
        self._center = known.mean(0)
        self._known = nn.functional.normalize(known - self._center, dim=-1)
        self._mixtures: dict[str, Tensor] = {}
        insert(
            model,
            lambda base: TaskRoutedLayer(
                base,
                tasks=len(cards),
                rank=settings.r,
                scale=settings.alpha / settings.r,
                experts=settings.experts,
                temperature=settings.temperature,
                diagonal=settings.diagonal,
                state=self._routing,
                dropout=settings.dropout,
            ),
        )
        draw_down_projections(model, seed)
        return model

    def task_parameters(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """Every layer's transforms and routings."""
        from snibench.engine.adapters import TaskRoutedLayer

        layers = [module for module in model.modules() if isinstance(module, TaskRoutedLayer)]
        return [parameter for layer in layers for parameter in (layer.transform, layer.routing)]

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]`` mean target NLL, each task through its own transform and routing."""
        tasks = torch.tensor([self._index[task] for task in batch.tasks], device=batch.row_task.device)
        with self._routing.using(batch.row_task, tasks=tasks):
            return super().losses(model, batch)

    @contextmanager
    def for_prompts(self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]) -> Iterator[None]:
        """A seen task's rows through its own update, an unseen one's through a mixture of all."""
        from snibench.engine.adapters import rows_of

        distinct, rows = rows_of(list(zip((card.name for card in cards), instructions, strict=True)))
        mixture = torch.stack([self._mixture(name, instruction) for name, instruction in distinct])
        with self._routing.using(torch.tensor(rows, device=mixture.device), mixture=mixture):
            yield

    def _mixture(self, task: str, instruction: str) -> Tensor:
        """``[T]`` shares of the seen tasks in the update for one prompt; a seen task's own is one-hot."""
        count, device = len(self._index), self._known.device
        if task in self._index:
            return nn.functional.one_hot(torch.tensor(self._index[task], device=device), count).float()
        if self.settings.unseen == "mean" or not instruction:
            return torch.full((count,), 1 / count, device=device)
        if instruction not in self._mixtures:
            here = nn.functional.normalize(self._encode([instruction])[0] - self._center, dim=-1)
            similarity = self._known @ here  # [T]
            self._mixtures[instruction] = (
                nn.functional.one_hot(similarity.argmax(), count).float()
                if self.settings.unseen == "nearest"
                else torch.softmax(similarity / self.settings.sharpness, dim=0)
            )
        return self._mixtures[instruction]
