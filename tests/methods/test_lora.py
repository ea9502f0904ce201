"""LoRA's scaling at high ranks, and LoRA+."""

from __future__ import annotations

import math

import pytest
import torch

from snibench.base.errors import UsageError
from snibench.base.types import ModelInfo
from snibench.engine.trained_parameters import load_trained, save_trained
from snibench.methods.lora import Lora
from snibench.methods.lora_plus import LoraPlus, LoraPlusSettings
from snibench.testing import check_method

DRAWN = [("task0", (0, 1)), ("task1", (2, 3)), ("task2", (4, 5))]


def losses(trainer, tmp_path) -> list[float]:
    trainer.run(tmp_path / f"{id(trainer)}.safetensors")
    return [row["loss"] for row in trainer.progress.trace]


def moved(trainer) -> dict[str, torch.Tensor]:
    """How far one step of training moves each parameter."""
    before = {name: parameter.detach().clone() for name, parameter in trainer.named.items()}
    trainer.step(DRAWN)
    return {name: parameter.detach() - before[name] for name, parameter in trainer.named.items()}


# ------------------------------------------------------------------------------------- rsLoRA


@pytest.mark.parametrize("rank", [4, 32])
def test_rslora_divides_by_the_root_of_the_rank(rank, make_trainer, shake) -> None:
    trainer = shake(make_trainer(Lora, r=rank, rslora=True))
    layer = next(module for module in trainer.model.modules() if hasattr(module, "lora_A"))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(1, 3, a.shape[1])
    expected = x @ layer.base_layer.weight.T + 16 / math.sqrt(rank) * (x @ a.T @ b.T)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_rslora_keeps_the_contract_and_is_what_peft_reads_back() -> None:
    check_method(Lora, Lora.Settings(r=32, rslora=True))


# -------------------------------------------------------------------------------------- LoRA+


def test_with_ratio_one_lora_plus_is_lora(make_trainer, tmp_path) -> None:
    assert losses(make_trainer(LoraPlus, ratio=1.0), tmp_path) == losses(make_trainer(Lora), tmp_path)


def test_b_learns_sixteen_times_as_fast_and_a_as_fast_as_in_lora(make_trainer, shake) -> None:
    plain, plus = moved(shake(make_trainer(Lora))), moved(shake(make_trainer(LoraPlus)))
    assert any("lora_A" in name for name in plain)
    for name, step in plain.items():
        ratio = 16 if "lora_B" in name else 1
        torch.testing.assert_close(plus[name], ratio * step, rtol=1e-3, atol=1e-6)


def test_where_no_rate_was_searched_for_the_mean_of_both_is_that_of_lora() -> None:
    info = ModelInfo({}, {}, 135_000_000)
    plus = LoraPlus(LoraPlusSettings(ratio=4.0))
    lowest = plus.base_rate(info, "adamw")
    assert math.sqrt(lowest * 4 * lowest) == pytest.approx(Lora().base_rate(info, "adamw"))


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.inf, math.nan])
def test_a_ratio_that_moves_nothing_or_backwards_is_refused(ratio) -> None:
    with pytest.raises(UsageError, match=r"ratio (must be above 0|cannot be .* not finite)"):
        LoraPlus(LoraPlusSettings(ratio=ratio))


def test_a_stored_lora_plus_is_a_lora(make_trainer, shake, tmp_path) -> None:
    plus = shake(make_trainer(LoraPlus))
    save_trained(plus.model, tmp_path / "adapter")
    plain = make_trainer(Lora)
    load_trained(plain.model, tmp_path / "adapter")
    assert all(torch.equal(plus.named[name], parameter) for name, parameter in plain.named.items())
