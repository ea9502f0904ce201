"""Single-task experts, merged: tuned apart, put together without tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from snibench.base.bounds import Bounds, Count, Dropout, Positive
from snibench.base.lazy import torch
from snibench.base.types import TaskCard
from snibench.contracts import Encode
from snibench.methods.base import BaseMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class MergedExpertsSettings:
    """``merge``: "arithmetic", "ties", "dare" or "dare-ties"; ``weight``: of the merged update, 1 is the experts' mean.

    ``density``: share of an update's entries that ties and dare keep. ``seen``: what answers for seen tasks, "merged",
    or each task's "own" expert. The merged one answers for unseen tasks.
    """

    r: Count = 8
    alpha: Count = 16
    merge: Literal["arithmetic", "ties", "dare", "dare-ties"] = "arithmetic"
    weight: Positive = 1.0
    density: Annotated[float, Bounds(above=0, most=1)] = 0.2
    seen: Literal["merged", "own"] = "merged"
    dropout: Dropout = 0.0


class MergedExperts(BaseMethod):
    """A LoRA for every seen task, tuned on that task alone; their updates are merged, and nothing is tuned after that.

    All start from LoRA's values. A step moves the experts of its tasks and no other, so that tasks share neither
    parameters nor the optimizer's state: what they share is the model, the steps, the schedule, and the norm to which
    a step's gradient is clipped. All experts together see the instances that another method's one adapter sees. A rule
    has nothing to combine.

    Source: task arithmetic, Ilharco et al. (ICLR 2023); TIES, Yadav et al. (NeurIPS 2023); DARE, Yu et al. (ICML 2024);
    merged by peft's functions of those names.
    """

    Settings: ClassVar[type] = MergedExpertsSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with every task's expert beside every linear layer of its blocks."""
        from snibench.engine.adapters import Routing, draw_down_projections, insert
        from snibench.engine.task_experts import TaskExpertsLayer

        settings = self.settings
        self._routing = Routing()
        self._index = {card.name: index for index, card in enumerate(cards)}
        self._seed = seed
        self._merged = False
        insert(
            model,
            lambda base: TaskExpertsLayer(
                base,
                tasks=len(cards),
                rank=settings.r,
                scale=settings.alpha / settings.r,
                state=self._routing,
                dropout=settings.dropout,
            ),
        )
        draw_down_projections(model, seed)
        return model

    def task_parameters(self, model: nn.Module) -> Sequence[nn.Parameter]:
        """All that is trained."""
        from snibench.engine.task_experts import TaskExpertsLayer

        layers = [module for module in model.modules() if isinstance(module, TaskExpertsLayer)]
        return [parameter for layer in layers for parameter in (*layer.A, *layer.B)]

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]`` mean target NLL, each task through its own expert."""
        self._merged = False  # the experts are about to move
        with self._routing.using(batch.row_task, experts=[self._index[task] for task in batch.tasks]):
            return super().losses(model, batch)

    @contextmanager
    def for_prompts(self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]) -> Iterator[None]:
        """Every row through the merged update, or a seen task's through its own expert."""
        from snibench.engine.adapters import rows_of
        from snibench.engine.task_experts import MERGED, merge_experts

        names, rows = rows_of([card.name for card in cards])
        own = self._index if self.settings.seen == "own" else {}
        experts = [own.get(name, MERGED) for name in names]
        if MERGED in experts and not self._merged:
            settings = self.settings
            merge_experts(model, settings.merge, settings.weight, settings.density, self._seed)
            self._merged = True
        device = next(model.parameters()).device
        with self._routing.using(torch.tensor(rows, device=device), experts=experts):
            yield
