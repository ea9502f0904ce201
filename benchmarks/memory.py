"""Peak memory of tuning, beside what it cannot do without: weights, optimizer, one micro-batch's activations.

    python benchmarks/memory.py --data SNI_FOLDER --model MODEL --shape 8,4

The peak is the growth of the process's resident memory over what it held before the model was loaded, all libraries in
it (on a GPU, the allocator's peak), over a few steps. Activations are counted as the storages that autograd keeps for
the backward pass of the largest micro-batch, each once, parameters left out. Trainable parameters, their gradients and
the optimizer's moments count as optimizer.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import torch
from torch import Tensor
from training import RATE, Ours, chosen_tasks, load, pair

from snibench.base.types import Recipe
from snibench.cli.heap import with_compact_heap
from snibench.engine.backbone import choose_device, choose_precision
from snibench.engine.tokens import Encoded
from snibench.engine.tuning import Trainer
from snibench.models.find import find_model

MIB = 1 << 20


def reset_peak(device: str) -> None:
    """Forget the highest memory use so far."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: sets VmHWM to what is resident now


def peak(device: str) -> int:
    """Highest memory use in bytes since ``reset_peak``."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def held(device: str) -> int:
    """Bytes in use now."""
    return torch.cuda.memory_allocated() if device.startswith("cuda") else psutil.Process().memory_info().rss


def storages(tensors: Sequence[Tensor]) -> dict[int, int]:
    """Bytes of every storage under ``tensors``, by its address."""
    return {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}


def activations(trainer: Trainer, groups: Sequence[tuple[str, Sequence[Encoded]]]) -> int:
    """Most bytes that the backward pass of one of the micro-batches of ``groups`` needs."""
    parameters = storages(list(trainer.model.parameters()))
    most = 0
    for _, batch in trainer.task_losses.batches(groups):
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept.update(storages([tensor]))
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = trainer.method.losses(trainer.model, batch).sum()
        most = max(most, sum(size for address, size in kept.items() if address not in parameters))
        del loss
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--shape", type=pair, default=(8, 4), help="T,m")
    parser.add_argument("--tasks", choices=["typical", "random"], default="typical")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    with_compact_heap()  # as `snibench run` does; with GLIBC_TUNABLES= set to anything, as the system has it
    device = choose_device(arguments.device)
    precision = choose_precision(arguments.precision, device)
    source, tasks = find_model(arguments.model), chosen_tasks(arguments.data, arguments.tasks)
    names, each = arguments.shape
    recipe = Recipe(steps=arguments.steps, tasks_per_step=names, instances_per_task=each, learning_rate=RATE)
    small = Ours(load(find_model("tiny"), device, precision), tasks, replace(recipe, tasks_per_step=1, steps=1))
    small.train(small.schedule)  # loads every library and what the first products need
    del small
    gc.collect()
    before = held(device)
    ours = Ours(load(source, device, precision), tasks, recipe)
    loaded = held(device)
    reset_peak(device)
    seconds = ours.train(ours.schedule)
    grown = peak(device) - before
    trainer = ours.trainer
    weights = sum(storages([one for one in trainer.model.parameters() if not one.requires_grad]).values())
    trained = list(trainer.named.values())
    moments = [value for one in trained for value in trainer.updater.optimizer.state[one].values()]
    optimizer = 2 * sum(storages(trained).values()) + sum(storages(moments).values())  # 2: their gradients
    kept = max(activations(trainer, trainer.encode(step)) for step in ours.schedule)
    needed = weights + optimizer + kept
    print(
        f"(T, m) = {arguments.shape}, {precision}, {arguments.tasks} tasks, {device}: weights {weights / MIB:.0f}, "
        f"optimizer {optimizer / MIB:.0f}, activations {kept / MIB:.0f}, together {needed / MIB:.0f} MiB; "
        f"peak {grown / MIB:.0f} MiB, {grown / needed:.2f} times that ({(loaded - before) / MIB:.0f} MiB after "
        f"loading); {seconds / len(ours.schedule):.1f} s a step"
    )


if __name__ == "__main__":
    main()
