from __future__ import annotations

import pytest
import torch

from snibench.api import FORMATS, Instance, InstructionEncoder, Mixture, Recipe, TaskCard, find_model, load_backbone
from snibench.engine.tuning import Trainer, TrainingSet
from snibench.testing.models import save_tiny_llama

RECIPE = Recipe(steps=3, tasks_per_step=3, instances_per_task=2, learning_rate=1e-2, max_input=512, max_output=8)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("model") / "llama")


def card(number):
    definition = f"A qualm is a kind of zibbet number {number}. Your task is to classify the zibbet."
    return TaskCard(f"task{number}", definition, (), (), "Zibbet Grading", ("Farms",), ("farm",), None, "rouge_l")


@pytest.fixture
def trainer(llama):
    """``trainer(Method, settings)``: a fit of three seen tasks that is about to begin."""

    def make(kind, settings=None):
        backbone = load_backbone(find_model(str(llama)))
        method = kind(settings)
        torch.manual_seed(0)
        cards = {f"task{number}": card(number) for number in range(3)}
        model = method.attach(backbone.model, list(cards.values()), InstructionEncoder(backbone, 512), 0)
        instances = {
            name: tuple(Instance(f"{name}-{i}", f"a zibbet with {i} legs", ("bleen",)) for i in range(6))
            for name in cards
        }
        data = TrainingSet(cards, instances, [FORMATS.get("definition")()], Mixture(tuple(cards)))
        return Trainer(backbone, model, method, method.rule(), data, RECIPE, seed=0)

    return make


@pytest.fixture
def shake():
    """Moves every trainable parameter off its start: an adapter that does nothing yet proves nothing."""

    def move(trainer):
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in trainer.named.values():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        trainer.model.eval()
        return trainer

    return move
