"""Models are read as transformers reads them, or refused in a sentence that names the fault."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, LlamaForSequenceClassification

from snibench.base.errors import ModelError
from snibench.base.types import (
    FitSpec,
    Mixture,
    ModelRef,
    Paths,
    Prompt,
    Recipe,
    Segment,
    SuiteRequest,
    TaskCard,
)
from snibench.engine.backbone import Backbone
from snibench.engine.check import check_method, check_model
from snibench.engine.decoding import Prompted, choose
from snibench.engine.decoding.decoder import Tokens
from snibench.engine.decoding.generate import GenerateDecoder
from snibench.engine.decoding.reference import ReferenceDecoder
from snibench.engine.loading import load_backbone
from snibench.engine.losses import target_logits, target_nll
from snibench.engine.packing import make_batch
from snibench.engine.tokens import Encoder
from snibench.methods.lora import Lora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.ours import Ours
from snibench.methods.soft_prompt import GatedPrompt, SoftPrompt
from snibench.methods.untuned import Untuned
from snibench.models.find import find_model
from snibench.testing.models import save_tiny


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNIBENCH_HOME", str(tmp_path / "home"))


def own(folder: Path) -> Any:
    """The model as transformers' documentation loads it, with the attention that knows every cap and bias."""
    kind = AutoModelForSeq2SeqLM if json.loads((folder / "config.json").read_text()).get("is_encoder_decoder") else None
    return (kind or AutoModelForCausalLM).from_pretrained(folder, attn_implementation="eager").eval()


def assert_right(folder: Path, tasks) -> Paths:
    """Loss and greedy answers are those of transformers on tasks of its own; the paths by which they were found."""
    backbone, true = load_backbone(find_model(str(folder))), own(folder)
    groups = [(name, pairs_of(backbone, task)) for name, task in list(tasks.items())[:2]]
    batch = make_batch(groups, backbone, pack=backbone.packs)
    with torch.no_grad():
        found = target_nll(target_logits(backbone.model, batch), batch)
        expected = torch.stack([torch.stack([own_loss(true, one) for one in some]).mean() for _, some in groups])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    asked = [Prompted(tasks[name].card, one.prompt, name) for name, some in groups for one in some]
    encoder = Encoder(backbone, 2048, 4)
    for one, said in zip(asked, choose(backbone, backbone.model, Untuned(), encoder)[0].token_ids(asked), strict=True):
        ids = torch.tensor(encoder.prompt_ids([one.prompt.text]))
        output = true.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False)
        expected_ids = output[0, 1 if backbone.encoder_decoder else ids.shape[1] :].tolist()
        assert list(said) == expected_ids[: len(said)]
    return backbone.paths


def pairs_of(backbone: Backbone, task):
    from random import Random

    from snibench.formats.catalogue import Definition

    encoder, some = Encoder(backbone, 2048, 8), task.instances[:3]
    prompts = [Definition().render(task.card, one.input, Random(0)) for one in some]
    return encoder.pairs(prompts, [one.outputs[0] for one in some])


def own_loss(model, one) -> torch.Tensor:
    ids = torch.tensor([[*one.prompt_ids, *one.target_ids]])
    logits = model(ids).logits[0, len(one.prompt_ids) - 1 : -1]
    return torch.nn.functional.cross_entropy(logits.float(), torch.tensor(one.target_ids))


# ------------------------------------------------------------------------------- incomplete files


def changed(folder: Path, target: Path, change) -> Path:
    """A copy of a model folder whose tensors ``change`` has altered in place."""
    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


def test_a_missing_layer_is_refused_by_name(llama_folder, tmp_path) -> None:
    folder = changed(llama_folder, tmp_path / "m", lambda t: t.pop("model.layers.1.mlp.down_proj.weight"))
    with pytest.raises(
        ModelError, match=r"lacks the tensor 'model.layers.1.mlp.down_proj.weight', which would be drawn"
    ):
        load_backbone(find_model(str(folder)))
    with pytest.raises(ModelError, match="lacks the tensor"):
        load_backbone(find_model(str(folder)), paths=Paths())


def test_keys_under_another_prefix_are_refused(llama_folder, tmp_path) -> None:
    def move(tensors: dict[str, torch.Tensor]) -> None:
        for key in list(tensors):
            tensors[f"other.{key}"] = tensors.pop(key)

    with pytest.raises(ModelError, match=r"lacks the tensor '.*' and \d+ more"):
        check_model(find_model(str(changed(llama_folder, tmp_path / "m", move))))


def test_a_classifier_without_a_head_is_refused_and_one_with_tied_embeddings_is_noted(llama_folder, tmp_path) -> None:
    true = AutoModelForCausalLM.from_pretrained(llama_folder)
    for tied, folder in ((False, tmp_path / "untied"), (True, tmp_path / "tied")):
        shutil.copytree(llama_folder, folder)
        (folder / "model.safetensors").unlink()
        true.config.tie_word_embeddings = tied
        LlamaForSequenceClassification(true.config).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"lacks the tensor 'lm_head.weight'"):
        check_model(find_model(str(tmp_path / "untied")))
    (note,) = check_model(find_model(str(tmp_path / "tied"))).notes
    assert "'score.weight'" in note


def test_a_tensor_of_another_shape_is_refused_with_both_shapes(llama_folder, tmp_path) -> None:
    def cut(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"] = tensors["model.norm.weight"][:8].clone()

    with pytest.raises(ModelError, match=r"'model.norm.weight' in .* has shape \(8,\), but .* asks for \(32,\)"):
        check_model(find_model(str(changed(llama_folder, tmp_path / "m", cut))))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(value, llama_folder, tmp_path) -> None:
    folder = changed(llama_folder, tmp_path / "m", lambda t: t["model.layers.1.mlp.down_proj.weight"].fill_(value))
    with pytest.raises(ModelError, match="hold NaN or infinite values"):
        check_model(find_model(str(folder)))


def test_tied_embeddings_are_not_missing(llama_folder) -> None:
    assert "lm_head.weight" not in load_file(llama_folder / "model.safetensors")
    assert check_model(find_model(str(llama_folder))).paths == Paths()


# ------------------------------------------------------------------------- architectures by kind

HYBRID = ["qwen3_next", "qwen3_5_text", "lfm2", "jamba", "bamba", "falcon_h1", "granitemoehybrid", "llama4_text"]


@pytest.mark.parametrize("name", HYBRID)
def test_what_remembers_its_row_is_read_with_one_instance_a_row(name, tasks, tmp_path) -> None:
    assert assert_right(save_tiny(name, tmp_path), tasks).rows == "single"


def test_a_bias_by_distance_is_no_reason_to_read_another_instance(tasks, tmp_path) -> None:
    assert assert_right(save_tiny("falcon", tmp_path, alibi=True), tasks).rows == "single"


@pytest.mark.parametrize("name", ["mistral", "gemma3_text", "gemma3", "gemma3n_text", "gemma4_text", "cohere2"])
def test_windows_are_kept(name, tasks, tmp_path) -> None:
    assert assert_right(save_tiny(name, tmp_path), tasks).rows == "single"


@pytest.mark.parametrize("name", ["gemma2", "gpt_neo", "gpt_oss", "bloom", "mpt", "xglm", "mamba", "rwkv"])
def test_what_sdpa_does_not_know_is_read_by_eager_attention(name, tasks, tmp_path) -> None:
    assert assert_right(save_tiny(name, tmp_path), tasks).attention == "eager"


def test_rows_that_end_early_leave_a_hybrids_batch_as_it_is(tmp_path) -> None:
    backbone = load_backbone(find_model(str(save_tiny("qwen3_next", tmp_path))))
    encoder = Encoder(backbone, 2048, 6)
    texts = ["Say red.", "Name a colour of the sky.", "Which?", "Where do they all come from, I ask you?"]
    prompts = [Prompt((Segment("input", text),)) for text in texts]
    card = TaskCard("t", "", (), (), "", (), (), None, "exact_match")
    some = [
        Tokens(Prompted(card, prompt, "g", stop=""), encoded)
        for prompt, encoded in zip(prompts, encoder.prompts(prompts), strict=True)
    ]

    def said(engine, ends) -> list[tuple[int, ...]]:
        unpadded = replace(backbone, ends=frozenset(ends), paths=replace(backbone.paths, decoding="generate"))
        decoder = engine(unpadded, backbone.model, Untuned(), encoder)
        with torch.no_grad():
            completions = dict(decoder.complete(some))
        return [completions[index].ids for index in range(4)]

    whole = said(GenerateDecoder, ())
    last = {row[1] for row in whole[:2]}  # ends the first answers at their second token or before
    expected = [row[: next((i for i, t in enumerate(row) if t in last), 5) + 1] for row in whole]
    assert said(ReferenceDecoder, last) == expected
    assert len({len(row) for row in expected}) > 1


@pytest.mark.parametrize("name", ["modernbert-decoder", "recurrent_gemma", "granite", "cohere"])
def test_heads_that_are_more_than_a_linear_layer_are_read_whole(name, tasks, tmp_path) -> None:
    assert_right(save_tiny(name, tmp_path), tasks)


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_encoders_without_a_causal_mask_are_refused(name, tmp_path) -> None:
    with pytest.raises(ModelError, match="sees tokens that come later"):
        check_model(find_model(str(save_tiny(name, tmp_path))))


def test_an_encoder_decoder_that_masks_its_start_token_is_not_called_an_encoder(tmp_path) -> None:
    with pytest.raises(ModelError, match="its decoder has no causal mask, or masks its start token as padding"):
        check_model(find_model(str(save_tiny("fsmt", tmp_path, pad_token_id=0))))


# ------------------------------------------------------------------------------------- methods


def spec(kind: str, source) -> FitSpec:
    return FitSpec(
        kind, "", {}, {}, source.ref, SuiteRequest("mini"), "", Mixture(()), "", Recipe(1), 0, "float32", kind
    )


class Leaky(Lora):
    """LoRA, and every instance of a row is told of the one before it."""

    def attach(self, model, cards, encode, seed):
        adapted = super().attach(model, cards, encode, seed)
        layer = adapted.get_base_model().model.layers[0]
        layer.register_forward_hook(lambda module, inputs, output: output + output.roll(1, dims=1))
        return adapted


@pytest.mark.parametrize("kind", [Lora, Ours, MtlLora, SoftPrompt, GatedPrompt])
def test_a_method_is_checked_off_its_start_and_put_back_bit_by_bit(kind, make_trainer) -> None:
    trainer = make_trainer(kind)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    cards = list(trainer.data.cards.values())
    check_method(trainer.backbone, trainer.method, trainer.model, cards, spec(kind.__name__, trainer.backbone.source))
    assert torch.rand(1) == drawn
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


@pytest.mark.parametrize("count", [1, 2])
def test_a_method_tuned_on_few_tasks_is_checked_alike(count, make_trainer) -> None:
    trainer = make_trainer(Lora)
    cards = list(trainer.data.cards.values())[:count]
    fit = spec(f"lora on {count}", trainer.backbone.source)
    check_method(trainer.backbone, trainer.method, trainer.model, cards, fit)


@pytest.mark.parametrize("count", [1, 2])
def test_a_method_whose_instances_see_each_other_is_refused(count, make_trainer) -> None:
    trainer = make_trainer(Leaky)
    cards = list(trainer.data.cards.values())[:count]
    with pytest.raises(
        ModelError, match=r"leaky in LlamaForCausalLM is not trained as with one instance a row: .* Set"
    ):
        check_method(trainer.backbone, trainer.method, trainer.model, cards, spec("leaky", trainer.backbone.source))


def test_a_bfloat16_model_is_checked_in_float32_and_stays_bfloat16(make_trainer) -> None:
    trainer = make_trainer(Ours, precision="bfloat16")
    before = {name: (value.dtype, value.clone()) for name, value in trainer.model.state_dict().items()}
    cards = list(trainer.data.cards.values())
    check_method(trainer.backbone, trainer.method, trainer.model, cards, spec("bf16", trainer.backbone.source))
    for name, value in trainer.model.state_dict().items():
        assert value.dtype is before[name][0]
        assert torch.equal(value, before[name][1]), name


# ---------------------------------------------------------------------------------- what is kept


def test_a_model_is_checked_once_and_the_decision_is_part_of_the_fit(llama_folder, tmp_path, monkeypatch) -> None:
    from dataclasses import replace

    source = find_model(str(llama_folder))
    found = check_model(source)
    monkeypatch.setattr(
        "snibench.engine.check.model_paths.read_backbone", lambda *_, **__: pytest.fail("checked again")
    )
    assert check_model(source) == found
    fit = spec("lora", source)
    assert replace(fit, paths=Paths("eager", "single", "generate")).id != fit.id
    assert isinstance(fit.model, ModelRef)
