"""What ``test_distributed`` tunes in two processes: run as a program, it is the second one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from snibench.contracts import Losses, Method, Rule
from snibench.engine.distributed import Distributed
from snibench.engine.ranks import Ranks
from snibench.engine.tuning import Trainer
from snibench.methods.lora import Lora
from snibench.methods.mixlora import MixLora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.prompt_aligned import PromptAligned
from snibench.methods.reptile import Reptile
from snibench.rules.graddrop import GradDrop
from snibench.rules.gradvac import GradVac
from snibench.rules.loss_weightings import Uncertainty
from snibench.rules.pcgrad import PCGrad
from tests.fixtures.small_models import RECIPE, small_tasks, small_trainer

# Under SGD parameters differ by no more than their gradients; AdamW's first steps are all of one length.
SGD = replace(RECIPE, steps=3, optimizer="sgd", learning_rate=0.3)


@dataclass(frozen=True)
class Case:
    """A method under a rule; ``backend``: of task gradients, None = as selected. ``layered``: they do not fit.

    ``resumed``: from a checkpoint that one process wrote after a step.
    """

    method: Callable[..., Method]
    rule: Callable[[], Rule] | None = None
    backend: Any = None
    layered: bool = False
    resumed: bool = False
    tokens: int = 400  # of a micro-batch, about one task: so that one process and two cut the same


class Broken(Lora):
    """Raises in the second process alone."""

    def losses(self, model: Any, batch: Any) -> Losses:
        if dist.get_rank() == 1:
            raise KeyError("no such layer")
        return super().losses(model, batch)


class Short(Lora):
    """Runs out of memory in the second process, once."""

    def losses(self, model: Any, batch: Any) -> Losses:
        if dist.is_initialized() and dist.get_rank() == 1 and len(batch.tasks) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return super().losses(model, batch)


class Drifting(Lora):
    """Moves a parameter in the second process behind the harness's back."""

    def losses(self, model: Any, batch: Any) -> Losses:
        if dist.get_rank() == 1:
            with torch.no_grad():
                next(one for one in model.parameters() if one.requires_grad).add_(1e-3)
        return super().losses(model, batch)


CASES = {
    "mean": Case(Lora),
    "pcgrad": Case(Lora, PCGrad),
    "pcgrad, one micro-batch": Case(Lora, PCGrad, tokens=100_000),
    "pcgrad, vmap": Case(Lora, PCGrad, backend="vmap"),
    "pcgrad, loop": Case(Lora, PCGrad, backend="loop"),
    "pcgrad, gradients that do not fit": Case(Lora, PCGrad, layered=True),
    "losses and what they are after": Case(Lora, Uncertainty),
    "by layer": Case(Lora, lambda: GradVac(GradVac.Settings(per_layer=True))),
    "by coordinate": Case(Lora, GradDrop),
    "anchors": Case(PromptAligned),
    "parameters of single tasks": Case(MtlLora, PCGrad),
    "a loss beside the tasks'": Case(MixLora, PCGrad),
    "a loss beside the tasks', mean": Case(MixLora),
    "gradients of the method's own": Case(Reptile),
    "from a checkpoint": Case(Lora, PCGrad, resumed=True),
    "out of memory in one of them": Case(Short, PCGrad, tokens=100_000),
}


def trainer_for(case: Case, llama: Path) -> Trainer:
    trainer = small_trainer(llama, small_tasks(), case.method, case.rule and case.rule(), recipe=SGD)
    trainer.task_losses.tokens_at_once = case.tokens
    if case.backend:
        trainer.task_losses.collector.backend = case.backend
    if case.layered:
        trainer.task_losses.collector.budget = 0
    return trainer


def tuned(case: Case, llama: Path, checkpoint: Path, ranks: Ranks) -> Trainer:
    trainer = trainer_for(case, llama)
    if case.resumed and ranks.count > 1:
        checkpoint = checkpoint.with_suffix(f".{ranks.rank}.safetensors")
        trainer.model.train()
        trainer.step(trainer.draws.draw(0))
        trainer.save(checkpoint)
        trainer = trainer_for(case, llama)
    if ranks.rank:
        trainer.follow(checkpoint, ranks)
    else:
        trainer.run(checkpoint, ranks=ranks)
    return trainer


def failures(llama: Path, folder: Path, ranks: Ranks) -> dict[str, Exception]:
    """What each of these ends with, in the process that calls."""
    raised: dict[str, Exception] = {}
    for kind in (Broken, Drifting):
        try:
            tuned(Case(kind), llama, folder / f"{kind.__name__}.safetensors", ranks)
        except Exception as error:
            raised[kind.__name__] = error
    return raised


def all_tuned(llama: Path, folder: Path, ranks: Ranks) -> tuple[dict[str, Trainer], dict[str, Exception]]:
    """Every case after its steps, and what the failing ones raise."""
    trainers = {
        name: tuned(case, llama, folder / f"{number}.safetensors", ranks)
        for number, (name, case) in enumerate(CASES.items())
    }
    return trainers, failures(llama, folder, ranks)


if __name__ == "__main__":
    torch.set_num_threads(1)
    llama, folder = map(Path, sys.argv[1:])
    ranks = Distributed(1, 2, torch.device("cpu"), folder / "meeting")
    _, raised = all_tuned(llama, folder, ranks)
    (folder / "raised").write_text(repr(raised), encoding="utf-8")
    ranks.leave()
