"""Whether a rule keeps its contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from snibench.base.hashing import canonical_json
from snibench.contracts import Rule
from snibench.testing.values import expect

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients

NEEDS = frozenset({"gram", "losses", "losses_after", "generator", "layers", "tensors"})


def check_rule(make: Callable[[], Rule]) -> None:
    """Nothing, if the rules that ``make`` returns keep their contract.

    Checked: ``[K + R]`` finite float64 weights, also for one task, for zero, equal and opposite gradients, and with
    references; the step's generator is the only randomness; the Gram matrix is left as it was; permuting the tasks
    permutes the weights (rules that draw from the generator are exempt); state is JSON, kept by task name, and a
    restored rule goes on as the first would have.

    Args:
        make: Returns a fresh rule; a rule's class will do.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    rule = make()
    name = type(rule).__name__
    expect(isinstance(rule, Rule), f"{name} is not derived from snibench.api.Rule")
    expect(rule.needs <= NEEDS, f"{name}.needs must be among {sorted(NEEDS)}, but holds {sorted(rule.needs - NEEDS)}")
    for tasks in (1, 2, 5):
        for references in (0, 1):
            _check_weights(make, name, _gradients(rule, _vectors(tasks, tasks), references))
    _check_edges(make, name)
    if "generator" not in rule.needs:
        _check_permutation(make, name)
    _check_state(make, name)


def _vectors(tasks: int, seed: int) -> Tensor:
    import torch

    return torch.randn(tasks, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _gradients(rule: Rule, vectors: Tensor, references: int = 0, *, names: Sequence[str] = ()) -> TaskGradients:
    """``[K, P]`` task gradients as the harness hands them to ``rule``: zeros in place of what it does not need."""
    import torch

    from snibench.engine.gradients import TaskGradients

    tasks = len(vectors)
    rows = torch.cat([vectors, vectors.new_ones(references, vectors.shape[1])])
    gram = rows @ rows.T
    return TaskGradients(
        tasks=tuple(names) or tuple(f"task{index}" for index in range(tasks)),
        gram=gram if "gram" in rule.needs else torch.zeros_like(gram),
        losses=1 + vectors[:, 0].abs() if rule.needs else vectors.new_zeros(tasks),
        generator=torch.Generator().manual_seed(1),
        layers={
            name: part @ part.T
            for name, part in {"layers.0": rows[:, :3], "layers.1": rows[:, 3:]}.items()
            if rule.needs & {"layers", "tensors"}
        },
    )


def _check_weights(make: Callable[[], Rule], name: str, given: TaskGradients) -> Tensor:
    import torch

    gram, count, layers = given.gram.clone(), len(given.gram), len(given.layers)
    weights = make().weights(given)
    expect(isinstance(weights, torch.Tensor), f"{name}.weights must return a tensor, not {type(weights).__name__}")
    shapes = [(count,), (layers, count)] if layers else [(count,)]
    expect(
        tuple(weights.shape) in shapes,
        f"{name}.weights must have shape {' or '.join(map(str, shapes))} for {len(given.tasks)} tasks and "
        f"{given.references} references, but has {tuple(weights.shape)}",
    )
    expect(weights.dtype == torch.float64, f"{name}.weights must be float64, but are {weights.dtype}")
    expect(
        torch.isfinite(weights).all(), f"{name}.weights are not finite for {len(given.tasks)} tasks: {weights.tolist()}"
    )
    expect(torch.equal(given.gram, gram), f"{name}.weights changes the Gram matrix that it is given")
    again = make().weights(replace(given, generator=torch.Generator().manual_seed(1)))
    expect(
        torch.equal(weights, again),
        f"{name} gives other weights for the same gradients: draw from gradients.generator only",
    )
    return weights


def _check_edges(make: Callable[[], Rule], name: str) -> None:
    import torch

    rule = make()
    some = _vectors(3, 3)
    cases = {
        "one zero gradient": torch.cat([some, torch.zeros_like(some[:1])]),
        "zero gradients only": torch.zeros_like(some),
        "equal gradients": some[:1].repeat(3, 1),
        "opposite gradients": torch.cat([some[:1], -some[:1]]),
        "norms a million-fold apart": torch.stack([some[0], 1e-6 * some[1]]),
    }
    for case, vectors in cases.items():
        try:
            _check_weights(make, name, _gradients(rule, vectors))
        except AssertionError as error:
            raise AssertionError(f"with {case}: {error}") from error
    if rule.needs:
        given = _gradients(rule, some[:1])
        weight = float(make().weights(given)[..., 0].min())
        expect(weight > 0, f"{name} must go down a single task's gradient, but its weight is {weight}")


def _check_permutation(make: Callable[[], Rule], name: str) -> None:
    import torch

    rule, vectors = make(), _vectors(5, 11)
    order = torch.tensor([3, 0, 4, 1, 2])
    names = [f"task{index}" for index in order.tolist()]
    straight = make().weights(_gradients(rule, vectors))
    permuted = make().weights(_gradients(rule, vectors[order], names=names))
    expect(
        torch.allclose(straight[..., order], permuted, rtol=1e-5, atol=1e-8),
        f"{name} must not depend on the order of the tasks: permuted weights are {permuted.tolist()}, "
        f"expected {straight[..., order].tolist()}",
    )


def _check_state(make: Callable[[], Rule], name: str) -> None:
    import torch

    first = make()
    steps = [[0, 1, 2], [2, 3, 4], [4, 1, 0], [3, 0, 2]]  # tasks come and go
    for step, tasks in enumerate(steps[:-1]):
        given = _gradients(first, _vectors(5, step)[tasks], names=[f"task{task}" for task in tasks])
        first.weights(given)
        if "losses_after" in first.needs:
            first.observe(given.tasks, 0.9 * given.losses)
        for key, value in first.diagnostics().items():
            expect(isinstance(value, int | float), f"{name}.diagnostics()[{key!r}] must be a number, but is {value!r}")
    try:
        state = json.loads(canonical_json(dict(first.state())))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name}.state() must be JSON: {error}") from error
    second = make()
    second.restore(state)
    expected, got = (
        rule.weights(_gradients(rule, _vectors(5, 9)[steps[-1]], names=[f"task{task}" for task in steps[-1]]))
        for rule in (first, second)
    )
    expect(
        torch.equal(expected, got),
        f"{name} restored from its state goes on with {got.tolist()}, where the first goes on with {expected.tolist()}",
    )
