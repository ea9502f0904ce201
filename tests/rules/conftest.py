from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from snibench.engine.gradients import TaskGradients

MakeStep = Callable[..., TaskGradients]


def _step(
    gradients: Sequence[Sequence[float]] | np.ndarray,
    *,
    losses: Sequence[float] | None = None,
    tasks: Sequence[str] | None = None,
    seed: int = 0,
) -> TaskGradients:
    rows = torch.tensor(np.asarray(gradients), dtype=torch.float64)  # [K + R, P]
    if tasks is None:
        tasks = [f"task{index}" for index in range(len(rows))]
    values = torch.ones(len(tasks)) if losses is None else torch.tensor(losses)
    return TaskGradients(tuple(tasks), rows @ rows.T, values.double(), torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def step() -> MakeStep:
    """What a rule sees of ``[K, P]`` gradients; rows beyond ``tasks`` are anchors."""
    return _step
