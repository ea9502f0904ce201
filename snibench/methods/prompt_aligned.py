"""Prompt-aligned gradients (ProGrad): no step against what the base model already knows, nor against other tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from snibench.base.bounds import Share
from snibench.base.errors import UsageError
from snibench.base.lazy import nn, torch
from snibench.contracts import Losses, Needs, Rule
from snibench.methods.base import BaseMethod, LoraSettings

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients
    from snibench.engine.packing import Batch

# A general gradient this much smaller than the domain gradient is rounding: at the first step the adapter is the
# identity, so the true one is zero.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class PromptAlignedSettings(LoraSettings):
    """``align``: remove the component against the "general" direction (ProGrad), against other "tasks", or "both".

    ``strength``: lambda, the share of the opposing component that is removed. ``per_tensor``: every parameter tensor is
    aligned by itself, as the source's code does, which trains a single one; else all as one vector. The rest as in
    ``lora``.
    """

    align: Literal["general", "tasks", "both"] = "both"
    strength: Share = 1.0
    per_tensor: bool = False


class PromptAligned(BaseMethod):
    """LoRA whose update never opposes the general direction: the gradient of KL(base || tuned) on the same batch.

    Expect it to act often: near the start the general gradient is F (theta - theta_0), F the Fisher matrix, and so
    opposes the task gradient by construction. The trace says in which steps it did.

    Source: Zhu et al., Prompt-aligned Gradient for Prompt Tuning (ICCV 2023), and its repository's
    ``trainers/prograd.py``. Unlike the source, which trains one tensor, all parameters are projected as one vector, and
    the tasks' gradients may be aligned with one another first.
    """

    Settings: ClassVar[type] = PromptAlignedSettings

    def losses(  # type: ignore[override]  # the contract has both, BaseMethod the plain one
        self, model: nn.Module, batch: Batch
    ) -> Losses:
        """``[K]`` mean target NLL, and as anchor the distance from the base model."""
        from snibench.engine.losses import target_logits, target_nll

        logits = target_logits(model, batch)
        nll = target_nll(logits, batch)
        return Losses(nll, None if self.settings.align == "tasks" else lambda: _distance(model, batch, logits))

    def rule(self) -> Rule:
        """Alignment with the other tasks, then with the general direction."""
        return AlignedByTensor(self.settings) if self.settings.per_tensor else Aligned(self.settings)


def _distance(model: nn.Module, batch: Batch, logits: Tensor) -> Tensor:
    """``[1]``: KL(base || tuned) over the whole vocabulary, mean over a task's target tokens, then over tasks."""
    from snibench.engine.adapters import adapters_off
    from snibench.engine.losses import target_logits

    with torch.no_grad(), adapters_off(model):
        base = torch.log_softmax(target_logits(model, batch), dim=-1)
    tuned = torch.log_softmax(logits, dim=-1)
    each = nn.functional.kl_div(tuned, base, reduction="none", log_target=True).sum(-1)  # [N]
    count = torch.bincount(batch.target_task, minlength=len(batch.tasks))
    per_task = each.new_zeros(len(batch.tasks)).index_add(0, batch.target_task, each) / count
    return per_task.mean()[None]


class Aligned(Rule):
    """ProGrad's projection on coefficients of the Gram matrix; the anchor is the general gradient."""

    Settings: ClassVar[type] = PromptAlignedSettings
    needs = Needs.GRAM | Needs.ANCHORS

    def __init__(self, settings: PromptAlignedSettings | None = None) -> None:
        super().__init__(settings)
        if self.settings.align not in {"general", "tasks", "both"}:
            raise UsageError(f"align must be 'general', 'tasks' or 'both', but got '{self.settings.align}'.")
        self._steps, self._projected, self._acted = 0, 0.0, 0.0

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``[K + R]`` weights of the aligned update."""
        weights, opposed = self._aligned(gradients.gram, len(gradients.tasks))
        self._count(float(opposed))
        return weights

    def _aligned(self, gram: Tensor, count: int) -> tuple[Tensor, bool]:
        """``[K + R]`` weights, and whether the general direction was opposed."""
        rows = torch.eye(count, len(gram), dtype=gram.dtype)  # [K, K + R], row t is g_t'
        if self.settings.align != "general" and count > 1:
            rows = rows - self.settings.strength * _opposing_others(gram, count)
        domain = rows.mean(0)
        if len(gram) == count:
            return domain, False
        product = domain @ gram[:, count]
        general = gram[count, count]
        opposed = bool(product < 0 and general > (_ROUNDING**2) * (domain @ gram @ domain))
        if opposed:
            domain[count] -= self.settings.strength * product / general
        return domain, opposed

    def _count(self, acted: float) -> None:
        self._steps += 1
        self._acted = acted
        self._projected += acted

    def diagnostics(self) -> Mapping[str, float]:
        """``projected``: 1 if the general direction was opposed in this step, or in which share of the tensors;
        ``projected_share``: its mean so far.
        """
        return {"projected": self._acted, "projected_share": self._projected / max(self._steps, 1)}

    def state(self) -> Mapping[str, Any]:
        """How many steps, and in how many of them it acted."""
        return {"steps": self._steps, "projected": self._projected}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self._steps, self._projected = state["steps"], state["projected"]


class AlignedByTensor(Aligned):
    """The same for every parameter tensor by itself."""

    needs = Needs.GRAM | Needs.TENSORS | Needs.ANCHORS

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``[Q, K + R]`` weights, a row for each parameter."""
        rows, opposed = zip(
            *(self._aligned(gram, len(gradients.tasks)) for gram in gradients.layers.values()), strict=True
        )
        self._count(sum(opposed) / len(opposed))
        return torch.stack(rows)


def _opposing_others(gram: Tensor, count: int) -> Tensor:
    """``[K, K + R]``: what of each gradient points against the mean of the other tasks' gradients."""
    others = torch.zeros(count, len(gram), dtype=gram.dtype)
    others[:, :count] = (1 - torch.eye(count, dtype=gram.dtype)) / (count - 1)
    product = (others @ gram).diagonal()  # [K] <g_t, mean of others>
    square = (others @ gram @ others.T).diagonal()
    share = torch.where((product < 0) & (square > 0), product / square.clamp(min=torch.finfo(gram.dtype).tiny), 0.0)
    return share[:, None] * others
