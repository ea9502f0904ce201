"""How much of a device a tuning step uses: tokens per second, and its products as a share of what the device reaches.

    python benchmarks/training_device.py --data SNI_FOLDER --model MODEL --device cuda
    python benchmarks/training_device.py --data SNI_FOLDER --model MODEL --size 1b --attention flex --compile

``--size 1b`` puts a Llama of 1.2 billion random weights in the place of the model's. The products of a step are counted
as they run (``torch.utils.flop_counter``), so nothing is counted that is not computed: frozen weights get no gradient,
masked attention counts in full where it is computed. The share is of the rate that a product of two large square
matrices reaches on the same device and precision, measured in the same run, and of ``--peak`` (TFLOP/s, of the vendor's
sheet) where given.

``--attention``: ``mask`` is scaled_dot_product_attention under a dense mask, ``parts``
``snibench.engine.packed_attention``, ``flex`` FlexAttention with a block mask. The default is what snibench takes on
that device.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from training import RATE, Ours, chosen_tasks, pair

from snibench.base.types import Recipe
from snibench.engine.backbone import Backbone, choose_device, choose_precision
from snibench.engine.loading import load_backbone
from snibench.engine.packed_attention import install
from snibench.engine.packing import Batch
from snibench.models.find import find_model

TERA = 1e12


def one_billion(backbone: Backbone) -> Backbone:
    """A Llama of the shape of Llama 3.2 1B with random weights, in the place of the model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=backbone.model.config.vocab_size,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    torch.manual_seed(0)
    with torch.device(backbone.device):
        model = LlamaForCausalLM(config).to(getattr(torch, backbone.precision))
    return replace(backbone, model=model.requires_grad_(False).eval())


def choose_attention(ours: Ours, attention: str) -> None:
    """Make ``ours`` attend as named."""
    trainer = ours.trainer
    model = trainer.backbone.model
    if attention == "mask":
        model.set_attn_implementation("sdpa")
    elif attention == "parts":
        install(model)
    elif attention == "flex":
        from torch.nn.attention.flex_attention import create_block_mask

        model.set_attn_implementation("flex_attention")
        losses = trainer.method.losses

        def with_blocks(inner: Any, batch: Batch) -> torch.Tensor:
            dense = batch.mask[:, 0]

            def seen(row: Any, head: Any, query: Any, key: Any) -> Any:
                return dense[row, query, key]

            size = dense.shape[1]
            blocks = create_block_mask(seen, len(dense), None, size, size, device=str(dense.device))
            return losses(inner, replace(batch, mask=blocks, layout=None))

        trainer.method.losses = with_blocks  # type: ignore[method-assign]


def reachable(device: torch.device, precision: str) -> float:
    """FLOP/s of a product of two large square matrices, best of ten."""
    size = 8192 if device.type == "cuda" else 2048
    one = torch.randn(size, size, device=device, dtype=getattr(torch, precision))
    best = 0.0
    for _ in range(10):
        wait(device)
        started = time.perf_counter()
        one @ one
        wait(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def wait(device: torch.device) -> None:
    """Let the device finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--size", choices=["as-is", "1b"], default="as-is")
    parser.add_argument("--shape", type=pair, default=(8, 4), help="T,m")
    parser.add_argument("--tasks", choices=["typical", "random"], default="typical")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--attention", choices=["default", "mask", "parts", "flex"], default="default")
    parser.add_argument("--compile", action="store_true", help="torch.compile the decoder, shapes dynamic")
    parser.add_argument("--optimizer", choices=["fused", "foreach", "plain"], default="fused")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--peak", type=float, help="TFLOP/s that the vendor promises in this precision")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    precision = choose_precision(arguments.precision, device)
    backbone = load_backbone(find_model(arguments.model), device=device, precision=precision)
    if arguments.size == "1b":
        backbone = one_billion(backbone)
    names, each = arguments.shape
    recipe = Recipe(steps=3 + arguments.steps, tasks_per_step=names, instances_per_task=each, learning_rate=RATE)
    ours = Ours(backbone, chosen_tasks(arguments.data, arguments.tasks), recipe)
    choose_attention(ours, arguments.attention)
    for group in ours.trainer.updater.optimizer.param_groups:
        group["fused"], group["foreach"] = arguments.optimizer == "fused", arguments.optimizer == "foreach"
    if arguments.compile:
        decoder = backbone.model.base_model
        decoder.forward = torch.compile(decoder.forward, dynamic=True)
    ours.train(ours.schedule[:2])
    with FlopCounterMode(display=False) as counter:
        ours.train(ours.schedule[2:3])
    read = ours.trainer.progress.trace[-1]["tokens"] - ours.trainer.progress.trace[-2]["tokens"]
    per_token = counter.get_total_flops() / read
    rates = []
    for step in ours.schedule[3:]:
        before = ours.trainer.progress.tokens
        seconds = ours.train([step])
        rates.append((ours.trainer.progress.tokens - before) / seconds)
    rate = statistics.median(rates)
    limit = reachable(backbone.device, precision)
    promised = (
        "" if arguments.peak is None else f", {rate * per_token / TERA / arguments.peak:.1%} of the promised peak"
    )
    print(
        f"{arguments.size} on {device}, {precision}, (T, m) = {arguments.shape}, {arguments.tasks} tasks, attention "
        f"{arguments.attention}, optimizer {arguments.optimizer}, compile {arguments.compile}: {rate:.0f} tokens/s "
        f"({min(rates):.0f}-{max(rates):.0f}), {per_token / 1e9:.2f} GFLOP a token, "
        f"{rate * per_token / TERA:.3f} TFLOP/s, "
        f"{rate * per_token / limit:.1%} of a large product's {limit / TERA:.2f} TFLOP/s{promised}"
    )


if __name__ == "__main__":
    main()
