"""Prompts that are too long, and positions that a model has no vectors for: said while a run is planned."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GPT2Config, GPT2LMHeadModel

from snibench.base.errors import DataError, ModelError
from snibench.base.registry import FORMATS
from snibench.base.types import Instance, ModelInfo, Recipe, SuiteData, SuiteRequest
from snibench.engine.loading import load_backbone
from snibench.engine.soft_prompts import insert_prompt
from snibench.engine.tokens import Encoder
from snibench.models.find import find_model
from snibench.models.headers import read_headers
from snibench.plan.lengths import TokenCounter, check_positions, without_long_prompts
from snibench.plan.plan import plan
from snibench.plan.request import RunRequest
from snibench.testing.models import save_byte_tokenizer

LIMIT = 84  # tokens, which some prompts of the four tasks are longer than


def learned(limit: int, **config: object) -> ModelInfo:
    return ModelInfo({"architectures": ["APositional"], **config}, {"wpe.weight": (limit, 8)}, 8 * limit)


@pytest.mark.parametrize(
    ("info", "recipe", "sentence"),
    [
        (learned(1152), Recipe(1), None),
        (learned(1024), Recipe(1), r"1,024 positions, .*--max-input 1024 .*--max-output 128\. Set --max-input 896"),
        (learned(64), Recipe(1, max_input=32), "Lower --max-output"),
        (learned(1024, is_encoder_decoder=True), Recipe(1), None),
        (learned(512, is_encoder_decoder=True), Recipe(1), "Set --max-input 512 or less"),
        (ModelInfo({"max_position_embeddings": 64}, {}, 0), Recipe(1), None),
    ],
)
def test_prompt_and_answer_need_learned_positions(info, recipe, sentence) -> None:
    if sentence is None:
        check_positions(info, recipe)
        return
    with pytest.raises(ModelError, match=sentence):
        check_positions(info, recipe)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2")
    sizes = {"n_positions": 600, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=save_byte_tokenizer(folder), **sizes)).save_pretrained(folder)
    return folder


NARROW = {"n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 40}
WIDE = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "max_position_embeddings": 40}
TWO_PARTS = {
    **{"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4},
    **{"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "decoder_start_token_id": 0},
}


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("GPT2", NARROW),
        ("GPTJ", {**NARROW, "rotary_dim": 4}),
        ("GPTBigCode", NARROW),
        ("OPT", {**WIDE, "ffn_dim": 48, "word_embed_proj_dim": 32}),
        ("BioGpt", {**WIDE, "intermediate_size": 48}),
        ("Mpt", {"d_model": 32, "n_heads": 4, "n_layers": 1, "max_seq_len": 40}),
        ("Bart", {**TWO_PARTS, "max_position_embeddings": 40}),
        ("LED", {**TWO_PARTS, "max_encoder_position_embeddings": 40, "max_decoder_position_embeddings": 20,
                 "attention_window": 8}),
    ],
)  # fmt: skip
def test_the_headers_tell_how_long_a_sequence_a_model_reads(family, sizes, tmp_path) -> None:
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    config = getattr(transformers, f"{family}Config")(vocab_size=64, **sizes, **ends)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = kind.from_config(config).eval()
    model.save_pretrained(tmp_path)
    assert read_headers(tmp_path).learned_positions == 40

    def read(length: int) -> None:
        ids = torch.full((1, length), 5)
        model(ids, **({"decoder_input_ids": ids[:, :2]} if config.is_encoder_decoder else {}))

    read(40)
    with pytest.raises((IndexError, RuntimeError)):
        read(41)


def test_a_run_beyond_a_models_positions_is_refused_while_it_is_planned(gpt2) -> None:
    request = RunRequest(("lora",), SuiteRequest("mini", tasks=4), str(gpt2))
    with pytest.raises(ModelError, match=r"A GPT2LMHeadModel has vectors for 600 positions.* Set --max-input 472"):
        plan(request)
    assert plan(replace(request, recipe=replace(request.recipe, max_input=472))).fits


def test_virtual_tokens_take_positions_from_the_prompt(gpt2) -> None:
    backbone = load_backbone(find_model(str(gpt2)))
    assert Encoder(backbone, 1024, 100).max_input == 500
    insert_prompt(backbone.model, 20, lambda ids, plain: torch.zeros(20, 16))
    assert Encoder(backbone, 1024, 100).max_input == 480
    assert Encoder(backbone, 64, 100).max_input == 64


@pytest.fixture
def suite(tasks) -> SuiteData:
    instances = {name: task.instances[:6] for name, task in tasks.items()}
    long = Instance("long", "red " * 400, ("red",))
    training = {**instances, "task0": (*instances["task0"][:3], long, *instances["task0"][3:])}
    nothing: dict[str, tuple[Instance, ...]] = dict.fromkeys(tasks, ())
    probe = {**{name: instances[name][:2] for name in tasks}, "task1": (long,), "task2": (long, instances["task2"][0])}
    return SuiteData("s", "digest", tasks, tuple(tasks), (), training, probe, nothing, nothing)


def test_training_prompts_that_are_too_long_are_left_out_and_counted(suite, llama_folder) -> None:
    counter = TokenCounter(find_model(str(llama_folder)))
    form = FORMATS.get("definition")()
    kept, notes = without_long_prompts(suite, form, 1024, counter)
    assert notes == ("1 of 37 training prompts are longer than --max-input 1024 tokens and are left out.",)
    assert [one.id for one in kept.training["task0"]] == [f"task0-{index}" for index in range(6)]
    assert kept.digest == suite.digest
    assert [one.id for one in kept.probe["task2"]] == ["task2-0"]
    assert [one.id for one in kept.probe["task1"]] == ["long"]  # a task without probe would not be measured
    assert without_long_prompts(suite, form, 4096, counter) == (suite, ())


def test_the_limit_is_in_tokens_as_the_encoder_counts_them(suite, llama_folder, backbone) -> None:
    counter, form = TokenCounter(find_model(str(llama_folder))), FORMATS.get("definition")()
    card, long = suite.tasks["task0"].card, suite.training["task0"][3]
    exact = len(Encoder(backbone, 10**6, 8).prompts([form.render(card, long.input, Random(0))])[0].prompt_ids)
    assert without_long_prompts(suite, form, exact, counter)[1] == ()
    assert without_long_prompts(suite, form, exact - 1, counter)[1]


def test_demonstrations_are_dropped_before_a_prompt_is(suite, llama_folder) -> None:
    counter = TokenCounter(find_model(str(llama_folder)))
    form = FORMATS.get("full_examples")()
    shown, bare = (
        without_long_prompts(suite, form, 300, counter),
        without_long_prompts(suite, form, 100, lambda t: [50] * len(t)),
    )
    assert len(shown[0].training["task0"]) == 6
    assert bare == (suite, ())


def test_a_task_of_which_no_prompt_fits_is_named(suite, llama_folder) -> None:
    counter = TokenCounter(find_model(str(llama_folder)))
    with pytest.raises(DataError, match="No training prompt of 'task0' fits into --max-input 20 tokens"):
        without_long_prompts(suite, FORMATS.get("definition")(), 20, counter)


def test_the_note_is_in_the_plan_and_in_the_records_of_what_is_tuned() -> None:
    recipe = replace(Recipe(6), max_input=LIMIT)
    made = plan(RunRequest(("lora",), SuiteRequest("mini", tasks=4), "tiny", recipe=recipe, seeds=(0,)))
    note = next(one for one in made.notes if f"training prompts are longer than --max-input {LIMIT}" in one)
    dropped, total = (int(number) for number in re.findall(r"\d+", note.replace(",", ""))[:2])
    assert 0 < dropped < total
    assert sum(map(len, made.suite.training.values())) == total - dropped
    for fit in made.fits:
        assert (note in fit.notes) == bool(fit.spec.recipe.steps)
