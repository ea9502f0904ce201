"""One update: the tasks' gradients, combined by the rule, clipped, and given to the optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snibench.base.errors import Diverged, PluginError, UsageError
from snibench.base.hashing import derive_seed
from snibench.base.types import Recipe
from snibench.contracts import Group, Needs, Rule
from snibench.engine.gradients import Collected, TaskGradients, layer_of, tensor_of
from snibench.engine.optimizers import make_optimizer
from snibench.engine.packing import Groups
from snibench.engine.schedule import learning_rate
from snibench.engine.task_losses import TaskLosses


@dataclass(frozen=True)
class Update:
    """A step that was made: its tasks, their ``[K]`` losses before it, its trace row.

    ``gram``: the products that the sampler asked for, or ``[K, K]`` ones that the rule did; None where none are known.
    """

    tasks: tuple[str, ...]
    losses: Tensor
    gram: Tensor | None
    row: dict[str, float]


class Updater:
    """Turns the task losses of a step into one update of the parameters.

    ``asked``: what a sampler needs of each step, beside the rule.
    """

    def __init__(
        self, task_losses: TaskLosses, rule: Rule, recipe: Recipe, seed: int, *, asked: Needs = Needs.NONE
    ) -> None:
        self.task_losses, self.rule, self.recipe, self.seed = task_losses, rule, recipe, seed
        self.asked = asked
        if Needs.HALVES in asked:
            if recipe.instances_per_task % 2:
                raise UsageError(
                    "This sampler compares two halves of each task's instances, so their number must be even, but is "
                    f"{recipe.instances_per_task}. Choose another with --per-step K,M."
                )
            task_losses.halves, task_losses.cuts = True, 2
        if not isinstance(rule.needs, Needs):
            raise PluginError(f"{type(rule).__name__}.needs must be Needs, such as Needs.GRAM, but is {rule.needs!r}.")
        groups = parameter_groups(task_losses.named, task_losses.method.groups(task_losses.named))
        self.optimizer = make_optimizer(recipe, task_losses.model, groups)

    def update(self, groups: Groups, step: int) -> Update:
        """Trace of step number ``step``, after the parameters were moved.

        Raises:
            Diverged: If a loss or gradient is not finite.
        """
        task_losses, method = self.task_losses, self.task_losses.method
        tasks = [task for task, _ in groups]
        instructions = [instances[0].prompt.instruction for _, instances in groups]
        losses, gram = self._gradients(groups, step)
        if not torch.isfinite(losses).all():
            raise Diverged(f"the loss is not finite at step {step + 1}")
        longest = self.recipe.clip if self.rule.clipped and self.recipe.clip else math.inf
        norm = float(nn.utils.clip_grad_norm_(task_losses.named.values(), longest))
        if not math.isfinite(norm):
            raise Diverged(f"the gradient is not finite at step {step + 1}")
        if (penalty := method.penalty(task_losses.model, tasks, instructions)) is not None:
            self._backward(penalty)
        rate = learning_rate(self.recipe, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if Needs.LOSSES_AFTER in self.rule.needs:
            with torch.no_grad():
                self.rule.observe(tasks, task_losses.of(groups))
        row = {
            "step": step + 1,
            "loss": float(losses.mean()),
            "learning_rate": rate,
            "gradient_norm": norm,
            "tokens": task_losses.progress.tokens,
            **({} if penalty is None else {"penalty": float(penalty.detach())}),
            **self.rule.diagnostics(),
        }
        return Update(tuple(tasks), losses, gram, row)

    def _backward(self, penalty: Tensor) -> None:
        try:
            penalty.backward()
        except RuntimeError as error:
            if "second time" not in str(error):
                raise
            raise PluginError(
                f"{type(self.task_losses.method).__name__}.penalty uses the graph of losses, which is freed by then. "
                "Make it of parameters alone, or return it as Losses(auxiliary=...)."
            ) from error

    def _gradients(self, groups: Groups, step: int) -> tuple[Tensor, Tensor | None]:
        """``backward`` in micro-batches as small as memory asks for."""
        before, ranks = self.rule.state(), self.task_losses.ranks
        while True:
            # What a model draws in its forward pass (dropout, sampled routings) comes from torch's default generator.
            torch.manual_seed(derive_seed("forward", self.seed, step, *ranks.purpose))
            try:
                result = self.backward(groups, step)
                ranks.draw_alike(derive_seed("after forward", self.seed, step))
                return result
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not ranks.agreed(error):
                    raise
                now = self.task_losses.shrink(error, groups)
                self.task_losses.progress.notes.append(f"out of memory at step {step + 1}: {now}")
                self.rule.restore(before)

    def backward(self, groups: Groups, step: int = 0) -> tuple[Tensor, Tensor | None]:
        """Leave the combined gradient in the parameters' ``grad``; the ``[K]`` losses, and the Gram matrix if known."""
        self.task_losses.clear()
        tasks = tuple(task for task, _ in groups)
        generator = torch.Generator().manual_seed(derive_seed("rule", self.seed, step))
        needs = self.rule.needs
        own = self.task_losses.task_parameters and needs != Needs.NONE
        if (needs | self.asked).gradients or own or self.task_losses.gives_gradients(groups):
            result = self._combined(groups, tasks, generator)
        else:
            result = self._weighted(groups, tasks, generator), None
        self.task_losses.ranks.sum_gradients(self.task_losses.named.values())
        return result

    def _combined(
        self, groups: Groups, tasks: tuple[str, ...], generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Every task's gradient, combined by the rule."""
        task_losses, needs = self.task_losses, self.rule.needs
        if task_losses.gives_gradients(groups):
            if Needs.HALVES in self.asked:
                raise UsageError(
                    f"{type(task_losses.method).__name__} has gradients of its own, and this sampler compares those of "
                    "two halves of a task's instances. Leave the sampler out."
                )
            cuts = 1
            collected, losses = task_losses.pseudo_gradients(groups)
        else:
            cuts = task_losses.cuts
            collected, losses = task_losses.task_gradients(
                task_losses.parts(groups), anchors=Needs.ANCHORS in needs, auxiliary=True, cuts=cuts
            )
        losses = losses.view(len(tasks), cuts).sum(1)
        anchors = collected.extras - collected.auxiliary
        # [K + R, K * cuts + E]: which rows add up to a task's gradient or are an anchor's.
        sums = torch.eye(len(tasks), dtype=torch.float64).repeat_interleave(cuts, dim=1)
        whole = torch.block_diag(sums, torch.eye(anchors, collected.extras, dtype=torch.float64))
        group_of = tensor_of if Needs.TENSORS in needs else layer_of
        layers = collected.grams(group_of) if needs & (Needs.LAYERS | Needs.TENSORS) else {}
        products = torch.stack(list(layers.values())).sum(0) if layers else collected.gram()
        layers = {name: whole @ gram @ whole.T for name, gram in layers.items()}
        gram = whole @ products @ whole.T
        if torch.isfinite(gram).all():

            def rows() -> Iterator[tuple[str, Tensor]]:
                for name, each in collected.pieces():
                    combined = whole.to(each) @ each
                    yield name, combined.view(len(combined), *task_losses.named[name].shape)

            gradients = TaskGradients.asked_for(
                needs,
                tasks,
                gram=gram,
                losses=losses,
                generator=generator,
                layers=layers,
                rows=rows,
                anchors=anchors,
            )
            self._apply(gradients, collected, whole, list(layers), group_of)
        for parameter in task_losses.task_parameters:
            if parameter.grad is not None:
                parameter.grad /= len(tasks)
        for parameter, gradient in collected.apart:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        notes = task_losses.progress.notes
        if (note := task_losses.described(collected.rows)) and note not in notes:
            notes.append(note)
        if Needs.HALVES in self.asked:
            count = len(tasks) * cuts
            halves = 2 * torch.eye(2 * len(tasks), dtype=torch.float64).repeat_interleave(cuts // 2, dim=1)
            return losses, halves @ products[:count, :count] @ halves.T
        return losses, gram[: len(tasks), : len(tasks)]

    def _apply(
        self,
        gradients: TaskGradients,
        collected: Collected,
        whole: Tensor,
        layers: Sequence[str],
        group_of: Callable[[str], str],
    ) -> None:
        """Set the shared parameters' ``grad`` to the rule's update, with the auxiliary loss's gradient added."""
        auxiliary = torch.zeros(collected.rows, dtype=torch.float64)
        auxiliary[collected.rows - collected.auxiliary :] = 1
        if Needs.ROWS in self.rule.needs and (update := self.rule.combine(gradients)) is not None:
            collected.apply(auxiliary)
            if self.task_losses.ranks.rank:  # gradients are summed, and every process has the same update
                return
            for name, value in update.items():
                parameter = collected.named[name]
                gradient = value.to(parameter)
                if parameter.grad is not None:
                    gradient = gradient + parameter.grad
                parameter.grad = gradient
            return
        weights = self.rule.weights(gradients)
        rows = weights @ whole.to(weights)
        if collected.auxiliary:
            rows = rows + auxiliary.to(rows)
        collected.apply(rows, layers, group_of)

    def _weighted(self, groups: Groups, tasks: tuple[str, ...], generator: torch.Generator) -> Tensor:
        """``[K]`` losses, whose weighted sum was gone down: no gradient of its own for any task, so nothing to pay."""
        known: Tensor | None = None
        if self.rule.needs & Needs.LOSSES:
            with torch.no_grad():
                known = self.task_losses.of(groups)
        gradients = TaskGradients.asked_for(self.rule.needs, tasks, losses=known, generator=generator)
        return self.task_losses.add_gradients(groups, self.rule.weights(gradients))


def parameter_groups(named: Mapping[str, nn.Parameter], groups: Mapping[str, Group]) -> list[dict[str, Any]]:
    """The optimizer's groups: parameters that are moved alike, in the order of ``named``.

    Raises:
        PluginError: If ``groups`` names what is not trained, or moves it by no finite number.
    """
    for name, group in groups.items():
        if name not in named:
            raise PluginError(f"groups names '{name}', which is no trainable parameter.")
        if not isinstance(group, Group) or not (math.isfinite(group.scale) and group.scale >= 0 and group.decay >= 0):
            raise PluginError(f"groups must give a Group of numbers from 0 on for '{name}', but gave {group!r}.")
    alike: dict[Group, list[nn.Parameter]] = {}
    for name, parameter in named.items():
        alike.setdefault(groups.get(name, Group()), []).append(parameter)
    return [
        {"params": parameters, "scale": group.scale, "weight_decay": group.decay} for group, parameters in alike.items()
    ]
