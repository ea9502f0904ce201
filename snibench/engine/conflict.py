"""The gradient conflict of a model under tuning, measured by the harness on instances that are never trained on.

The same for every method: its plain target NLL, whatever its own losses are, in chunks, so that the estimator can
correct for the noise of finite samples (``stats.conflict``). Measured on the method's shared trainable parameters, and,
because methods differ in how many these are, once more where all have the same space: for a vector added to the last
block's output.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from snibench.base.hashing import derive_seed
from snibench.base.types import Instance
from snibench.contracts import Needs, Rule
from snibench.engine.backbone import base_of
from snibench.engine.gradients import TaskGradients, gram_matrix
from snibench.engine.task_losses import TaskLosses
from snibench.engine.tokens import Encoded
from snibench.stats.conflict import ConflictEstimate, estimate_conflict, residual_conflict

CHUNKS = 8
# Most passes over the probe, each for a part of the parameters: beyond that the measurement would outlast the tuning.
_MOST_PASSES = 16
_REPORTED = ("score", "score_raw", "mean_cosine", "rate", "rate_raw", "magnitude_similarity", "standard_error")

Chunks = list[tuple[str, list[Encoded]]]  # of one task: its name S times, each time with other instances


@dataclass(frozen=True)
class ConflictPoint:
    """The conflict at one point of training: numbers for the record, and one row per pair of tasks.

    ``pairs``: first, second, cosine, standard_error, and the same on the last block's output. Every pair once, so that
    they hold the whole symmetric matrix.
    """

    summary: Mapping[str, float]
    pairs: pd.DataFrame


def probe_tasks(probe: Mapping[str, Sequence[Instance]], count: int, seed: int = 0) -> dict[str, list[Instance]]:
    """At most ``count`` seen tasks with enough probe instances for every chunk; the same for all methods."""
    able = sorted(task for task, instances in probe.items() if len(instances) >= CHUNKS)
    rng = np.random.default_rng(derive_seed("conflict", seed))
    chosen = sorted(rng.choice(len(able), size=min(count, len(able)), replace=False).tolist())
    return {able[index]: list(probe[able[index]]) for index in chosen}


def measure_conflict(
    task_losses: TaskLosses, rule: Rule, probe: Mapping[str, Sequence[Encoded]], seed: int
) -> ConflictPoint | None:
    """The conflict between the plain losses of the tasks of ``probe`` now.

    None if there are not two tasks, or their gradients are too large.

    Where the gradients of all tasks do not fit in memory at once, the parameters are measured part by part: inner
    products add up. Leaves parameters, gradients, the token meter and the rule's memory as they were.

    Args:
        task_losses: The model's task losses under tuning; measured are its plain ones.
        rule: The rule under which the update is formed whose residual conflict is measured.
        probe: Every task's probe instances, in the format and length of the tuning.
        seed: The run's seed, of the rule's draws.
    """
    tasks = list(probe)
    if len(tasks) < 2:
        return None
    task_losses.model.eval()
    chunks = [_chunks(task, probe[task]) for task in tasks]
    plain = task_losses.as_plain
    plain.rows = task_losses.rows  # what memory has allowed so far
    try:
        measured = _gram(plain, chunks)
        if measured is None:
            return None
        gram, losses = measured
        estimate = estimate_conflict(gram.numpy())
        outputs = estimate_conflict(_output_gram(plain, chunks).numpy())
    finally:
        plain.clear()
        plain.collector.release()
    notes = task_losses.progress.notes
    notes += [note for note in plain.progress.notes if note not in notes]
    summary: dict[str, Any] = {
        **{name: getattr(estimate, name) for name in _REPORTED},
        "residual": _residual(rule, seed, tuple(tasks), gram.mean(dim=(1, 3)), losses, estimate),
        **{f"output_{name}": getattr(outputs, name) for name in _REPORTED},
        "parameters": task_losses.collector.size,
        "tasks": len(tasks),
    }
    first, second = np.triu_indices(len(tasks), 1)
    pairs = pd.DataFrame(
        {
            "first": np.array(tasks)[first],
            "second": np.array(tasks)[second],
            "cosine": estimate.cosines[first, second],
            "standard_error": estimate.errors[first, second],
            "output_cosine": outputs.cosines[first, second],
            "output_standard_error": outputs.errors[first, second],
        }
    )
    return ConflictPoint({key: float(value) for key, value in summary.items() if np.isfinite(value)}, pairs)


def _chunks(task: str, instances: Sequence[Encoded]) -> Chunks:
    size = len(instances) // CHUNKS
    return [(task, list(instances[start : start + size])) for start in range(0, size * CHUNKS, size)]


def _gram(task_losses: TaskLosses, chunks: Sequence[Chunks]) -> tuple[Tensor, Tensor] | None:
    """``[T, S, T, S]`` inner products of the chunks' gradients, and the ``[T]`` losses."""
    count = len(chunks)
    parts = task_losses.collector.parts(count * CHUNKS)
    if len(parts) > _MOST_PASSES:
        return None
    gram, losses = torch.zeros(count * CHUNKS, count * CHUNKS, dtype=torch.float64), torch.zeros(count).double()
    for part in parts:
        rows = []
        for index, own in enumerate(chunks):
            collected, each = task_losses.task_gradients(own, collector=part)
            rows.append(collected.matrix().clone())  # [S, size]
            losses[index] = each.mean()
        gram += gram_matrix(torch.cat(rows))
    return gram.reshape(count, CHUNKS, count, CHUNKS), losses


def _output_gram(task_losses: TaskLosses, chunks: Sequence[Chunks]) -> Tensor:
    """``[T, S, T, S]`` inner products of the gradients of a vector added to the last block's output.

    The sum of dL/dh over tokens, ``[H]`` numbers for every method: tokens differ between tasks, directions do not.
    """
    rows = []
    for own in chunks:
        sums = torch.zeros(len(own), 0)
        for piece, batch in task_losses.batches(own):
            with _last_output(task_losses) as outputs:
                task_losses.losses_of(batch).tasks.sum().backward()
            gradients = torch.stack([leaf.grad.reshape(len(piece), -1, leaf.shape[-1]).sum(1) for leaf in outputs]).sum(
                0
            )
            if not sums.shape[1]:
                sums = gradients.new_zeros(len(own), gradients.shape[1], dtype=torch.float32)
            sums[piece] = gradients.float()
        rows.append(sums)
    gram = gram_matrix(torch.cat(rows))
    return gram.reshape(len(chunks), CHUNKS, len(chunks), CHUNKS)


@contextmanager
def _last_output(task_losses: TaskLosses) -> Iterator[list[Any]]:
    """Collects the last block's outputs inside, as leaves whose ``grad`` a backward fills and behind which it ends."""
    outputs: list[Any] = []

    def cut(module: nn.Module, inputs: Any, output: Any) -> Any:
        if not torch.is_grad_enabled():
            return None
        hidden = output[0] if isinstance(output, tuple) else output
        leaf = hidden.detach().requires_grad_()
        outputs.append(leaf)
        return (leaf.clone(), *output[1:]) if isinstance(output, tuple) else leaf.clone()

    handle = last_block(task_losses.model).register_forward_hook(cut)
    for parameter in task_losses.named.values():
        parameter.requires_grad_(False)
    try:
        yield outputs
    finally:
        handle.remove()
        for parameter in task_losses.named.values():
            parameter.requires_grad_(True)


def last_block(model: nn.Module) -> nn.Module:
    """The last of the blocks that a model's output comes from: the decoder's, where there is an encoder too."""
    stacks = [module for module in base_of(model).modules() if isinstance(module, nn.ModuleList) and len(module) > 0]
    deepest = max(len(stack) for stack in stacks)
    block: nn.Module = [stack for stack in stacks if len(stack) == deepest][-1][-1]
    return block


def _residual(
    rule: Rule, seed: int, tasks: tuple[str, ...], gram: Tensor, losses: Tensor, estimate: ConflictEstimate
) -> float:
    """Residual conflict of the rule's update of the probe's gradients; NaN where it needs more than those."""
    if rule.needs & (Needs.LAYERS | Needs.TENSORS | Needs.ROWS):
        return float("nan")
    # Through JSON: a state may hold the rule's own dictionaries, which its weights then change.
    before = json.loads(json.dumps(rule.state()))
    generator = torch.Generator().manual_seed(derive_seed("conflict", seed))
    gradients = TaskGradients.asked_for(rule.needs, tasks, gram=gram, losses=losses, generator=generator)
    weights = rule.weights(gradients)[: len(tasks)]
    rule.restore(before)
    return residual_conflict(gram.numpy(), weights.cpu().numpy(), squares=estimate.squares)
