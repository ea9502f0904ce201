"""Layer-wise learning rates of full tuning."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from snibench.base.errors import UsageError
from snibench.methods.full import Full, FullSettings
from snibench.testing import check_method


def scales(model, decay: float) -> dict[str, float]:
    method = Full(FullSettings(layer_decay=decay))
    attached = method.attach(model, [], lambda texts: torch.zeros(len(texts), 1), 0)
    return {name: group.scale for name, group in method.groups(dict(attached.named_parameters())).items()}


def llama(tied: bool) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=16,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=3,
            num_attention_heads=2,
            tie_word_embeddings=tied,
        )
    )


def test_each_block_learns_slower_than_the_one_above_it_and_embeddings_slowest() -> None:
    found = scales(llama(tied=False), 0.5)
    assert found["lm_head.weight"] == found["model.norm.weight"] == 1
    assert found["model.layers.2.mlp.up_proj.weight"] == 0.5
    assert found["model.layers.1.mlp.up_proj.weight"] == 0.25
    assert {value for name, value in found.items() if ".layers.0." in name} == {0.125}
    assert found["model.embed_tokens.weight"] == 0.0625


def test_a_head_that_is_tied_to_the_embeddings_learns_as_they_do() -> None:
    found = scales(llama(tied=True), 0.5)
    assert found["model.embed_tokens.weight"] == 0.0625
    assert "lm_head.weight" not in found


def test_the_stacks_of_an_encoder_decoder_are_counted_by_themselves() -> None:
    config = T5Config(vocab_size=16, d_model=8, d_kv=4, d_ff=8, num_layers=3, num_decoder_layers=2, num_heads=2)
    found = scales(T5ForConditionalGeneration(config), 0.5)
    assert found["encoder.block.2.layer.0.SelfAttention.q.weight"] == 0.5
    assert found["decoder.block.0.layer.0.SelfAttention.q.weight"] == 0.25
    assert found["shared.weight"] == 0.0625


def test_without_decay_all_learn_alike_and_with_it_the_steps_are_shorter(make_trainer) -> None:
    assert scales(llama(tied=True), 1.0) == {}
    moved = []
    for decay in (1.0, 0.5):
        trainer = make_trainer(Full, layer_decay=decay)
        before = {name: parameter.detach().clone() for name, parameter in trainer.named.items()}
        trainer.step([("task0", (0, 1)), ("task1", (2, 3))])
        moved.append({name: parameter.detach() - before[name] for name, parameter in trainer.named.items()})
    plain, decayed = moved
    depth = len(trainer.model.model.layers)
    name = "model.layers.0.mlp.down_proj.weight"
    torch.testing.assert_close(decayed[name], 0.5**depth * plain[name], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_a_decay_that_stops_or_reverses_learning_is_refused(decay) -> None:
    with pytest.raises(UsageError, match="layer_decay must be above 0 and at most 1"):
        Full(FullSettings(layer_decay=decay))


def test_decayed_full_tuning_keeps_the_contract() -> None:
    check_method(Full, FullSettings(layer_decay=0.8))
