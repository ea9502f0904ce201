"""Tuning and answering where model and tensors are not on the CPU: nothing is made on the wrong device.

The device is a pretended one (``fixtures/pretend_device``), so that this holds on machines without an accelerator.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pretend_device import DEVICE, There, WrongDevice, pretending
from small_models import RECIPE

from snibench.base.registry import METHODS, RULES
from snibench.base.types import Mixture
from snibench.engine.decoding import Prompted, choose
from snibench.engine.embeddings import InstructionEncoder
from snibench.engine.loading import load_backbone
from snibench.engine.tokens import Encoder
from snibench.engine.tuning import Trainer, TrainingSet
from snibench.formats.catalogue import Definition
from snibench.methods.untuned import Untuned
from snibench.models.find import find_model

METHOD_NAMES = sorted(
    entry.name for entry in METHODS.entries() if entry.distribution == "snibench" and METHODS.get(entry.name).trains
)


def test_tensors_of_both_devices_do_not_meet() -> None:
    with pretending() as waits:
        here, there = torch.ones(3), torch.ones(3, device=DEVICE)
        with pytest.raises(WrongDevice, match="both devices"):
            here + there
        total = (there + 1).sum()
        assert isinstance(total, There)
        assert not waits.total()
        assert float(total) == 6
        assert there[there > 0].tolist() == [1, 1, 1]
        assert torch.tensor([1, 2], device=DEVICE).tolist() == [1, 2]
    assert waits.total() == 4


class Alone(Untuned):
    """Keeps prompts apart, so that they are answered by the reference path."""

    shares_prefixes = False


def trainer_on(folder, tasks, name: str, device: torch.device, rule: str = "") -> Trainer:
    base = load_backbone(find_model(str(folder)))
    base.model.set_attn_implementation("sdpa")  # as on an accelerator
    base = replace(base, model=base.model.to(device), device=device)
    method = METHODS.get(name)()
    torch.manual_seed(0)
    cards = {name: task.card for name, task in tasks.items()}
    model = method.attach(base.model, list(cards.values()), InstructionEncoder(base, 512), 0)
    data = TrainingSet(cards, {n: t.instances for n, t in tasks.items()}, [Definition()], Mixture(tuple(tasks)))
    return Trainer(base, model, method, RULES.get(rule)() if rule else method.rule(), data, RECIPE, 0)


def questions(tasks) -> list[Prompted]:
    return [
        Prompted(task.card, Definition().render(task.card, one.input, None), task.card.name)
        for task in list(tasks.values())[:3]
        for one in task.instances[:2]
    ]


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_step_and_answers_of_every_method_make_no_tensor_on_the_wrong_device(name, llama_folder, tasks) -> None:
    with pretending():
        trainer = trainer_on(llama_folder, tasks, name, DEVICE)
        trainer.step(trainer.draws.draw(0))
        decoder, _ = choose(trainer.backbone, trainer.model, trainer.method, Encoder(trainer.backbone, 512, 3))
        replies = decoder.answer(questions(tasks))
        assert all(isinstance(one.detach(), There) for one in trainer.named.values())
    assert trainer.progress.trace[0]["loss"] > 0
    assert len(replies) == 6


@pytest.mark.parametrize("rule", ["", "pcgrad", "graddrop", "famo"])
def test_steps_and_answers_on_another_device_are_those_of_the_cpu(rule, llama_folder, tasks) -> None:
    def outcome(device: torch.device):
        trainer = trainer_on(llama_folder, tasks, "lora", device, rule)
        for step in range(2):
            trainer.step(trainer.draws.draw(step))
        encoder = Encoder(trainer.backbone, 512, 6)
        decoder, note = choose(trainer.backbone, trainer.model, trainer.method, encoder)
        return [row["loss"] for row in trainer.progress.trace], decoder.answer(questions(tasks), rank_labels=True), note

    here = outcome(torch.device("cpu"))
    with pretending():
        there = outcome(DEVICE)
    assert there[0] == pytest.approx(here[0], rel=1e-3)
    assert there[2] == here[2]
    # Rounding may turn one near-tie.
    assert sum(one != other for one, other in zip(there[1], here[1], strict=True)) <= 1


@pytest.mark.parametrize("shares", [True, False])
def test_the_host_does_not_wait_for_the_device_at_every_token(shares, llama_folder, tasks) -> None:
    longest = 25
    with pretending() as waits:
        trainer = trainer_on(llama_folder, tasks, "lora", DEVICE)
        backbone = replace(trainer.backbone, ends=frozenset())
        method = trainer.method if shares else Alone()
        decoder, note = choose(backbone, trainer.model, method, Encoder(backbone, 512, longest))
        assert bool(note) is not shares
        waits.clear()
        asked = [replace(one, group="g", stop="") for one in questions(tasks)]
        assert min(len(ids) for ids in decoder.token_ids(asked)) == longest
    looks = 1 + -(-(longest - 1) // 8)
    assert waits["to the CPU"] <= looks + 2, waits
    if shares:  # transformers' own forward pass asks each time whether anything is padded
        assert waits.total() == waits["to the CPU"], waits
