from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import transformers
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from snibench_peft.anything import _REFUSED, Peft, PeftSettings
from snibench_peft.attaching import attach_adapter
from snibench_peft.methods import IA3, Dora, PrefixTuning, PromptTuning, SoftSettings
from snibench_peft.poly import Poly
from transformers import AutoModelForCausalLM

from snibench.api import METHODS, ModelInfo, UsageError, adapted_layers, base_of, save_trained, virtual_tokens
from snibench.engine.packing import make_batch
from snibench.testing import check_method

NAMED = {
    "dora": Dora,
    "ia3": IA3,
    "prompt-tuning": PromptTuning,
    "prefix-tuning": PrefixTuning,
    "poly": Poly,
    "peft": Peft,
}
# What a model of width 32 needs, or what has no default.
ARGUMENTS = {
    "adaption_prompt": {"adapter_len": 4, "adapter_layers": 2},
    "c3a": {"block_size": 16},
    "cartridge": {"num_virtual_tokens": 4},
    "fourierft": {"n_frequency": 100},
    "miss": {"r": 8},
    "psoft": {"r": 8},
    "road": {"group_size": 16},
    "shira": {"r": 4},
    "trainable_tokens": {"token_indices": [5, 66, 77]},
    "vblora": {"vector_length": 16},
    "waveft": {"n_frequency": 100},
}
TYPES = sorted(one.name.lower() for one in PEFT_TYPE_TO_CONFIG_MAPPING if one.name not in _REFUSED)
INPUTS = torch.tensor([[40, 41, 42, 50, 60, 70, 80, 90]])


def settings_of(kind):
    return PeftSettings(kind, json.dumps(ARGUMENTS.get(kind, {})))


def logits_of(trainer):
    """Outputs of the harness for ``INPUTS``."""
    start = torch.tensor([virtual_tokens(trainer.model)], dtype=torch.long)
    with torch.no_grad():
        return base_of(trainer.model)(input_ids=torch.cat([start, INPUTS], dim=1)).logits[:, -INPUTS.shape[1] :]


def read_by_peft(trainer, llama, folder):
    save_trained(trainer.model, folder)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama), folder).eval()
    with torch.no_grad():
        return loaded(input_ids=INPUTS, attention_mask=torch.ones_like(INPUTS)).logits[:, -INPUTS.shape[1] :]


def losses_of(trainer, groups, *, pack):
    with torch.no_grad():
        return trainer.method.losses(trainer.model, make_batch(groups, trainer.backbone, pack=pack))


def drawn(trainer):
    return trainer.encode([(task, (0, 1)) for task in trainer.data.cards])


# ------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", NAMED)
def test_it_keeps_the_contract(name):
    assert METHODS.get(name) is NAMED[name]
    check_method(NAMED[name])


def test_they_run_by_name(tmp_path):
    names = [part for name in NAMED for part in ("--method", name)]
    small = ["--steps", "2", "--seeds", "0", "--limit", "1", "--protocol", "gap", "--tasks", "4", "--conflict", "off"]
    run = [sys.executable, "-m", "snibench", "run", *names, *small, "--no-baseline", "-o", tmp_path / "runs"]
    subprocess.run(run, check=True)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_trains_and_a_row_s_company_and_packing_change_nothing(kind, trainer, shake):
    made = shake(trainer(Peft, settings_of(kind)))
    groups = drawn(made)
    packed = losses_of(made, groups, pack=True)
    torch.testing.assert_close(packed, losses_of(made, groups, pack=False), rtol=1e-5, atol=1e-5)
    alone = torch.cat([losses_of(made, [group], pack=True) for group in groups])
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
    made.method.losses(made.model, make_batch(groups, made.backbone, pack=True)).sum().backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in made.named.values())


@pytest.mark.parametrize("kind", TYPES)
def test_peft_reads_every_stored_type_and_gives_the_same_logits(kind, trainer, shake, llama, tmp_path):
    made = shake(trainer(Peft, settings_of(kind)))
    torch.testing.assert_close(read_by_peft(made, llama, tmp_path / "a"), logits_of(made), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [Dora, IA3, PromptTuning, PrefixTuning])
def test_peft_reads_what_a_named_method_stores(kind, trainer, shake, llama, tmp_path):
    made = shake(trainer(kind))
    torch.testing.assert_close(read_by_peft(made, llama, tmp_path / "a"), logits_of(made), rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------- sizes and starts

# (inputs, outputs) of the linear layers: two blocks of width 32, keys and values of width 16, a feed-forward of 64.
LAYERS = 2 * [(32, 32), (32, 16), (32, 16), (32, 32), (32, 64), (32, 64), (64, 32)]
SEEN = 3


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Dora, sum(8 * (rows + columns) + columns for rows, columns in LAYERS)),
        (IA3, sum(rows if (rows, columns) == (64, 32) else columns for rows, columns in LAYERS)),
        (PromptTuning, 20 * 32),
        (PrefixTuning, 20 * 2 * 2 * 16),
        (Poly, sum(4 * 2 * (rows + columns) + (SEEN + 1) * 4 for rows, columns in LAYERS)),
    ],
)
def test_the_number_of_trainable_parameters_is_the_paper_s(kind, expected, trainer):
    assert sum(parameter.numel() for parameter in trainer(kind).named.values()) == expected


@pytest.mark.parametrize("kind", [Dora, IA3, Poly])
def test_the_start_is_the_base_model(kind, trainer, llama):
    made = trainer(kind)
    made.model.eval()
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(llama)(input_ids=INPUTS).logits
        if kind is Poly:
            with made.method.for_prompts(made.model, [made.data.cards["task0"]], [""]):
                ours = logits_of(made)
        else:
            ours = logits_of(made)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [PromptTuning, PrefixTuning])
def test_virtual_tokens_start_as_words_that_are_read(kind, trainer, llama):
    made = trainer(kind, SoftSettings(tokens=5))
    made.model.eval()
    plain = AutoModelForCausalLM.from_pretrained(llama)
    torch.manual_seed(0)
    words = torch.randint(plain.config.vocab_size, (5,))
    if kind is PromptTuning:
        # peft draws its own start first, so the words are found by their embeddings.
        table, vectors = plain.get_input_embeddings().weight, made.model.prompt_encoder["default"].embedding.weight
        words = torch.cdist(vectors, table).argmin(dim=1)
    with torch.no_grad():
        expected = plain(input_ids=torch.cat([words[None], INPUTS], dim=1)).logits[:, 5:]
    torch.testing.assert_close(logits_of(made), expected, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------------- Poly


def asked_by_poly(made, *cards):
    with torch.no_grad(), made.method.for_prompts(made.model, cards, [""] * len(cards)):
        return base_of(made.model)(input_ids=INPUTS.repeat(len(cards), 1)).logits


def test_an_unseen_task_uses_all_skills_equally_after_training(trainer, llama, tmp_path):
    made = trainer(Poly)
    made.run(tmp_path / "c.safetensors")
    for logits in made.method.task_parameters(made.model):
        assert not logits[-1].any()  # no task trains it
        assert logits[:-1].all()
    unseen = replace(made.data.cards["task0"], name="task9")
    # By hand: A and B each the mean over skills, added to the weights of the base.
    plain = AutoModelForCausalLM.from_pretrained(llama)
    with torch.no_grad():
        for name, layer in made.model.get_base_model().named_modules():
            if hasattr(layer, "poly_lora_A"):
                a = layer.poly_lora_A["default"].mean(dim=(0, 1))  # [in, r]
                b = layer.poly_lora_B["default"].mean(dim=(0, 1))  # [r, out]
                plain.get_submodule(name).weight.add_((a @ b).T / 2)
        expected = plain(input_ids=INPUTS).logits
    torch.testing.assert_close(asked_by_poly(made, unseen), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(asked_by_poly(made, made.data.cards["task0"]), expected, atol=1e-4)


def test_rows_of_several_tasks_are_each_routed_by_their_own(trainer, shake):
    made = shake(trainer(Poly))
    cards = list(made.data.cards.values())
    together = asked_by_poly(made, *cards)
    for row, one in enumerate(cards):
        torch.testing.assert_close(together[row : row + 1], asked_by_poly(made, one), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-4)


def test_the_routers_stay_out_of_the_rule_and_packing_changes_no_loss(trainer, shake):
    made = shake(trainer(Poly))
    shared = sum(p.numel() for name, p in made.named.items() if "router" not in name)
    assert made.task_losses.collector.size == shared
    groups = drawn(made)
    packed, apart = (losses_of(made, groups, pack=pack) for pack in (True, False))
    torch.testing.assert_close(packed, apart, rtol=1e-5, atol=1e-5)


def test_a_run_resumed_from_a_checkpoint_samples_the_same_skills(trainer, tmp_path):
    whole, broken = trainer(Poly), trainer(Poly)
    whole.run(tmp_path / "whole.safetensors")

    class Stop(Exception):
        pass

    def leave():
        broken.save(tmp_path / "part.safetensors")
        raise Stop

    with pytest.raises(Stop):
        broken.run(tmp_path / "none.safetensors", pauses={2: leave})
    resumed = trainer(Poly)
    resumed.run(tmp_path / "part.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(whole.named.values(), resumed.named.values(), strict=True))


# ------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("veraa",), ["type of peft 'veraa'", "'vera'"]),
        (("xlora",), ["xlora cannot be used here", "trained already"]),
        (("poly",), ["--method poly"]),
        (("vera", "r=64"), ["JSON object", "r=64"]),
        (("vera", "[1]"), ["JSON object"]),
        (("vera", '{"rr": 64}'), ["argument of peft's vera 'rr'", "'r'"]),
        (("vera", '{"inference_mode": true}'), ["inference_mode"]),
        (("prefix_tuning", '{"prefix_projection": true}'), ["prefix_projection must be false"]),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(arguments, words):
    with pytest.raises(UsageError) as refusal:
        PeftSettings(*arguments)
    for word in words:
        assert word in str(refusal.value)


def test_arguments_that_do_not_fit_the_model_are_told(trainer):
    with pytest.raises(UsageError, match=r"peft does not put miss on a LlamaForCausalLM: .*64"):
        trainer(Peft, PeftSettings("miss"))  # 64 ranks in 32 columns


def test_equal_configs_are_equal_settings():
    assert PeftSettings("OFT", '{"r": 4, "oft_block_size": 0}') == PeftSettings("oft", '{"oft_block_size":0,"r":4}')
    assert PeftSettings("prompt-tuning").type == "prompt_tuning"


def test_every_refused_type_is_one_of_peft_s():
    assert set(_REFUSED) <= {one.name for one in PEFT_TYPE_TO_CONFIG_MAPPING}


def test_types_for_plain_linear_layers_are_unfit_on_conv1d():
    gpt2 = ModelInfo(
        {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, {"h.0.attn.c_attn.weight": (8, 24)}, 192
    )
    llama = ModelInfo({"model_type": "llama"}, {"a.k_proj.weight": (8, 8), "a.v_proj.weight": (8, 8)}, 128)
    for kind in ("oft", "loha", "prefix_tuning", "cartridge"):
        assert "GPT2LMHeadModel" in Peft(PeftSettings(kind)).unfit(gpt2)
        assert Peft(PeftSettings(kind)).unfit(llama) is None
    assert Peft(PeftSettings("lora")).unfit(gpt2) is None
    assert "poly" in Poly().unfit(gpt2)
    assert "k_proj" in PrefixTuning().unfit(gpt2)
    assert PromptTuning().unfit(gpt2) is None


@pytest.mark.parametrize("family", ["Mixtral", "DeepseekV3"])
@pytest.mark.parametrize("kind", ["lora", "vera", "oft"])
def test_all_linear_are_the_layers_that_snibench_adapts(kind, family):
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
    }
    experts = {"num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    latent = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8}
    latent["first_k_dense_replace"] = 1
    extra = latent | heads if family == "DeepseekV3" else {"num_attention_heads": 4, "num_key_value_heads": 4}
    config = getattr(transformers, f"{family}Config")(**sizes, **experts, **extra)
    model = AutoModelForCausalLM.from_config(config)
    expected = set(adapted_layers(model))
    adapted = base_of(attach_adapter(model, kind.upper(), 0, target_modules="all-linear"))
    layers = {name for name, module in adapted.named_modules() if isinstance(module, BaseTunerLayer)}
    assert layers == expected
    assert len(expected) == (8 if family == "Mixtral" else 16)


def test_ia3_is_unfit_where_the_second_feed_forward_layers_are_not_known():
    new = ModelInfo({"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"]}, {}, 0)
    known = ModelInfo({"model_type": "llama"}, {}, 0)
    assert "DeepseekV3ForCausalLM" in IA3().unfit(new)
    assert "ia3" in Peft(PeftSettings("ia3")).unfit(new)
    assert Peft(PeftSettings("ia3", '{"feedforward_modules": ["down_proj"]}')).unfit(new) is None
    assert IA3().unfit(known) is None


def test_the_routers_of_poly_learn_a_hundred_times_as_fast_as_its_skills(trainer, shake):
    moved = []
    for ratio in (1.0, 100.0):
        made = shake(trainer(Poly, Poly.Settings(router_ratio=ratio)))
        before = {name: parameter.detach().clone() for name, parameter in made.named.items()}
        made.step([("task0", (0, 1)), ("task1", (2, 3))])
        moved.append({name: parameter.detach() - before[name] for name, parameter in made.named.items()})
    alike, apart = moved
    for name, step in alike.items():
        expected = 100 * step if name.endswith("module_logits") else step
        torch.testing.assert_close(apart[name], expected, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.0, -1.0])
def test_routers_that_would_not_learn_are_refused(ratio):
    with pytest.raises(UsageError, match="router_ratio must be above 0"):
        Poly(Poly.Settings(router_ratio=ratio))
