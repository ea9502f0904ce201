"""Ours: instruction-modulated LoRA, task-similarity regularization, gradient projection, dynamic weights.

Our reading of "Unified Instruction Encoding and Gradient Coordination for Multi-Task Language Models" (preprint
202506.0582), whose formulas are not public to us: docs/methods.md says what is the paper's and what is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from snibench.base.errors import UsageError
from snibench.base.lazy import nn, torch
from snibench.base.types import TaskCard
from snibench.contracts import Encode, Needs, Rule
from snibench.methods.base import BaseMethod
from snibench.rules._gram import project_conflicting
from snibench.rules.mean import Mean

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients
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
    r: int = 8
    alpha: int = 16
    features: int = 64
    modulation: float = 0.5
    similarity_weight: float = 0.1
    kappa: Literal["one", "similarity"] = "one"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.similarity and not self.joint:
            raise UsageError(
                "similarity=true regularizes the modulation, so it needs joint=true. Set similarity=false."
            )
        if self.kappa not in {"one", "similarity"}:
            raise UsageError(f"kappa must be 'one' or 'similarity', but got '{self.kappa}'.")


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
        return Coordinated(self.settings, self._index, self._similar.double().cpu())

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


class Coordinated(Rule):
    """PCGrad's projection, and weights that fall with how much a task's gradient norm varies between its visits.

    ``v_t`` is an exponential mean (0.9) of ``|n - n'| / (n + n')`` in [0, 1], n the norm now and n' at the task's last
    visit; ``w_t = 1 / (1 + v_t)``, scaled to mean 1 over the step, so that weights differ by a factor of 2 at most.
    """

    Settings: ClassVar[type] = OursSettings
    needs = Needs.GRAM | Needs.GENERATOR
    decay = 0.9

    def __init__(self, settings: OursSettings, index: Mapping[str, int], similar: Tensor) -> None:
        super().__init__(settings)
        self._index = index
        self._similar = similar
        self._norm: dict[str, float] = {}
        self._variation: dict[str, float] = {}

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``[K + R]``: ``(1/K) sum_t w_t g_t'``."""
        count = len(gradients.tasks)
        gram = gradients.gram[:count, :count]
        rows = torch.eye(count, dtype=gram.dtype)
        if self.settings.projection:
            rows = project_conflicting(gram, gradients.generator, self._kappa(gradients.tasks))
        if self.settings.dynamic_weights:
            rows = self._visit(gradients.tasks, gram.diagonal().clamp(min=0).sqrt())[:, None] * rows
        return nn.functional.pad(rows.mean(0), (0, gradients.anchors))

    def _kappa(self, tasks: Sequence[str]) -> Tensor | None:
        if self.settings.kappa == "one":
            return None
        index = torch.tensor([self._index[task] for task in tasks])
        return 1 - self._similar[index][:, index] / 2

    def _visit(self, tasks: Sequence[str], norms: Tensor) -> Tensor:
        """``[K]`` weights with mean 1, after this step's norms are taken in."""
        for task, norm in zip(tasks, norms.tolist(), strict=True):
            if task in self._norm:
                total = norm + self._norm[task]
                change = abs(norm - self._norm[task]) / total if total > 0 else 0.0
                before = self._variation.get(task, change)
                self._variation[task] = self.decay * before + (1 - self.decay) * change
            self._norm[task] = norm
        raw = {task: 1 / (1 + self._variation[task]) for task in tasks if task in self._variation}
        usual = sum(raw.values()) / len(raw) if raw else 1.0
        weights = torch.tensor([raw.get(task, usual) for task in tasks], dtype=torch.float64)
        return weights / weights.mean()

    def state(self) -> Mapping[str, Any]:
        """Norms and variations by task."""
        return {"norm": self._norm, "variation": self._variation}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self._norm, self._variation = dict(state["norm"]), dict(state["variation"])
