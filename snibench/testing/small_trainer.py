"""Trainers of a method on a small random model and four made-up tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.types import Instance, Mixture, Recipe
from snibench.contracts import Method
from snibench.testing.expectations import recognisable_card

if TYPE_CHECKING:
    from torch import nn

    from snibench.engine.backbone import Backbone
    from snibench.engine.packing import Batch
    from snibench.engine.tuning import Trainer

RECIPE = Recipe(steps=3, tasks_per_step=3, instances_per_task=2, learning_rate=1e-2, max_input=512, max_output=8)
SEEN = tuple(recognisable_card(number) for number in range(4))
UNSEEN = recognisable_card(9, closed=False)


@contextmanager
def one_thread() -> Iterator[None]:
    """A model this small only loses time on threads; and the caller's global generator is left as it was."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


def attached(method: type[Method], settings: Any, folder: Path) -> tuple[Backbone, Method, nn.Module]:
    """The small model, the method, and what it attached, in ``folder``."""
    import torch

    from snibench.engine.embeddings import InstructionEncoder
    from snibench.engine.loading import load_backbone
    from snibench.models.find import find_model

    backbone = load_backbone(find_model(str(folder)))
    made = method(settings)
    torch.manual_seed(0)
    return backbone, made, made.attach(backbone.model, SEEN, InstructionEncoder(backbone, RECIPE.max_input), 0)


def trained_names(method: type[Method], settings: Any, folder: Path) -> list[str]:
    """Names of the trainable parameters."""
    _, _, model = attached(method, settings, folder)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def small_trainer(method: type[Method], settings: Any, folder: Path) -> Trainer:
    """A trainer of the method on the seen tasks."""
    from snibench.base.registry import FORMATS
    from snibench.engine.tuning import Trainer, TrainingSet

    backbone, made, model = attached(method, settings, folder)
    instances = {
        card.name: tuple(Instance(f"{card.name}-{i}", f"a zibbet with {i} legs", ("bleen",)) for i in range(6))
        for card in SEEN
    }
    data = TrainingSet(
        {card.name: card for card in SEEN}, instances, [FORMATS.get("definition")()], Mixture(tuple(instances))
    )
    return Trainer(backbone, model, made, made.rule(), data, RECIPE, seed=0)


def small_batch(trainer: Trainer, tasks: Sequence[int]) -> Batch:
    """Two instances of each of the seen tasks with these numbers."""
    groups = trainer.encode([(SEEN[task].name, (0, 1)) for task in tasks])
    return trainer.task_losses.batch(groups)
