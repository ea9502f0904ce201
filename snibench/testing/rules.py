"""Whether a rule keeps its contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from snibench.base.errors import PluginError
from snibench.base.hashing import canonical_json
from snibench.contracts import Needs, Rule
from snibench.testing.expectations import expect

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients


def check_rule(make: Callable[[], Rule]) -> None:
    """Check that the rules that ``make`` returns keep their contract.

    Checked: ``[K + R]`` finite float64 weights, also for one task, for zero, equal and opposite gradients, and with
    references; the step's generator is the only randomness; the Gram matrix is left as it was; permuting the tasks
    permutes the weights (rules that draw from the generator are exempt); state is JSON, kept by task name, and a
    restored rule goes on as the first would have.

    Args:
        make: Returns a fresh rule; a rule's class will do.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    try:
        _check_rule(make)
    except PluginError as error:  # it read what it did not ask for
        raise AssertionError(str(error)) from error


def _check_rule(make: Callable[[], Rule]) -> None:
    rule = make()
    name = type(rule).__name__
    expect(isinstance(rule, Rule), f"{name} is not derived from snibench.api.Rule")
    expect(isinstance(rule.needs, Needs), f"{name}.needs must be Needs, such as Needs.GRAM, but is {rule.needs!r}")
    expect(
        type(rule).combine is Rule.combine or Needs.ROWS in rule.needs,
        f"{name} overrides combine, so its needs must name Needs.ROWS",
    )
    for tasks in (1, 2, 5):
        for anchors in (0, 1):
            _check_weights(make, name, partial(_gradients, rule, _vectors(tasks, tasks), anchors))
    _check_edges(make, name)
    if Needs.GENERATOR not in rule.needs and not _combines(rule):
        _check_permutation(make, name)
    _check_state(make, name)


def _combines(rule: Rule) -> bool:
    """Whether the update is made coordinate by coordinate, not by weights."""
    return Needs.ROWS in rule.needs and type(rule).combine is not Rule.combine


def _made(rule: Rule, gradients: TaskGradients) -> Tensor:
    """Update or weights of the rule for the gradients, as one tensor."""
    import torch

    update = rule.combine(gradients) if Needs.ROWS in rule.needs else None
    return rule.weights(gradients) if update is None else torch.cat([one.flatten() for one in update.values()])


def _vectors(tasks: int, seed: int) -> Tensor:
    import torch

    return torch.randn(tasks, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _gradients(rule: Rule, vectors: Tensor, anchors: int = 0, *, names: Sequence[str] = ()) -> TaskGradients:
    """``[K, P]`` task gradients as the harness hands them to ``rule``: only what it needs can be read."""
    import torch

    from snibench.engine.gradients import TaskGradients

    tasks = len(vectors)
    anchors = anchors if Needs.ANCHORS in rule.needs else 0
    rows = torch.cat([vectors, vectors.new_ones(anchors, vectors.shape[1])])
    parts = {"layers.0": rows[:, :3], "layers.1": rows[:, 3:]}
    return TaskGradients.asked_for(
        rule.needs,
        tuple(names) or tuple(f"task{index}" for index in range(tasks)),
        gram=rows @ rows.T,
        losses=1 + vectors[:, 0].abs(),
        generator=torch.Generator().manual_seed(1),
        layers={name: part @ part.T for name, part in parts.items()},
        rows=lambda: iter(parts.items()),
        anchors=anchors,
    )


def _check_weights(make: Callable[[], Rule], name: str, gradients_of: Callable[[], TaskGradients]) -> None:
    """Checks a rule's weights for the gradients of ``gradients_of``, each time with a generator as at first."""
    import torch

    rule, gradients = make(), gradients_of()
    if Needs.ROWS in rule.needs and (update := rule.combine(gradients)) is not None:
        _check_update(update, make().combine(gradients_of()) or {}, name, dict(gradients_of().rows()))
        return
    before = gradients.gram.clone() if Needs.GRAM in rule.needs else None
    count = len(gradients.tasks) + gradients.anchors
    layers = len(gradients.layers) if rule.needs & (Needs.LAYERS | Needs.TENSORS) else 0
    weights = rule.weights(gradients)
    expect(isinstance(weights, torch.Tensor), f"{name}.weights must return a tensor, not {type(weights).__name__}")
    shapes = [(count,), (layers, count)] if layers else [(count,)]
    expect(
        tuple(weights.shape) in shapes,
        f"{name}.weights must have shape {' or '.join(map(str, shapes))} for {len(gradients.tasks)} tasks and "
        f"{gradients.anchors} anchors, but has {tuple(weights.shape)}",
    )
    expect(weights.dtype == torch.float64, f"{name}.weights must be float64, but are {weights.dtype}")
    expect(
        torch.isfinite(weights).all(),
        f"{name}.weights are not finite for {len(gradients.tasks)} tasks: {weights.tolist()}",
    )
    if before is not None:
        expect(torch.equal(gradients.gram, before), f"{name}.weights changes the Gram matrix that it is given")
    expect(
        torch.equal(weights, make().weights(gradients_of())),
        f"{name} gives other weights for the same gradients: draw from gradients.generator only",
    )


def _check_update(
    update: Mapping[str, Tensor], again: Mapping[str, Tensor], name: str, rows: Mapping[str, Tensor]
) -> None:
    import torch

    for parameter, value in update.items():
        expect(parameter in rows, f"{name}.combine names '{parameter}', which gradients.rows() does not")
        expect(
            tuple(value.shape) == tuple(rows[parameter].shape[1:]),
            f"{name}.combine must give shape {tuple(rows[parameter].shape[1:])} for {parameter}, "
            f"but gave {tuple(value.shape)}",
        )
        expect(torch.isfinite(value).all(), f"{name}.combine is not finite for {parameter}")
        expect(
            parameter in again and torch.equal(value, again[parameter]),
            f"{name}.combine gives another update for the same gradients: draw from gradients.generator only",
        )


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
            _check_weights(make, name, partial(_gradients, rule, vectors))
        except AssertionError as error:
            raise AssertionError(f"with {case}: {error}") from error
    if rule.needs != Needs.NONE and not _combines(rule):
        weight = float(make().weights(_gradients(rule, some[:1]))[..., 0].min())
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
        gradients = _gradients(first, _vectors(5, step)[tasks], names=[f"task{task}" for task in tasks])
        _made(first, gradients)
        if Needs.LOSSES_AFTER in first.needs:
            first.observe(gradients.tasks, torch.full((len(tasks),), 0.9 + step, dtype=torch.float64))
        for key, value in first.diagnostics().items():
            expect(isinstance(value, int | float), f"{name}.diagnostics()[{key!r}] must be a number, but is {value!r}")
    try:
        state = json.loads(canonical_json(dict(first.state())))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name}.state() must be JSON: {error}") from error
    second = make()
    second.restore(state)
    expected, got = (
        _made(rule, _gradients(rule, _vectors(5, 9)[steps[-1]], names=[f"task{task}" for task in steps[-1]]))
        for rule in (first, second)
    )
    expect(
        torch.equal(expected, got),
        f"{name} restored from its state goes on with {got.tolist()}, where the first goes on with {expected.tolist()}",
    )
