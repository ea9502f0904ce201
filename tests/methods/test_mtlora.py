"""mtLoRA: its size against the source's, and its formulas written out."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from snibench.base.errors import UsageError
from snibench.base.settings import validated
from snibench.contracts import Losses
from snibench.engine.block_adapters import BlockAdapter, far_from_orthogonal
from snibench.methods.lora import Lora
from snibench.methods.mtlora import MtLora, MtLoraSettings
from snibench.testing import check_method

LLAMA_7B = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}


@pytest.mark.parametrize("settings", [MtLoraSettings(), MtLoraSettings(experts=1, groups=1)])
def test_it_keeps_the_contract(settings) -> None:
    check_method(MtLora, settings)


@pytest.mark.parametrize(("groups", "millions"), [(2, 39.8), (1, 37.7)])
def test_on_llama_2_7b_it_trains_as_many_numbers_as_the_source_s_table_says(groups, millions) -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**LLAMA_7B)).requires_grad_(False)
    method = MtLora(MtLoraSettings(r=16, alpha=64, experts=16, groups=groups))
    attached = method.attach(model, [], lambda texts: torch.zeros(len(texts), 1), 0)
    count = sum(parameter.numel() for parameter in attached.parameters() if parameter.requires_grad)
    # The table of the source counts 37.7 M for scalar routing, which has a router half as large.
    assert count / 1e6 == pytest.approx(millions, abs=0.06)


def adapters(trainer) -> list[BlockAdapter]:
    return [module for module in trainer.model.modules() if isinstance(module, BlockAdapter)]


def test_it_starts_as_the_base_model_and_stands_beside_every_feed_forward_part(make_trainer) -> None:
    trainer, base = make_trainer(MtLora, balance=0.0), make_trainer(Lora)
    batch = trainer.task_losses.batch(trainer.encode([("task1", (0, 1)), ("task3", (4, 5))]))
    expected = base.method.losses(base.model, batch)
    torch.testing.assert_close(trainer.method.losses(trainer.model, batch), expected, rtol=1e-4, atol=1e-5)
    assert len(adapters(trainer)) == trainer.model.config.num_hidden_layers
    assert trainer.method.penalty(trainer.model, [], []).item() == pytest.approx(0, abs=1e-12)


def test_each_token_and_output_has_its_own_mixture_of_experts(make_trainer, shake) -> None:
    adapter = adapters(shake(make_trainer(MtLora, experts=3, groups=4, r=2)))[0]
    width = adapter.A.weight.shape[1]
    x = torch.randn(2, 3, width)
    found = adapter(x) - adapter.block(x)
    experts = torch.cat([up.weight for up in adapter.B]).unflatten(1, (3, 2))  # [H, n, r]
    for row, column in [(0, 0), (1, 2)]:
        token = x[row, column]
        shares = (adapter.R.weight @ token).view(4, 3).softmax(-1)
        for output in (0, width // 4 - 1, width // 4, width - 1):
            group = output // (width // 4)
            update = sum(shares[group, i] * (experts[output, i] @ (adapter.A.weight @ token)) for i in range(3))
            assert found[row, column, output].item() == pytest.approx(8 * update.item(), rel=1e-3, abs=1e-5)


def test_the_regularization_is_the_source_s_written_out() -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, 10, 4, generator=generator, dtype=torch.float64)
    expected = []
    for b in matrices:
        sigma = torch.linalg.svdvals(b)
        weights = torch.exp(-sigma / sigma.mean())
        scale = b.norm() / 4**0.5
        apart = (b.T @ b - scale**2 * torch.eye(4)) * weights[None] * weights[:, None]
        expected.append((apart**2).sum())
    found = far_from_orthogonal(matrices.mT @ matrices)
    assert found.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-6)


def test_orthogonal_columns_of_one_length_are_not_moved() -> None:
    q = 3 * torch.linalg.qr(torch.randn(8, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    q.requires_grad_()
    far = far_from_orthogonal((q.T @ q)[None])
    far.backward()
    assert far.item() == pytest.approx(0, abs=1e-12)
    assert q.grad.abs().max().item() == pytest.approx(0, abs=1e-6)


def test_the_products_of_b_are_over_all_groups(make_trainer, shake) -> None:
    adapter = adapters(shake(make_trainer(MtLora, experts=2, groups=2, r=3)))[0]
    whole = torch.cat([up.weight for up in adapter.B])
    for expert in range(2):
        b = whole[:, 3 * expert : 3 * expert + 3]
        torch.testing.assert_close(adapter.grams()[expert], b.T @ b)


def test_experts_in_equal_use_have_no_balance_loss_and_one_expert_has_none(make_trainer) -> None:
    trainer = make_trainer(MtLora, experts=4, balance=1.0)
    batch = trainer.task_losses.batch(trainer.encode([("task1", (0, 1))]))
    assert isinstance(trainer.method.losses(trainer.model, batch), Losses)
    assert trainer.method.losses(trainer.model, batch).auxiliary.item() > 1e-6
    for adapter in adapters(trainer):
        torch.nn.init.zeros_(adapter.R.weight)
    assert trainer.method.losses(trainer.model, batch).auxiliary.item() == pytest.approx(0, abs=1e-10)
    alone = make_trainer(MtLora, experts=1)
    assert isinstance(alone.method.losses(alone.model, batch), torch.Tensor)


def test_groups_that_do_not_divide_the_width_are_refused_in_a_sentence(make_trainer) -> None:
    with pytest.raises(UsageError, match="groups must divide the model's width of 32, but got 5"):
        make_trainer(MtLora, groups=5)


@pytest.mark.parametrize("name", ["experts", "groups", "spectral", "balance"])
def test_settings_without_meaning_are_refused(name) -> None:
    with pytest.raises(UsageError, match=f"{name} must be at least"):
        validated(MtLoraSettings(**{name: -1}))
