"""Virtual tokens: the same numbers as peft's own way, under packing, shared prefixes and decoding."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from snibench.base.errors import ModelError
from snibench.base.types import ModelInfo
from snibench.engine.backbone import base_of, virtual_tokens
from snibench.engine.decoding import Prompted, choose
from snibench.engine.losses import target_logits, target_nll
from snibench.engine.packing import make_batch
from snibench.engine.soft_prompts import VirtualEmbedding, insert_prefix, insert_prompt
from snibench.engine.tokens import Encoder
from snibench.engine.trained_parameters import load_trained, save_trained
from snibench.methods.base import BaseMethod
from snibench.methods.full import Full
from snibench.methods.lora import Lora
from snibench.methods.soft_prompt import GatedPrompt, SoftPrompt
from snibench.models.anatomy import no_place_for_prefix

COUNT = 5


class PeftPrompt(BaseMethod):
    """Prompt tuning with peft's own encoder, as a plugin would put it on."""

    def attach(self, model, cards, encode, seed):
        adapted = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=COUNT))
        insert_prompt(adapted, COUNT, lambda ids, plain: adapted.get_prompt(1)[0])
        return adapted


class PeftPrefix(BaseMethod):
    """Prefix tuning with peft's own encoder, as a plugin would put it on."""

    def attach(self, model, cards, encode, seed):
        adapted = get_peft_model(model, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=COUNT))
        layers = model.config.num_hidden_layers
        tokens = torch.arange(COUNT)[None]

        def keys_values():
            return adapted.prompt_encoder["default"](tokens).view(COUNT, layers, 2, -1).permute(1, 2, 0, 3)

        insert_prefix(adapted, COUNT, keys_values)
        return adapted


KINDS = [PeftPrompt, PeftPrefix, SoftPrompt]
SETTINGS = {SoftPrompt: {"prompt_tokens": COUNT}, GatedPrompt: {"prompt_tokens": COUNT}}


def attached(make_trainer, kind, **settings):
    return make_trainer(kind, **{**SETTINGS.get(kind, {}), **settings})


def drawn(trainer):
    return trainer.encode([(task, (0, 1, 2)) for task in list(trainer.data.instances)[:3]])


def questions(trainer, each=4):
    return [
        Prompted(card, trainer.data.formats[0].render(card, one.input, None), card.name)
        for card in trainer.data.cards.values()
        for one in trainer.data.instances[card.name][:each]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_virtual_tokens_stand_before_every_prompt_and_are_not_counted(kind, make_trainer) -> None:
    trainer = attached(make_trainer, kind)
    vocabulary = trainer.backbone.model.config.vocab_size
    assert virtual_tokens(trainer.model) == tuple(range(vocabulary, vocabulary + COUNT))
    asked = questions(trainer, each=1)[:2]
    plain = trainer.encoder.prompt_ids([one.prompt.text for one in asked])
    for one, ids in zip(trainer.encoder.prompts([one.prompt for one in asked]), plain, strict=True):
        assert one.prompt_ids == (*virtual_tokens(trainer.model), *ids)
        assert one.prompt_tokens == len(ids)
    exact = Encoder(trainer.backbone, len(plain[0]), 8).prompts([asked[0].prompt])[0]
    assert not exact.too_long  # the limit is on the tokens of the text
    reply = choose(trainer.backbone, trainer.model, trainer.method, trainer.encoder)[0].answer(asked)[0]
    assert reply.prompt_tokens == len(plain[0])


@pytest.mark.parametrize("kind", [PeftPrompt, PeftPrefix])
def test_the_loss_and_its_gradient_are_those_of_pefts_own_forward_pass(kind, make_trainer, shake, llama_folder) -> None:
    trainer = shake(attached(make_trainer, kind))
    groups = drawn(trainer)
    losses = trainer.method.losses(trainer.model, trainer.task_losses.batch(groups))
    losses.sum().backward()
    ours = [parameter.grad.clone() for parameter in trainer.named.values()]

    config = trainer.model.peft_config["default"]
    theirs = get_peft_model(LlamaForCausalLM.from_pretrained(llama_folder), config)
    with torch.no_grad():
        trained = [parameter for parameter in theirs.parameters() if parameter.requires_grad]
        for parameter, value in zip(trained, trainer.named.values(), strict=True):
            parameter.copy_(value)
    expected = []
    for _, instances in groups:
        each = []
        for one in instances:
            ids = torch.tensor([[*one.prompt_ids[one.virtual :], *one.target_ids]])
            logits = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -len(one.target_ids) - 1 : -1]
            each.append(torch.nn.functional.cross_entropy(logits, torch.tensor(one.target_ids)))
        expected.append(torch.stack(each).mean())
    torch.stack(expected).sum().backward()
    torch.testing.assert_close(losses, torch.stack(expected), rtol=1e-4, atol=1e-5)
    for mine, parameter in zip(ours, trained, strict=True):
        assert mine.abs().max() > 1e-4
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_packing_changes_no_loss(kind, make_trainer, shake) -> None:
    trainer = shake(attached(make_trainer, kind))
    groups = drawn(trainer)
    packed, apart = (make_batch(groups, trainer.backbone, pack=pack) for pack in (True, False))
    assert packed.input_ids.numel() < apart.input_ids.numel()
    losses = [trainer.method.losses(trainer.model, batch) for batch in (packed, apart)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "kind",
    [PeftPrompt, PeftPrefix, SoftPrompt, GatedPrompt],
)
def test_company_and_batch_size_change_no_answer(kind, make_trainer, shake) -> None:
    trainer = shake(attached(make_trainer, kind))
    encoder = Encoder(trainer.backbone, 512, 10)
    asked = questions(trainer)

    def answers(batch_size):
        made, _ = choose(trainer.backbone, trainer.model, trainer.method, encoder, batch_size=batch_size)
        return made.answer(asked)

    together = answers(None)
    assert together == answers(1) == answers(3)
    assert len({reply.prediction for reply in together}) > 5
    with torch.no_grad():
        for parameter in trainer.named.values():
            parameter.mul_(-3)
    assert [reply.prediction for reply in answers(None)] != [reply.prediction for reply in together]


@pytest.mark.parametrize("kind", [PeftPrompt, PeftPrefix])
def test_peft_reads_the_stored_prompt_and_gives_the_same_answers(
    kind, make_trainer, shake, llama_folder, tmp_path
) -> None:
    trainer = shake(attached(make_trainer, kind))
    save_trained(trainer.model, tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama_folder), tmp_path / "adapter").eval()
    encoder = Encoder(trainer.backbone, 512, 6)
    asked = questions(trainer, each=1)
    replies = choose(trainer.backbone, trainer.model, trainer.method, encoder)[0].answer(asked)
    assert len({reply.prediction for reply in replies}) > 3
    for one, reply in zip(asked, replies, strict=True):
        ids = torch.tensor(encoder.prompt_ids([one.prompt.text]))
        start = ids.shape[1]
        while ids.shape[1] < start + 6:  # peft's forward pass, token by token and without a cache
            logits = loaded(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
        text = trainer.backbone.tokenizer.decode(ids[0, start:], skip_special_tokens=True)
        assert text.lstrip(" ").split("\n")[0].strip().startswith(reply.prediction)


@pytest.mark.parametrize("kind", KINDS)
def test_stored_parameters_give_back_the_same_model(kind, make_trainer, shake, tmp_path) -> None:
    trainer, fresh = shake(attached(make_trainer, kind)), attached(make_trainer, kind)
    save_trained(trainer.model, tmp_path / "adapter")
    load_trained(fresh.model, tmp_path / "adapter")
    assert all(torch.equal(a, b) for a, b in zip(trainer.named.values(), fresh.named.values(), strict=True))


def test_a_norm_of_the_keys_stands_before_the_learned_ones() -> None:
    config = Qwen3Config(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(config).eval()
    table = torch.randn(2, 2, COUNT, 32)
    insert_prefix(model, COUNT, lambda: table)
    ids = torch.tensor([[*virtual_tokens(model), 3, 4, 5]])
    cache = model(ids, use_cache=True).past_key_values
    for layer in range(2):
        for kind, stored in enumerate((cache.layers[layer].keys, cache.layers[layer].values)):
            held = stored[0, :, :COUNT].transpose(0, 1).flatten(1)  # [n, W]
            torch.testing.assert_close(held, table[layer, kind], rtol=1e-4, atol=1e-5)


def test_a_prefix_is_refused_where_the_model_has_no_place_for_it(t5) -> None:
    with pytest.raises(ModelError, match="k_proj and v_proj, but the model is a T5ForConditionalGeneration"):
        insert_prefix(t5.model, COUNT, lambda: torch.zeros(2, 2, COUNT, 32))


@pytest.mark.parametrize("kind", [SoftPrompt, GatedPrompt])
def test_an_encoder_decoder_takes_soft_prompts(kind, make_trainer, t5_folder, tmp_path) -> None:
    trainer = make_trainer(kind, folder=t5_folder, prompt_tokens=COUNT)
    start = [parameter.detach().clone() for parameter in trainer.named.values()]
    trainer.run(tmp_path / "c.safetensors")
    assert all(not torch.equal(a, b) for a, b in zip(start, trainer.named.values(), strict=True))
    asked = questions(trainer, each=2)
    decoder, _ = choose(trainer.backbone, trainer.model, trainer.method, Encoder(trainer.backbone, 512, 6))
    together = decoder.answer(asked)
    assert together == [decoder.answer([one])[0] for one in asked]


# --------------------------------------------------------------------------- the gated prompt


def vectors_of(trainer):
    """The module that makes the vectors of the virtual tokens."""
    return next(one for one in trainer.model.modules() if isinstance(one, VirtualEmbedding)).vectors


def test_the_gates_by_hand(make_trainer, shake) -> None:
    trainer = shake(make_trainer(GatedPrompt, prompt_tokens=COUNT))
    prompt, vocabulary = vectors_of(trainer), trainer.backbone.model.config.vocab_size
    table = base_of(trainer.model).get_input_embeddings().weight
    ids = torch.tensor([[0, *range(vocabulary, vocabulary + COUNT), 7, 8, 9]])  # a pad, as in answering
    x = (table[7] + table[8] + table[9]) / 3
    a = torch.sigmoid(prompt.a)
    expected = torch.stack([(a + (1 - a) * torch.sigmoid(p @ prompt.K.weight @ x)) * p for p in prompt.P])
    embedded = base_of(trainer.model).get_input_embeddings()(ids)
    torch.testing.assert_close(embedded[0, 1 : 1 + COUNT], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(embedded[0, 1 + COUNT :], table[[7, 8, 9]])


def test_the_gates_do_not_read_the_answer(make_trainer, shake) -> None:
    trainer = shake(make_trainer(GatedPrompt, prompt_tokens=COUNT))
    rendered = questions(trainer, each=2)[:2]
    batches = [
        make_batch(
            [("task0", trainer.encoder.pairs([one.prompt for one in rendered], ["red", answer]))],
            trainer.backbone,
            pack=trainer.task_losses.pack,
        )
        for answer in ("red", "rot")
    ]
    firsts = []
    for batch in batches:
        seen = {}
        hook = (
            base_of(trainer.model)
            .get_input_embeddings()
            .register_forward_hook(
                lambda module, inputs, output, seen=seen: seen.update(soft=output[:, :COUNT].detach())
            )
        )
        trainer.method.losses(trainer.model, batch)
        hook.remove()
        firsts.append(seen["soft"])
    assert torch.equal(*firsts)


def test_soft_tokens_start_as_words(make_trainer) -> None:
    trainer = make_trainer(SoftPrompt)
    table = base_of(trainer.model).get_input_embeddings().weight
    vectors = vectors_of(trainer).P
    assert vectors.shape == (20, 32)
    assert all((table == vector).all(1).any() for vector in vectors)
    batch = trainer.task_losses.batch(drawn(trainer))
    assert torch.isfinite(target_nll(target_logits(trainer.model, batch), batch)).all()


def info_of(**config):
    return ModelInfo(
        {"architectures": ["AModel"], **config},
        {"model.layers.0.self_attn.k_proj.weight": (8, 8), "model.layers.0.self_attn.v_proj.weight": (8, 8)},
        128,
    )


@pytest.mark.parametrize("kind", [SoftPrompt, GatedPrompt, Lora, Full])
def test_soft_prompts_are_unfit_where_every_layer_embeds_tokens(kind) -> None:
    method = kind()
    reason = method.unfit(info_of(hidden_size_per_layer_input=64))
    assert (reason is not None) == issubclass(kind, SoftPrompt)
    assert reason is None or "AModel" in reason
    assert method.unfit(info_of()) is None


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"model_type": "t5"}, "encoder-decoder"),
        ({"text_config": {"num_kv_shared_layers": 2}}, "share"),
        ({"hidden_size_per_layer_input": 8}, "one table of embeddings"),
    ],
)
def test_a_prefix_is_unfit_without_keys_and_values_of_every_layer(config, word) -> None:
    assert word in (no_place_for_prefix(info_of(**config)) or "")
    assert no_place_for_prefix(info_of()) is None
    fused = ModelInfo({"model_type": "gpt2"}, {"h.0.attn.c_attn.weight": (8, 24)}, 192)
    assert "k_proj" in (no_place_for_prefix(fused) or "")
