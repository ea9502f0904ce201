"""A random Llama and T5 built from a config, six small tasks, and a trainer on them: no downloads."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from transformers import T5Config, T5ForConditionalGeneration

from snibench.api import Method, Rule
from snibench.backbone import Backbone, find_model, load_backbone
from snibench.embeddings import InstructionEncoder
from snibench.formats.catalogue import Definition
from snibench.testing.models import save_byte_tokenizer, save_tiny_llama
from snibench.tuning import Trainer, TrainingSet
from snibench.types import Example, Instance, Mixture, Recipe, Task, TaskCard

RECIPE = Recipe(steps=6, tasks_per_step=4, instances_per_task=3, learning_rate=1e-2)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=save_byte_tokenizer(folder),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        eos_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tasks() -> dict[str, Task]:
    rng = random.Random(0)
    words = ["red", "blue", "cat", "dog", "house", "tree", "green", "seven"]

    def task(number: int) -> Task:
        name = f"task{number}"
        card = TaskCard(
            name=name,
            definition=f"Say word number {number} of the input, please. " * (number + 1),
            positive=(Example("red blue", "red"), Example("cat dog", "cat")),
            negative=(),
            category="Word Games",
            domains=("Words",),
            sources=(f"source{number}",),
            labels=None,
            metric="exact_match",
        )
        instances = tuple(
            Instance(f"{name}-{index}", " ".join(rng.choices(words, k=4 + index % 5)), (rng.choice(words),))
            for index in range(40)
        )
        return Task(card, instances)

    return {f"task{number}": task(number) for number in range(6)}


@pytest.fixture
def backbone(llama_folder: Path) -> Backbone:
    return load_backbone(find_model(str(llama_folder)))


@pytest.fixture
def t5(t5_folder: Path) -> Backbone:
    return load_backbone(find_model(str(t5_folder)))


MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def make_trainer(llama_folder: Path, tasks: dict[str, Task]) -> MakeTrainer:
    """``make_trainer(MethodClass, rule=None, seed=0, recipe=RECIPE, folder=llama, precision="float32",
    **settings)``."""

    def make(
        kind: Callable[..., Method],
        rule: Rule | None = None,
        seed: int = 0,
        recipe: Recipe = RECIPE,
        folder: Path = llama_folder,
        precision: str = "float32",
        **settings: Any,
    ) -> Trainer:
        base = load_backbone(find_model(str(folder)), precision=precision)
        method = kind(kind.Settings(**settings)) if isinstance(kind, type) else kind(**settings)
        torch.manual_seed(seed)
        cards = {name: task.card for name, task in tasks.items()}
        model = method.attach(base.model, list(cards.values()), InstructionEncoder(base, 512))
        data = TrainingSet(cards, {n: t.instances for n, t in tasks.items()}, Definition(), Mixture(tuple(tasks)))
        return Trainer(base, model, method, rule or method.rule(), data, recipe, seed)

    return make


@pytest.fixture
def shake() -> Callable[[Trainer], Trainer]:
    """Moves every trainable parameter off its initial value, the same way for equal models."""

    def move(trainer: Trainer) -> Trainer:
        torch.manual_seed(1)
        with torch.no_grad():
            for parameter in trainer.named.values():
                parameter += 0.05 * torch.randn_like(parameter)
        return trainer

    return move
