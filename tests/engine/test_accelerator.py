"""Tuning and answering on an accelerator, beside separate rows, the model's own ``generate``, and a run cut in two.

Skipped without one; ``SNIBENCH_TEST_DEVICE=cpu`` runs them on the CPU, which shows that the tests themselves work.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from small_models import RECIPE

from snibench.base.types import Mixture, Prompt, Segment
from snibench.engine.backbone import Backbone
from snibench.engine.decoding import Prompted, choose
from snibench.engine.embeddings import InstructionEncoder
from snibench.engine.loading import load_backbone
from snibench.engine.losses import target_logits, target_nll
from snibench.engine.packing import make_batch
from snibench.engine.tokens import Encoder
from snibench.engine.tuning import Trainer, TrainingSet
from snibench.formats.catalogue import Definition
from snibench.methods.lora import Lora
from snibench.methods.untuned import Untuned
from snibench.models.find import find_model
from snibench.rules.pcgrad import PCGrad

DEVICE = os.environ.get("SNIBENCH_TEST_DEVICE", "cuda")
there = DEVICE == "cpu" or torch.cuda.is_available()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not there, reason="no accelerator")]
TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2}


@pytest.fixture(params=["float32", "bfloat16"])
def backbone(request, llama_folder) -> Backbone:
    return load_backbone(find_model(str(llama_folder)), device=DEVICE, precision=request.param)


def trainer_of(backbone: Backbone, tasks) -> Trainer:
    method = Lora()
    torch.manual_seed(0)
    cards = {name: task.card for name, task in tasks.items()}
    model = method.attach(backbone.model, list(cards.values()), InstructionEncoder(backbone, 512), 0)
    instances = {name: task.instances for name, task in tasks.items()}
    data = TrainingSet(cards, instances, [Definition()], Mixture(tuple(tasks)))
    return Trainer(backbone, model, method, PCGrad(), data, RECIPE, 0)


def asked(tasks) -> list[Prompted]:
    return [
        Prompted(
            task.card,
            Prompt((Segment("instruction", f"{task.card.definition[:60]}\n"), Segment("input", one.input))),
            task.name,
        )
        for task in tasks.values()
        for one in task.instances[:2]
    ]


def test_packed_rows_give_the_losses_of_separate_rows_there(backbone, request) -> None:
    encoder = Encoder(backbone, 512, 16)
    prompts = [
        Prompt((Segment("instruction", "copy " * 9), Segment("input", text), Segment("cue", "\nOutput:")))
        for text in ("red", "blue cat", "a dog runs")
    ]
    groups = [(name, encoder.pairs(prompts, ["x", "yes", "no way"])) for name in ("one", "two")]
    packed, apart = (make_batch(groups, backbone, pack=pack) for pack in (True, False))
    losses = [target_nll(target_logits(backbone.model, batch), batch) for batch in (packed, apart)]
    assert losses[0].device.type == DEVICE
    torch.testing.assert_close(losses[0], losses[1], rtol=TOLERANCE[request.node.callspec.params["backbone"]], atol=0.0)


def test_answers_are_those_of_generate_there(llama_folder, tasks) -> None:
    base = load_backbone(find_model(str(llama_folder)), device=DEVICE)
    encoder = Encoder(base, 512, 6)
    decoder, note = choose(base, base.model, Untuned(), encoder)
    assert note == ""
    expected = []
    for one in asked(tasks):
        ids = torch.tensor(encoder.prompt_ids([one.prompt.text]), device=DEVICE)
        output = base.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
        text = base.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        expected.append(text.lstrip(" ").split("\n")[0].strip())
    assert [reply.prediction for reply in decoder.answer(asked(tasks))] == expected


def test_a_run_that_was_cut_in_two_ends_as_one_that_was_not(backbone, llama_folder, tasks, tmp_path, request) -> None:
    precision = request.node.callspec.params["backbone"]
    whole = trainer_of(backbone, tasks)
    whole.run(tmp_path / "whole.safetensors", every=1e9)

    class Cut(Exception):
        """In the middle."""

    def cut(progress, steps: int) -> None:
        if len(progress.trace) == RECIPE.steps // 2:
            raise Cut

    again = load_backbone(find_model(str(llama_folder)), device=DEVICE, precision=precision)
    first = trainer_of(replace(again), tasks)
    with pytest.raises(Cut):
        first.run(tmp_path / "cut.safetensors", every=0.0, on_step=cut)
    second = trainer_of(load_backbone(find_model(str(llama_folder)), device=DEVICE, precision=precision), tasks)
    second.run(tmp_path / "cut.safetensors", every=1e9)
    for name, parameter in whole.named.items():
        torch.testing.assert_close(second.named[name], parameter, rtol=1e-5, atol=1e-6)
