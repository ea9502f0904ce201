"""What a step with a gradient rule costs over the plain mean step, and torchjd's backward on the same losses.

    python benchmarks/rules.py steps --data SNI [--model M] [--method lora] [--precision bfloat16]
    python benchmarks/rules.py peer  --data SNI [--model M]
    python benchmarks/rules.py gram  [--parameters 100000000] [--tasks 16]

``steps``: forward, backward, rule and clipping on one batch of 8 tasks with 4 instances each, without the optimizer,
which costs the same for all; every rule in turn with the plain mean before it, so that a machine that slows down
slows down both. ``peer``: torchjd's ``autojac`` on the very same losses, ``backward`` with its UPGrad and its PCGrad,
against ours with the same. ``gram``: the Gram matrix and the combination of T gradients of P numbers, against reading
the same bytes once. Without ``--model`` the model has SmolLM2-135M's shape and random weights, which cost the same.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from training import chosen_tasks

from snibench.base.registry import METHODS, RULES
from snibench.base.types import Mixture, Recipe
from snibench.contracts import Needs, Rule
from snibench.engine.embeddings import InstructionEncoder
from snibench.engine.gradients import TaskGradients, gram_matrix
from snibench.engine.loading import load_backbone
from snibench.engine.sampling import plan_steps
from snibench.engine.tuning import Trainer, TrainingSet
from snibench.formats.tk import TkDefPos2
from snibench.models.find import find_model
from snibench.testing.models import save_byte_tokenizer

SHAPE = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}  # SmolLM2-135M
COSTLY = ("mean", "pcgrad", "gradvac", "cagrad", "mgda", "upgrad", "nash-mtl", "aligned-mtl", "gradnorm", "famo")


def random_model(folder: Path) -> Path:
    """A model of SmolLM2-135M's shape whose tokenizer has one token per byte."""
    from transformers import LlamaConfig, LlamaForCausalLM

    save_byte_tokenizer(folder)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).save_pretrained(folder)
    return folder


def make_trainer(args: argparse.Namespace, folder: Path) -> Trainer:
    """A trainer on the eight typical tasks of ``benchmarks/training.py``."""
    backbone = load_backbone(find_model(args.model or str(random_model(folder))), precision=args.precision)
    tasks = list(chosen_tasks(Path(args.data), "typical").values())
    method_type = METHODS.get(args.method)
    method = method_type(method_type.Settings())
    torch.manual_seed(0)
    cards = {task.name: task.card for task in tasks}
    model = method.attach(backbone.model, list(cards.values()), InstructionEncoder(backbone, 512), 0)
    recipe = Recipe(steps=1, tasks_per_step=8, instances_per_task=4, learning_rate=1e-4)
    data = TrainingSet(cards, {task.name: task.instances[:64] for task in tasks}, [TkDefPos2()], Mixture(tuple(cards)))
    trainer = Trainer(backbone, model, method, method.rule(), data, recipe, 0)
    trainer.model.train()
    with torch.no_grad():  # off the start, where half of LoRA's gradients are zero
        for parameter in trainer.task_losses.collector.named.values():
            if not parameter.any():
                parameter.normal_(std=0.02)
    return trainer


def first_groups(trainer: Trainer):  # type: ignore[no-untyped-def]
    sizes = {task: len(instances) for task, instances in trainer.data.instances.items()}
    return trainer.encode(plan_steps(trainer.data.mixture, sizes, trainer.recipe, 0)[0])


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
clock = CLOCKS["wall"]


def seconds(action: Callable[[], object]) -> float:
    start = clock()
    action()
    return clock() - start


def step(trainer: Trainer, rule: Rule, groups) -> None:  # type: ignore[no-untyped-def]
    """Forward, backward, rule, clipping, and what the rule asks for afterwards."""
    trainer.updater.rule = rule
    trainer.updater.backward(groups)
    torch.nn.utils.clip_grad_norm_(trainer.named.values(), 1.0)
    if Needs.LOSSES_AFTER in rule.needs:
        with torch.no_grad():
            rule.observe([task for task, _ in groups], trainer.task_losses.of(groups))


def steps(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(args, Path(folder))
    groups, mean = first_groups(trainer), RULES.get("mean")()
    tokens = sum(batch.tokens for _, batch in trainer.task_losses.batches(groups))
    size = trainer.task_losses.collector.size
    print(f"{args.method}, {args.precision}, P = {size:,}, {len(groups)} x 4 instances, {tokens:,} tokens")
    for name in args.rules.split(",") if args.rules else COSTLY[1:]:
        rule = RULES.get(name)()
        step(trainer, rule, groups)  # the backend is selected and memory is touched
        step(trainer, mean, groups)
        pairs = [
            (seconds(lambda: step(trainer, mean, groups)), seconds(lambda rule=rule: step(trainer, rule, groups)))
            for _ in range(args.repeats)
        ]
        plain, ruled = (min(values) for values in zip(*pairs, strict=True))
        middle = statistics.median(other / one for one, other in pairs)
        print(f"{name:12} mean {plain:6.2f} s, rule {ruled:6.2f} s, ratio {ruled / plain:.3f} (median {middle:.3f})")


def peer(args: argparse.Namespace) -> None:
    """torchjd on the same losses: one forward pass of all tasks, then its Jacobian by vmap over the backward."""
    from torchjd.aggregation import PCGrad, UPGrad
    from torchjd.autojac import backward, jac_to_grad

    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(args, Path(folder))
    groups, parameters = first_groups(trainer), list(trainer.named.values())
    for name, aggregator in (("upgrad", UPGrad()), ("pcgrad", PCGrad())):

        def theirs(aggregator=aggregator) -> None:  # type: ignore[no-untyped-def]
            each = torch.cat(
                [trainer.method.losses(trainer.model, batch) for _, batch in trainer.task_losses.batches(groups)]
            )
            backward(list(each), inputs=parameters, parallel_chunk_size=args.chunk)
            jac_to_grad(parameters, aggregator)

        rule = RULES.get(name)()
        step(trainer, rule, groups)
        trainer.updater.optimizer.zero_grad(set_to_none=True)
        ours, other = [], []
        for _ in range(args.repeats):
            ours.append(seconds(lambda rule=rule: step(trainer, rule, groups)))
            trainer.updater.optimizer.zero_grad(set_to_none=True)
            other.append(seconds(theirs))
            trainer.updater.optimizer.zero_grad(set_to_none=True)
        ratio = min(other) / min(ours)
        print(f"{name:12} ours {min(ours):6.2f} s, torchjd {min(other):6.2f} s, ratio {ratio:.2f}")


def gram(args: argparse.Namespace) -> None:
    rows = torch.empty(args.tasks, args.parameters).normal_()
    weights = torch.full((args.tasks,), 1 / args.tasks)
    size = rows.numel() * rows.element_size()
    read = min(seconds(rows.sum) for _ in range(args.repeats))
    matrix = min(seconds(lambda: gram_matrix(rows)) for _ in range(args.repeats))
    update = min(seconds(lambda: weights @ rows) for _ in range(args.repeats))
    print(
        f"T = {args.tasks}, P = {args.parameters:,}: {size:,} bytes of gradients, and {8 * args.tasks**2:,} of the rule"
    )
    print(f"one read of them {read:.2f} s ({size / read / 2**30:.1f} GiB/s)")
    print(f"Gram matrix {matrix:.2f} s = {matrix / read:.2f} reads")
    print(f"combination {update:.2f} s = {update / read:.2f} reads")
    small = gram_matrix(rows[:, : 1 << 16])
    for name in COSTLY:
        rule, losses = RULES.get(name)(), torch.ones(args.tasks, dtype=torch.float64)
        seen = TaskGradients(tuple(f"task{i}" for i in range(args.tasks)), small, losses, torch.Generator())
        rule.weights(seen)
        best = min(seconds(lambda rule=rule, seen=seen: rule.weights(seen)) for _ in range(9))
        print(f"{name:12} {1e3 * best:7.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["steps", "peer", "gram"])
    parser.add_argument("--data", help="folder in the official layout")
    parser.add_argument("--model", help="folder or GGUF file; default: random weights")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--rules", default="", help="comma-separated; default: the costly ones")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="processor: where other work runs beside")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--chunk", type=int, default=None, help="torchjd's parallel_chunk_size; default: all at once")
    parser.add_argument("--parameters", type=int, default=100_000_000)
    parser.add_argument("--tasks", type=int, default=16)
    args = parser.parse_args()
    global clock
    clock = CLOCKS[args.clock]
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, {args.clock} clock")
    {"steps": steps, "peer": peer, "gram": gram}[args.what](args)


if __name__ == "__main__":
    main()
