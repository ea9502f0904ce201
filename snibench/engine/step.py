"""One update: the tasks' gradients, combined by the rule, clipped, and given to the optimizer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from snibench.base.errors import Diverged
from snibench.base.hashing import derive_seed
from snibench.base.types import Recipe
from snibench.contracts import Rule
from snibench.engine.gradients import TaskGradients, layer_of, tensor_of
from snibench.engine.micro_batches import Groups, TaskLosses
from snibench.engine.schedule import learning_rate


class Updater:
    """Turns the task losses of a step into one update of the parameters."""

    def __init__(self, task_losses: TaskLosses, rule: Rule, recipe: Recipe, seed: int) -> None:
        self.task_losses, self.rule, self.recipe, self.seed = task_losses, rule, recipe, seed
        self.optimizer = torch.optim.AdamW(
            task_losses.named.values(), lr=recipe.learning_rate, betas=(0.9, 0.999), weight_decay=0.0, fused=True
        )

    def update(self, groups: Groups, step: int) -> dict[str, float]:
        """The trace row of step number ``step``, after the parameters were moved.

        Raises:
            Diverged: If a loss or gradient is not finite.
        """
        task_losses, method = self.task_losses, self.task_losses.method
        tasks = [task for task, _ in groups]
        instructions = [instances[0].prompt.instruction for _, instances in groups]
        losses = self._gradients(groups, step).losses
        if not torch.isfinite(losses).all():
            raise Diverged(f"the loss is not finite at step {step + 1}")
        longest = self.recipe.clip if self.rule.clipped and self.recipe.clip else math.inf
        norm = float(nn.utils.clip_grad_norm_(task_losses.named.values(), longest))
        if not math.isfinite(norm):
            raise Diverged(f"the gradient is not finite at step {step + 1}")
        if (penalty := method.penalty(task_losses.model, tasks, instructions)) is not None:
            penalty.backward()
        rate = learning_rate(self.recipe, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if "losses_after" in self.rule.needs:
            with torch.no_grad():
                self.rule.observe(tasks, task_losses.of(groups))
        return {
            "step": step + 1,
            "loss": float(losses.mean()),
            "learning_rate": rate,
            "gradient_norm": norm,
            "tokens": task_losses.progress.tokens,
            **({} if penalty is None else {"penalty": float(penalty.detach())}),
            **self.rule.diagnostics(),
        }

    def _gradients(self, groups: Groups, step: int) -> TaskGradients:
        """``backward`` in micro-batches as small as memory asks for."""
        before = self.rule.state()
        while True:
            # What a model draws in its forward pass (dropout, sampled routings) comes from torch's default generator.
            torch.manual_seed(derive_seed("forward", self.seed, step))
            try:
                return self.backward(groups, step)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                now = self.task_losses.shrink(error, groups)
                self.task_losses.progress.notes.append(f"out of memory at step {step + 1}: {now}")
                self.rule.restore(before)

    def backward(self, groups: Groups, step: int = 0) -> TaskGradients:
        """Leave the step's combined gradient in the parameters' ``grad``; what the rule was given."""
        self.task_losses.clear()
        tasks = tuple(task for task, _ in groups)
        generator = torch.Generator().manual_seed(derive_seed("rule", self.seed, step))
        if "gram" in self.rule.needs or (self.task_losses.task_parameters and self.rule.needs):
            return self._combined(groups, tasks, generator)
        return self._weighted(groups, tasks, generator)

    def _combined(self, groups: Groups, tasks: tuple[str, ...], generator: torch.Generator) -> TaskGradients:
        """Every task's gradient, combined by the rule."""
        task_losses, rule, cuts = self.task_losses, self.rule, self.task_losses.cuts
        collected, losses = task_losses.task_gradients(task_losses.parts(groups), cuts=cuts)
        # [K + R, K * cuts + R]: which rows add up to a task's gradient.
        sums = torch.eye(len(tasks), dtype=torch.float64).repeat_interleave(cuts, dim=1)
        whole = torch.block_diag(sums, torch.eye(collected.references, dtype=torch.float64))
        of = tensor_of if "tensors" in rule.needs else layer_of
        layers = collected.grams(of) if rule.needs & {"layers", "tensors"} else {}
        layers = {name: whole @ gram @ whole.T for name, gram in layers.items()}
        gram = torch.stack(list(layers.values())).sum(0) if layers else whole @ collected.gram() @ whole.T
        gradients = TaskGradients(tasks, gram, losses.view(len(tasks), cuts).sum(1), generator, layers)
        if torch.isfinite(gram).all():
            weights = rule.weights(gradients)
            collected.apply(weights @ whole.to(weights), list(layers), of)
        for parameter in task_losses.task_parameters:
            if parameter.grad is not None:
                parameter.grad /= len(tasks)
        notes = task_losses.progress.notes
        if (note := task_losses.collector.describe(collected.rows)) and note not in notes:
            notes.append(note)
        return gradients

    def _weighted(self, groups: Groups, tasks: tuple[str, ...], generator: torch.Generator) -> TaskGradients:
        """A weighted sum of losses: no gradient of its own for any task, so nothing to pay."""
        nothing = torch.zeros(len(tasks), len(tasks), dtype=torch.float64)
        known: Tensor = torch.zeros(len(tasks), dtype=torch.float64)
        if self.rule.needs:
            with torch.no_grad():
                known = self.task_losses.of(groups)
        weights = self.rule.weights(TaskGradients(tasks, nothing, known, generator))
        return TaskGradients(tasks, nothing, self.task_losses.add_gradients(groups, weights), generator)
