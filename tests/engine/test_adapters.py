"""One definition of the adapted layers, for every method and every make of model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from snibench.base.errors import StoreError
from snibench.engine.adapted_layers import adapted_layers, described
from snibench.engine.backbone import base_of
from snibench.engine.packing import make_batch
from snibench.engine.trained_parameters import load_trained, save_trained
from snibench.methods.fly_lora import FlyLora
from snibench.methods.hydralora import HydraLora
from snibench.methods.lora import Lora
from snibench.methods.loramoe import LoraMoe
from snibench.methods.mixlora import MixLora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.ours import Ours
from snibench.methods.r_lora import RLora
from snibench.testing.models import save_byte_tokenizer, save_tiny

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
MLP = {"gate_proj", "up_proj", "down_proj"}
# Family -> what its config needs, and the last names of its adapted layers.
FAMILIES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 1024}, {"c_attn", "c_proj", "c_fc"}),
    "opt": (
        "OPT",
        {"ffn_dim": 48, "word_embed_proj_dim": 32, "init_std": 0.2},
        {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"},
    ),
    "llama": ("Llama", {}, ATTENTION | MLP),
    "mixtral": ("Mixtral", {"num_local_experts": 4}, ATTENTION),
    "phimoe": ("Phimoe", {"num_local_experts": 4}, ATTENTION),
    "qwen2_moe": (
        "Qwen2Moe",
        {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
        },
        ATTENTION | MLP,
    ),
    "deepseek_v3": (
        "DeepseekV3",
        LATENT,
        {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"} | MLP,
    ),
}
METHODS = [Lora, MtlLora, HydraLora, RLora, FlyLora, LoraMoe, Ours]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    def save(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        name, extra, _ = FAMILIES[family]
        config = getattr(transformers, f"{name}Config")(**{**SIZES, **extra, "vocab_size": save_byte_tokenizer(folder)})
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        return folder

    folders: dict[str, Path] = {}
    return lambda family: folders.setdefault(family, folders.get(family) or save(family))


def adapted_by(trainer) -> set[str]:
    """The layers that ``trainer``'s model carries adapters in, by the names that they have in the base model."""
    names = set()
    for name, _ in base_of(trainer.model).named_parameters():
        for mark in (".lora_A.default.weight", ".A.weight"):
            if name.endswith(mark):
                names.add(name.removesuffix(mark).replace(".block.", "."))  # as they were before experts took a part
    return names


@pytest.mark.parametrize("family", FAMILIES)
def test_every_method_adapts_the_same_layers(family, folder_of, make_trainer) -> None:
    folder = folder_of(family)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder)
    expected = set(adapted_layers(plain))
    assert {name.rpartition(".")[2] for name in expected} == FAMILIES[family][2]
    assert not any(".experts" in name or name.endswith((".gate", ".router")) for name in expected)
    for kind in METHODS if family == "opt" else [*METHODS, MixLora]:
        assert adapted_by(make_trainer(kind, folder=folder)) == expected


def test_transposed_layers_are_adapted_without_a_warning(folder_of, make_trainer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer = make_trainer(Lora, folder=folder_of("gpt2"))
    # Two blocks: 32 -> 96, 32 -> 32, 32 -> 128, 128 -> 32.
    assert sum(p.numel() for p in trainer.named.values()) == 2 * 8 * (128 + 64 + 160 + 160)


def test_the_parameters_of_lora_are_those_of_its_layers(folder_of, make_trainer) -> None:
    # Two blocks of attention: 32 -> 32, 32 -> 16 twice, 32 -> 32, eight ranks each.
    trainer = make_trainer(Lora, folder=folder_of("mixtral"))
    assert sum(p.numel() for p in trainer.named.values()) == 2 * 8 * (64 + 48 + 48 + 64)


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        *((kind, family) for kind in METHODS for family in ("gpt2", "opt", "qwen2_moe", "deepseek_v3")),
        *((MixLora, family) for family in ("gpt2", "qwen2_moe", "deepseek_v3")),
    ],
)
def test_a_task_has_the_loss_that_it_has_alone(kind, family, folder_of, make_trainer, shake) -> None:
    """Rows find their own task, also where layers see the tokens of all rows in one."""
    trainer = shake(make_trainer(kind, folder=folder_of(family)))
    groups = trainer.encode([("task1", (0, 1)), ("task3", (4, 5)), ("task0", (1, 7))])

    def losses(some):
        with torch.no_grad():
            return trainer.task_losses.losses_of(make_batch(some, trainer.backbone, pack=False)).tasks

    trainer.model.eval()
    together = losses(groups)
    alone = torch.cat([losses([one]) for one in groups])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert len({round(value, 4) for value in together.tolist()}) == 3


@pytest.mark.parametrize("family", ["gpt2", "deepseek_v3"])
@pytest.mark.parametrize("kind", [*METHODS, MixLora])
def test_what_is_stored_is_read_back(kind, family, folder_of, make_trainer, shake, tmp_path) -> None:
    trainer, fresh = (make_trainer(kind, folder=folder_of(family)) for _ in range(2))
    shake(trainer)
    save_trained(trainer.model, tmp_path / "adapter")
    load_trained(fresh.model, tmp_path / "adapter")
    for name, parameter in trainer.named.items():
        torch.testing.assert_close(fresh.named[name], parameter, rtol=0, atol=0)


def _fewer(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[min(tensors)]


def _more(tensors: dict[str, torch.Tensor]) -> None:
    tensors["stray"] = torch.zeros(1)


def _shorter(tensors: dict[str, torch.Tensor]) -> None:
    tensors[min(tensors)] = tensors[min(tensors)][:1].clone()


@pytest.mark.parametrize("kind", [Lora, MtlLora])
@pytest.mark.parametrize(
    ("harm", "said"), [(_fewer, "lacks "), (_more, "has the unknown tensor stray"), (_shorter, "has another shape of ")]
)
def test_an_adapter_that_is_not_the_methods_own_is_refused(kind, harm, said, folder_of, make_trainer, tmp_path) -> None:
    trainer = make_trainer(kind, folder=folder_of("gpt2"))
    save_trained(trainer.model, tmp_path / "adapter")
    (file,) = (tmp_path / "adapter").glob("*.safetensors")
    tensors = load_file(file)
    harm(tensors)
    save_file(tensors, file)
    before = {name: parameter.detach().clone() for name, parameter in trainer.named.items()}
    with pytest.raises(StoreError, match=said):
        load_trained(trainer.model, tmp_path / "adapter")
    assert all(torch.equal(before[name], parameter) for name, parameter in trainer.named.items())
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(StoreError, match="cannot be read"):
        load_trained(trainer.model, tmp_path / "adapter")


def test_only_the_part_that_reads_text_is_adapted() -> None:
    class Config:
        model_type, is_encoder_decoder, text_config = "seeing", False, object()

        def get_text_config(self):
            return transformers.LlamaConfig()

    class Seeing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = Config()
            self.vision = nn.Sequential(nn.Linear(4, 4))
            self.text = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 9))

        def get_output_embeddings(self):
            return self.text[1]

        def get_decoder(self):
            return self.text

    assert adapted_layers(Seeing()) == ["text.0"]


READ_PAST = {
    "mamba": {"x_proj", "dt_proj", "out_proj"},
    "falcon_mamba": {"x_proj", "dt_proj", "out_proj"},
    "jamba": {"dt_proj"},
    "mamba2": {"out_proj"},
    "granitemoehybrid": {"out_proj"},
}


@pytest.mark.parametrize("name", READ_PAST)
def test_layers_whose_weight_the_model_reads_of_itself_are_left_out(name, tmp_path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(save_tiny(name, tmp_path))
    linear = {one.rpartition(".")[2] for one, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert READ_PAST[name] <= linear
    adapted = {one.rpartition(".")[2] for one in adapted_layers(model)}
    assert "in_proj" in adapted
    assert not READ_PAST[name] & adapted


class InBlocks(nn.Linear):
    """Half of the inputs to half of the outputs, twice."""

    def forward(self, x):
        return nn.functional.linear(x.unflatten(-1, (2, -1)), self.weight).flatten(-2)


class Routes(nn.Linear):
    """Scores, and the best of them."""

    def forward(self, x):
        scores = super().forward(x)
        return scores, scores.argmax(-1)


class OtherWords(nn.Linear):
    """The same product, written out."""

    def forward(self, x):
        return x @ self.weight.T


def test_a_linear_layer_that_is_no_plain_product_is_left_out(llama_folder) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(llama_folder)
    block, whole = model.model.layers[0].mlp, set(adapted_layers(model))
    block.gate_proj, block.up_proj, block.down_proj = (kind(32, 64) for kind in (InBlocks, Routes, OtherWords))
    prefix = "model.layers.0.mlp"
    assert set(adapted_layers(model)) == whole - {f"{prefix}.gate_proj", f"{prefix}.up_proj"}


def test_layers_are_described_by_how_often_they_stand() -> None:
    names = [f"layers.{block}.{name}" for block in range(3) for name in ("q", "k")]
    assert described([*names, "project"]) == "7 linear layers: q, k (3 each); project (1)"
