"""The fast path gives the answers of the reference path for every model it serves, and knows which it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from snibench.base.types import Prompt, Segment
from snibench.engine.backbone import Backbone
from snibench.engine.decoding import Prompted, choose
from snibench.engine.decoding.fast import FastModel, why_not_fast
from snibench.engine.decoding.merged_attention import attend, attend_plainly, merged
from snibench.engine.decoding.reading import Reading, Row
from snibench.engine.loading import load_backbone
from snibench.engine.tokens import Encoder
from snibench.methods.lora import Lora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.ours import Ours
from snibench.methods.untuned import Untuned
from snibench.models.find import find_model
from snibench.testing.models import save_byte_tokenizer

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
SERVED = {
    "llama": (LlamaForCausalLM, LlamaConfig, {"attention_bias": True, "mlp_bias": True}),
    "llama3-rotary": (
        LlamaForCausalLM,
        LlamaConfig,
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None, "head_dim": 8}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {"tie_word_embeddings": True}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 16}),
}
LEFT = {
    "window": (MistralForCausalLM, MistralConfig, {"sliding_window": 24}, "window"),
    "another family": (GPTNeoXForCausalLM, GPTNeoXConfig, {}, "gpt_neox"),
}


def saved(folder: Path, kind, config, **options) -> Backbone:
    torch.manual_seed(0)
    kind(config(vocab_size=save_byte_tokenizer(folder), **SMALL, **options)).save_pretrained(folder)
    return load_backbone(find_model(str(folder)))


def questions(tasks, each: int = 4) -> list[Prompted]:
    return [
        Prompted(
            task.card,
            Prompt((Segment("instruction", f"{task.card.definition[:60]}\n"), Segment("input", one.input))),
            task.name,
        )
        for task in tasks.values()
        for one in task.instances[:each]
    ]


def said_by_generate(backbone: Backbone, encoder: Encoder, asked: list[Prompted]) -> list[str]:
    answers = []
    for one in asked:
        ids = torch.tensor(encoder.prompt_ids([one.prompt.text]))
        output = backbone.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=encoder.max_output, do_sample=False
        )
        text = backbone.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        answers.append(text.lstrip(" ").split("\n")[0].strip())
    return answers


@pytest.mark.parametrize("name", SERVED)
def test_models_that_it_serves_answer_as_generate_does(name, tasks, tmp_path) -> None:
    kind, config, options = SERVED[name]
    backbone = saved(tmp_path, kind, config, **options)
    encoder = Encoder(backbone, 512, 6)
    asked = questions(tasks, each=2)
    decoder, note = choose(backbone, backbone.model, Untuned(), encoder)
    replies = decoder.answer(asked)
    assert note == ""
    assert [reply.prediction for reply in replies] == said_by_generate(backbone, encoder, asked)


@pytest.mark.parametrize("name", LEFT)
def test_other_models_answer_as_generate_does_and_say_why_they_are_slower(name, tasks, tmp_path) -> None:
    kind, config, options, reason = LEFT[name]
    backbone = saved(tmp_path, kind, config, **options)
    encoder = Encoder(backbone, 512, 4)
    asked = questions(tasks, each=2)
    decoder, note = choose(backbone, backbone.model, Untuned(), encoder)
    replies = decoder.answer(asked)
    assert [reply.prediction for reply in replies] == said_by_generate(backbone, encoder, asked)
    assert reason in note


def test_a_layer_that_is_not_what_it_seems_is_left_to_the_stock_way(backbone, tasks) -> None:
    encoder = Encoder(backbone, 512, 4)
    asked = questions(tasks, each=1)
    block = backbone.model.model.layers[0].mlp
    block.register_forward_hook(lambda module, inputs, output: -output)
    decoder, note = choose(backbone, backbone.model, Untuned(), encoder)
    replies = decoder.answer(asked)
    assert [reply.prediction for reply in replies] == said_by_generate(backbone, encoder, asked)
    assert "mlp" in note


def test_a_pass_that_differs_from_the_stock_one_is_not_used(backbone, tasks, monkeypatch) -> None:
    monkeypatch.setattr(FastModel, "logits", lambda self, states: self._head(states).roll(1, -1))
    encoder = Encoder(backbone, 512, 4)
    asked = questions(tasks, each=1)
    decoder, note = choose(backbone, backbone.model, Untuned(), encoder)
    replies = decoder.answer(asked)
    assert "differs" in note
    assert [reply.prediction for reply in replies] == said_by_generate(backbone, encoder, asked)


@pytest.mark.parametrize("kind", [Lora, MtlLora, Ours])
def test_with_adapters_it_answers_as_the_stock_way(kind, make_trainer, shake, tasks, monkeypatch) -> None:
    trainer = shake(make_trainer(kind))
    asked = questions(tasks, each=3)

    def answers() -> tuple[list[str], str]:
        decoder, note = choose(trainer.backbone, trainer.model, trainer.method, Encoder(trainer.backbone, 512, 6))
        return [reply.prediction for reply in decoder.answer(asked)], note

    fast, notes = answers()
    assert notes == ""
    monkeypatch.setattr("snibench.engine.decoding.choice.why_not_fast", lambda model: "this test says so")
    assert answers() == (fast, "answers by the reference path: this test says so")
    assert len(set(fast)) > 3


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_neither_batch_nor_company_nor_what_ends_early_changes_what_a_row_says(llama_folder, data) -> None:
    backbone = load_backbone(find_model(str(llama_folder)))
    assert why_not_fast(backbone.model) == ""
    model = FastModel(backbone.model)
    token = st.integers(1, 200)
    starts = data.draw(st.lists(st.lists(token, min_size=10, max_size=40), min_size=1, max_size=3))
    rows = data.draw(
        st.lists(
            st.builds(
                lambda kind, own: Row((*starts[kind % len(starts)], *own), kind % len(starts)),
                st.integers(0, 2),
                st.lists(token, min_size=1, max_size=25),
            ),
            min_size=1,
            max_size=7,
        )
    )
    stops = data.draw(st.lists(st.integers(1, 9), min_size=len(rows), max_size=len(rows)))

    def said(numbers: list[int], *, until: bool, look: int = 1) -> list[list[int]]:
        some = [rows[number] for number in numbers]
        reading = Reading(model, some, backbone.device, lambda rows: nullcontext(), look=look)

        def ends(place: int, ids: Sequence[int]) -> bool:
            return until and len(ids) == stops[numbers[place]]

        found = reading.answers(reading.prompts(), ends, 9)
        return [found[place] for place in range(len(numbers))]

    with torch.no_grad():
        alone = [said([number], until=False)[0] for number in range(len(rows))]
        together = said(list(range(len(rows))), until=True)
        # As on an accelerator, where the host looks every few tokens only.
        assert together == said(list(range(len(rows))), until=True, look=4)
    assert [len(one) for one in together] == stops
    assert together == [one[:stop] for one, stop in zip(alone, stops, strict=True)]


def test_one_long_answer_among_short_ones_is_said_to_its_end(backbone) -> None:
    model = FastModel(backbone.model)
    rows = [Row(tuple(range(1, 30 + number)), 0) for number in range(6)]

    def said(rows: list[Row], long: int) -> list[int]:
        with torch.no_grad():
            reading = Reading(model, rows, backbone.device, lambda rows: nullcontext())
            return reading.answers(reading.prompts(), lambda row, ids: row != long, 40)[long]

    assert len(said(rows, 4)) == 40  # beyond the room that the tail starts with
    assert said(rows, 4) == said([rows[4]], 0)


# ----------------------------------------------------------------------------------- attention


@settings(deadline=None, max_examples=30)
@given(
    batch=st.integers(1, 3),
    groups=st.integers(1, 2),
    each=st.integers(1, 3),
    length=st.integers(1, 6),
    split=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_two_parts_make_attention_over_all_keys(batch, groups, each, length, split, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, groups * each, length, 8, generator=generator)
    key, value = (torch.randn(batch, groups, 6, 8, generator=generator) for _ in range(2))
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=0.7, enable_gqa=True)
    for way in (attend, lambda *given: attend_plainly(*given, causal=False, mask=None)):
        parts = [way(query, key[:, :, part], value[:, :, part], 0.7) for part in (slice(split), slice(split, 6))]
        output, total = merged(*parts)
        torch.testing.assert_close(output, whole, atol=1e-5, rtol=1e-5)
        scores = query @ key.repeat_interleave(each, 1).transpose(-1, -2) * 0.7
        torch.testing.assert_close(total, scores.logsumexp(-1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_plain_attention_and_the_processors_kernel_agree(dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 5, 8, generator=generator).to(dtype)
    key, value = (torch.randn(2, 2, 5, 8, generator=generator).to(dtype) for _ in range(2))
    mask = torch.zeros(2, 1, 1, 5, dtype=dtype)
    mask[1, ..., 3:] = -math.inf
    for options in ({"causal": True, "mask": None}, {"causal": False, "mask": mask}):
        here = attend(query, key, value, 0.5, **options)
        there = attend_plainly(query, key, value, 0.5, **options)
        for one, other in zip(here, there, strict=True):
            torch.testing.assert_close(
                one.float(), other.float(), atol=2e-2 if dtype == torch.bfloat16 else 1e-5, rtol=0
            )


def test_several_tasks_share_a_round_and_a_limit_on_rows_splits_it(backbone, tasks, monkeypatch) -> None:
    asked = questions(tasks, each=4)
    encoder = Encoder(backbone, 512, 4)
    answers = []
    start, sizes = Reading.__init__, list[int]()

    def counted(self, model, rows, *rest, **more) -> None:
        sizes.append(len(rows))
        start(self, model, rows, *rest, **more)

    for batch_size in (None, 5):
        decoder, _ = choose(backbone, backbone.model, Untuned(), encoder, batch_size=batch_size)
        sizes.clear()
        monkeypatch.setattr(Reading, "__init__", counted)
        answers.append(decoder.answer(asked))
        monkeypatch.undo()
        assert sizes == ([24] if batch_size is None else [5, 5, 5, 5, 4])
    assert answers[0] == answers[1]


def test_nothing_asked_is_nothing_answered(backbone) -> None:
    assert choose(backbone, backbone.model, Untuned(), Encoder(backbone, 64, 4))[0].answer([]) == []


def test_bfloat16_is_served_too(llama_folder, tasks) -> None:
    backbone = load_backbone(find_model(str(llama_folder)), precision="bfloat16")
    decoder, note = choose(backbone, backbone.model, Untuned(), Encoder(backbone, 512, 4))
    replies = decoder.answer(questions(tasks, each=2))
    assert note == ""
    assert replies == choose(backbone, backbone.model, Untuned(), Encoder(backbone, 512, 4))[0].answer(
        [replace(one) for one in questions(tasks, each=2)]
    )
