"""Where answers end, and that they are greedy: whatever a model's generation config says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from snibench.engine.decoding import Prompted, choose
from snibench.engine.loading import load_backbone
from snibench.engine.tokens import Encoder
from snibench.formats.catalogue import Definition
from snibench.methods.untuned import Untuned
from snibench.models.find import find_model

LENGTH = 8


def asked_of(tasks):
    from random import Random

    return [
        Prompted(task.card, Definition().render(task.card, task.instances[0].input, Random(0)), task.name)
        for task in tasks.values()
    ]


def with_generation(folder: Path, copy: Path, **values: object) -> Path:
    shutil.copytree(folder, copy)
    (copy / "generation_config.json").write_text(json.dumps(values), encoding="utf-8")
    return copy


def answers(folder: Path, tasks, method=None):
    backbone = load_backbone(find_model(str(folder)))
    replies = choose(backbone, backbone.model, method or Untuned(), Encoder(backbone, 512, LENGTH))[0].answer(
        asked_of(tasks)
    )
    return [reply.prediction for reply in replies]


class Alone(Untuned):
    """Keeps prompts apart, so that they are answered through transformers' own forward pass."""

    shares_prefixes = False


@pytest.mark.parametrize("method", [Untuned, Alone])
def test_every_end_token_of_a_list_ends_an_answer_as_in_generate(method, llama_folder, tasks, tmp_path) -> None:
    backbone = load_backbone(find_model(str(llama_folder)))
    encoder = Encoder(backbone, 512, LENGTH)
    prompts = [torch.tensor(encoder.prompt_ids([one.prompt.text])) for one in asked_of(tasks)]
    plain = backbone.model.generate(prompts[0], max_new_tokens=LENGTH)[0, prompts[0].shape[1] :].tolist()
    further = plain[3]
    folder = with_generation(llama_folder, tmp_path / "ends", eos_token_id=[0, further])

    own = AutoModelForCausalLM.from_pretrained(folder).eval()
    expected = []
    for ids in prompts:
        said = own.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=LENGTH, do_sample=False)
        said = said[0, ids.shape[1] :].tolist()
        said = said[: min((said.index(end) for end in (0, further) if end in said), default=len(said))]
        text = backbone.tokenizer.decode(said, skip_special_tokens=True)
        expected.append(text.lstrip(" ").split("\n")[0].strip())
    assert answers(folder, tasks, method()) == expected
    assert answers(llama_folder, tasks, method()) != expected


def test_end_tokens_are_part_of_a_models_identity_and_nothing_else_of_its_generation_config(
    llama_folder, tmp_path
) -> None:
    plain = find_model(str(llama_folder)).ref.digest
    digests = {
        name: find_model(str(with_generation(llama_folder, tmp_path / name, **values))).ref.digest
        for name, values in {
            "same": {"eos_token_id": 0},
            "beams": {"num_beams": 4},
            "ends": {"eos_token_id": [0, 5]},
        }.items()
    }
    assert digests["same"] == plain
    assert digests["ends"] != plain
    assert digests["beams"] == plain


def _make_talkative(folder: Path) -> None:
    """Other random weights: those of the fixture end every answer at once."""
    weights = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(3)
    for tensor in weights.values():
        tensor += 0.5 * torch.randn(tensor.shape, generator=generator)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def test_an_encoder_decoder_is_greedy_whatever_its_generation_config_says(t5_folder, tasks, tmp_path) -> None:
    values = {
        "num_beams": 4,
        "min_length": 7,
        "repetition_penalty": 3.0,
        "no_repeat_ngram_size": 1,
        "forced_bos_token_id": 44,
        "forced_eos_token_id": 0,
        "length_penalty": 5.0,
        "do_sample": True,
        "temperature": 9.0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        "decoder_start_token_id": 0,
    }
    folder = with_generation(t5_folder, tmp_path / "t5", **values)
    _make_talkative(folder)
    backbone = load_backbone(find_model(str(folder)))
    encoder = Encoder(backbone, 512, LENGTH)
    expected = []
    for one in asked_of(tasks):
        ids, said = torch.tensor(encoder.prompt_ids([one.prompt.text])), [0]
        while len(said) <= LENGTH and said[1:][-1:] != [0]:
            logits = backbone.model(input_ids=ids, decoder_input_ids=torch.tensor([said])).logits
            said.append(int(logits[0, -1].argmax()))
        text = backbone.tokenizer.decode(said[1:], skip_special_tokens=True)
        expected.append(text.lstrip(" ").split("\n")[0].strip())
    assert any(expected)
    assert answers(folder, tasks) == expected
