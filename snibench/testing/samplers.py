"""Whether a sampler keeps its contract. Needs no torch, unless the sampler does."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping

import numpy as np

from snibench.base.hashing import canonical_json
from snibench.contracts import Draw, Needs, Sampler
from snibench.testing.expectations import expect

_SIZES = {f"task{number}": 5 + 7 * number for number in range(7)}
_STEPS = 12


def check_sampler(make: Callable[[], Sampler]) -> None:
    """Check that the samplers that ``make`` returns keep their contract.

    Checked: each step draws different tasks of those there are, at least one and at most as many as asked for, for one
    task and for many, for every count; the step's generator is the only randomness; losses are taken in, infinite ones
    too; state is JSON, and a restored sampler goes on as the first would have.

    Args:
        make: Returns a fresh sampler; a sampler's class will do.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    sampler = make()
    name = type(sampler).__name__
    expect(isinstance(sampler, Sampler), f"{name} is not derived from snibench.api.Sampler")
    expect(
        isinstance(sampler.needs, Needs), f"{name}.needs must be Needs, such as Needs.GRAM, but is {sampler.needs!r}"
    )
    for count in (1, 3, len(_SIZES)):
        expect(
            _drawn(make(), name, _SIZES, count) == _drawn(make(), name, _SIZES, count),
            f"{name} draws other tasks under the same generator and losses: draw from step.rng only",
        )
    _drawn(make(), name, {"task0": 3}, 1)
    _drawn(make(), name, _SIZES, 3, loss=math.inf)
    _check_state(make, name)


def _drawn(
    sampler: Sampler, name: str, sizes: Mapping[str, int], count: int, loss: float = 2.0, steps: range = range(_STEPS)
) -> list[list[str]]:
    rng = np.random.default_rng(steps.start)
    draws = []
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    for step in steps:
        tasks = list(sampler.draw(Draw(step, _STEPS, sizes, count, rng)))
        expect(
            set(tasks) <= set(sizes),
            f"{name}.draw names {sorted(set(tasks) - set(sizes))}, which are no tasks of step.sizes",
        )
        expect(
            1 <= len(set(tasks)) == len(tasks) <= count,
            f"{name}.draw must give 1 to {count} different tasks, but gave {tasks}",
        )
        _observed(sampler, tasks, loss / (1 + step))
        draws.append(tasks)
    after = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    expect(before == after, f"{name}.draw draws from a global generator; use step.rng")
    return draws


def _observed(sampler: Sampler, tasks: list[str], loss: float) -> None:
    if type(sampler).observe is Sampler.observe:
        return
    import torch

    losses = torch.tensor([loss + sizes for sizes in range(len(tasks))], dtype=torch.float64)
    size = len(tasks) * (2 if Needs.HALVES in sampler.needs else 1)
    gram = torch.eye(size, dtype=torch.float64) if sampler.needs & (Needs.GRAM | Needs.HALVES) else None
    sampler.observe(tasks, losses, gram)


def _check_state(make: Callable[[], Sampler], name: str) -> None:
    first, second = make(), make()
    _drawn(first, name, _SIZES, 3, steps=range(5))
    try:
        state = json.loads(canonical_json(dict(first.state())))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name}.state() must be JSON: {error}") from error
    second.restore(state)
    expected, got = (_drawn(one, name, _SIZES, 3, steps=range(5, _STEPS)) for one in (first, second))
    expect(
        expected == got, f"{name} restored from its state goes on with {got}, where the first goes on with {expected}"
    )
