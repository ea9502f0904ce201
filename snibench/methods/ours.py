"""Ours: instruction-modulated LoRA, task-similarity regularization, gradient projection, dynamic weights.

Our reading of "Unified Instruction Encoding and Gradient Coordination for Multi-Task Language Models" (preprint
202506.0582), whose formulas are not public to us: docs/methods.md says what is the paper's and what is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from snibench.base.bounds import Count, Dropout, Weight
from snibench.base.errors import UsageError
from snibench.base.lazy import nn, torch
from snibench.base.types import TaskCard
from snibench.contracts import Encode, Rule
from snibench.methods.base import BaseMethod
from snibench.rules.coordinated import Coordinated, CoordinatedSettings
from snibench.rules.mean import Mean

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.packing import Batch


@dataclass(frozen=True, slots=True)
class OursSettings:
    """The four parts, each with its switch, and their strengths.

    ``joint``: modulation by the instruction, of ``features`` numbers, with ``modulation`` as bound s. ``similarity``
    (needs ``joint``): the regularizer, with weight ``similarity_weight``. ``projection``: PCGrad; ``kappa``: "one", or
    "similarity" to leave part of the conflict between similar tasks. ``dynamic_weights``: less weight for tasks with
    unsteady gradients.
    """

    joint: bool = True
    similarity: bool = True
    projection: bool = True
    dynamic_weights: bool = True
    r: Count = 8
    alpha: Count = 16
    features: Count = 64
    modulation: Weight = 0.5
    similarity_weight: Weight = 0.1
    kappa: Literal["one", "similarity"] = "one"
    dropout: Dropout = 0.0

    def validate(self) -> None:
        """Raises UsageError for the regularizer without the modulation that it regularizes."""
        if self.similarity and not self.joint:
            raise UsageError(
                "similarity=true regularizes the modulation, so it needs joint=true. Set similarity=false."
            )


class Ours(BaseMethod):
    """Joint instruction representation + task-similarity regularization + gradient projection + dynamic weights.

    A minimal hypernetwork: scale-only FiLM (Perez et al. 2018) on LoRA's rank space, made from the instruction as
    rendered. An unseen task gets its own bounded modulation from its instruction alone; a prompt without
    instruction gets plain LoRA. With all switches off this is ``lora``.
    """

    Settings: ClassVar[type] = OursSettings

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with modulated LoRA layers, and the projection ``V [q, H]`` of instruction embeddings."""
        from snibench.engine.adapters import ModulatedLayer, Routing, draw_down_projections, insert
        from snibench.engine.backbone import base_of

        settings = self.settings
        self._routing = Routing()
        self._encode = encode
        self._index = {card.name: index for index, card in enumerate(cards)}
        known = encode([card.definition for card in cards])  # [T, H]
        # Uncentred states of a language model have cosines all near 1.
        self._center = known.mean(0)
        direction = nn.functional.normalize(known - self._center, dim=-1)
        self._similar = (direction @ direction.T).clamp(min=0)  # [T, T] S_tu
        layers = insert(
            model,
            lambda base: ModulatedLayer(
                base,
                rank=settings.r,
                scale=settings.alpha / settings.r,
                features=settings.features,
                strength=settings.modulation,
                state=self._routing,
                dropout=settings.dropout,
            ),
        )
        self._layers = [layer for layer in layers if isinstance(layer, ModulatedLayer)]
        draw_down_projections(model, seed)
        width = known.shape[1]
        self._project = nn.Linear(width, settings.features, bias=False, device=known.device)
        nn.init.normal_(self._project.weight, std=width**-0.5)
        base_of(model).instruction_projection = self._project
        if not settings.joint:
            for module in (self._project, *(layer.U for layer in self._layers)):
                module.requires_grad_(False)
        return model

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """``[K]`` mean target NLL, each task modulated by its instruction."""
        with self._routing.using(batch.row_task, z=self._representations(batch.instructions)):
            return super().losses(model, batch)

    def penalty(self, model: nn.Module, tasks: Sequence[str], instructions: Sequence[str]) -> Tensor | None:
        """``similarity_weight`` times the mean over the step's task pairs of how far the modulation belies similarity.

        ``S ||u_t - u_u||^2 / D + (1 - S) max(0, <u_t, u_u> / D)^2`` with u the modulations of all layers, D numbers
        each: similar tasks are drawn together (graph-Laplacian task regularization: Evgeniou, Micchelli, Pontil
        2005), dissimilar ones kept from agreeing. Zero, with zero gradient, at the start.
        """
        if not self.settings.similarity or len(tasks) < 2:
            return None
        z = self._representations(instructions)
        u = torch.cat([layer.modulation(z) for layer in self._layers], dim=1)  # [K, D]
        index = torch.tensor([self._index[task] for task in tasks], device=u.device)
        first, second = torch.triu_indices(len(tasks), len(tasks), offset=1, device=u.device).unbind()
        similar = self._similar[index[first], index[second]]  # [K (K - 1) / 2]
        apart = (u[first] - u[second]).square().mean(1)
        agree = (u[first] * u[second]).mean(1).clamp(min=0).square()
        pull: Tensor = (similar * apart + (1 - similar) * agree).mean()
        weight: float = self.settings.similarity_weight
        return weight * pull

    def rule(self) -> Rule:
        """Gradient projection and dynamic weights, as far as they are switched on."""
        if not (self.settings.projection or self.settings.dynamic_weights):
            return Mean()
        settings = CoordinatedSettings(self.settings.projection, self.settings.dynamic_weights)
        if self.settings.kappa == "one":
            return Coordinated(settings)
        return SimilarityCoordinated(settings, self._index, self._similar.double().cpu())

    @contextmanager
    def for_prompts(self, model: nn.Module, cards: Sequence[TaskCard], instructions: Sequence[str]) -> Iterator[None]:
        """Each row modulated by its own instruction."""
        from snibench.engine.adapters import rows_of

        distinct, rows = rows_of(instructions)
        z = self._representations(distinct)
        with self._routing.using(torch.tensor(rows, device=z.device), z=z):
            yield

    def _representations(self, instructions: Sequence[str]) -> Tensor:
        """``[K, q]``: ``V LN(e) / sqrt q`` of the centred instruction embeddings; zero for an empty instruction."""
        told = [index for index, instruction in enumerate(instructions) if instruction]
        z = self._center.new_zeros(len(instructions), self.settings.features)
        if told and self.settings.joint:
            embedded = self._encode([instructions[index] for index in told]) - self._center
            projected = self._project(nn.functional.layer_norm(embedded, embedded.shape[1:]))
            if len(told) == len(instructions):  # the projection's rows are then the step's tasks, as hooks need
                z = projected
            else:
                z = z.index_copy(0, torch.tensor(told, device=z.device), projected)
        scale: float = self.settings.features**-0.5
        return z * scale


class SimilarityCoordinated(Coordinated):
    """``coordinated`` that leaves part of the conflict between similar tasks."""

    def __init__(self, settings: CoordinatedSettings, index: Mapping[str, int], similar: Tensor) -> None:
        super().__init__(settings)
        self._index, self._similar = index, similar

    def _kappa(self, tasks: Sequence[str]) -> Tensor | None:
        index = torch.tensor([self._index[task] for task in tasks])
        return 1 - self._similar[index][:, index] / 2
