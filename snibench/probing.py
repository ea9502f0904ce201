"""The gradient conflict of a model under tuning, measured by the harness on instances that are never trained on.

The same for every method: plain task losses on the method's shared trainable parameters, in chunks, so that the
estimator can correct for the noise of finite samples (``snibench.conflict``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from snibench.conflict import estimate_conflict, residual_conflict
from snibench.gradients import TaskGradients, gram_matrix
from snibench.text import derive_seed
from snibench.tuning import Trainer
from snibench.types import Instance

CHUNKS = 8
# Bytes that the chunk gradients may take; a model with more trainable parameters is measured on fewer tasks.
_MOST_BYTES = 4 << 30
_FEWEST_TASKS = 3


@dataclass(frozen=True)
class ConflictPoint:
    """The conflict at one point of training: numbers for the record, and one row per pair of tasks."""

    summary: Mapping[str, float]
    pairs: pd.DataFrame


def probe_tasks(probe: Mapping[str, Sequence[Instance]], count: int, seed: int = 0) -> dict[str, list[Instance]]:
    """At most ``count`` seen tasks with enough probe instances for every chunk; the same for all methods."""
    able = sorted(task for task, instances in probe.items() if len(instances) >= CHUNKS)
    rng = np.random.default_rng(derive_seed("conflict", seed))
    chosen = sorted(rng.choice(len(able), size=min(count, len(able)), replace=False).tolist())
    return {able[index]: list(probe[able[index]]) for index in chosen}


def measure_conflict(trainer: Trainer, probe: Mapping[str, Sequence[Instance]]) -> ConflictPoint | None:
    """The conflict between the tasks of ``probe`` now; None if the gradients of even a few tasks do not fit in memory.

    Leaves parameters, optimizer and gradients as they were.
    """
    affordable = _MOST_BYTES // (4 * CHUNKS * max(trainer.collector.size, 1))
    tasks = list(probe)[:affordable]
    if len(tasks) < min(_FEWEST_TASKS, len(probe)) or len(tasks) < 2:
        return None
    trainer.model.eval()
    rows = []
    for task in tasks:
        size = len(probe[task]) // CHUNKS
        encoded = trainer.encode_instances(task, probe[task][: size * CHUNKS])
        chunks = [(task, encoded[start : start + size]) for start in range(0, len(encoded), size)]
        rows.append(trainer.task_gradients(chunks, references=False)[0].matrix().clone())  # [S, P]
    trainer.optimizer.zero_grad(set_to_none=True)
    gradients = torch.cat(rows)  # [T * S, P]
    count = len(tasks)
    gram = gram_matrix(gradients).reshape(count, CHUNKS, count, CHUNKS)
    estimate = estimate_conflict(gram.numpy())
    summary: dict[str, Any] = {
        "score": estimate.score,
        "score_raw": estimate.score_raw,
        "mean_cosine": estimate.mean_cosine,
        "rate": estimate.rate,
        "rate_raw": estimate.rate_raw,
        "magnitude_similarity": estimate.magnitude_similarity,
        "standard_error": estimate.standard_error,
        "residual": _residual(trainer, tuple(tasks), gram.mean(dim=(1, 3))),
        "tasks": count,
    }
    first, second = np.triu_indices(count, 1)
    pairs = pd.DataFrame(
        {
            "first": np.array(tasks)[first],
            "second": np.array(tasks)[second],
            "cosine": estimate.cosines[first, second],
        }
    )
    return ConflictPoint({key: float(value) for key, value in summary.items() if np.isfinite(value)}, pairs)


def _residual(trainer: Trainer, tasks: tuple[str, ...], gram: torch.Tensor) -> float:
    """How much of the conflict the update that the rule would apply still has; NaN where the rule needs more."""
    if not trainer.rule.needs <= {"gram", "generator"}:
        return float("nan")
    before = trainer.rule.state()
    generator = torch.Generator().manual_seed(derive_seed("conflict", trainer.seed))
    weights = trainer.rule.weights(TaskGradients(tasks, gram, torch.zeros(len(tasks)).double(), generator))
    trainer.rule.restore(before)
    return float(residual_conflict(gram.numpy(), weights[: len(tasks)].cpu().numpy()))
