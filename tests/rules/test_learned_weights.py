"""Rules with a memory, against a dense reference or a value worked out by hand."""

import json

import numpy as np
import pytest
import torch

from snibench.base.registry import RULES
from snibench.contracts import Needs
from snibench.engine.gradients import TaskGradients
from snibench.rules import TaskAdam


def rule(name, **settings):
    kind = RULES.get(name)
    return kind(kind.Settings(**settings))


def test_task_adam_is_torch_adam_for_a_task_in_every_step():
    parameter = torch.nn.Parameter(torch.tensor([0.3, 0.3], dtype=torch.float64))
    dense = torch.optim.Adam([parameter], lr=0.05, weight_decay=0.01)
    ours = TaskAdam(0.3, 0.05, 0.01)
    for index in range(20):
        gradient = torch.tensor([np.sin(index), 1.0 / (1 + index)], dtype=torch.float64)
        parameter.grad = gradient.clone()
        dense.step()
        ours.step(["a", "b"], gradient)
    assert ours.values(["a", "b"]).tolist() == pytest.approx(parameter.tolist(), rel=1e-9)


def test_task_adam_leaves_an_absent_task_alone():
    ours = TaskAdam(0.0, 0.1)
    ours.step(["a", "b"], torch.tensor([1.0, 1.0]))
    before = ours.values(["b"]).item()
    for _ in range(10):
        ours.step(["a"], torch.tensor([1.0]))
    assert ours.values(["b"]).item() == before
    assert ours.values(["new"]).item() == 0.0


def test_famo_follows_its_authors_loop(step):
    # Algorithm 1 with autograd and a dense Adam, all tasks in every step.
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.025, weight_decay=1e-3)
    ours, rng = rule("famo"), np.random.default_rng(0)
    for _ in range(25):
        before = torch.from_numpy(rng.uniform(0.5, 3, 3))
        after = before * torch.from_numpy(rng.uniform(0.6, 1.1, 3))
        shares = logits.softmax(dim=0).detach() / before
        weights = ours.weights(step(np.eye(3), losses=before.tolist()))
        assert weights.tolist() == pytest.approx((shares / shares.sum()).tolist(), rel=1e-6)
        ours.observe(["task0", "task1", "task2"], after)
        (logits.grad,) = torch.autograd.grad(logits.softmax(dim=0), logits, before.log() - after.log())
        adam.step()


def test_famo_favours_the_task_that_improves_least(step):
    ours = rule("famo")
    for _ in range(50):
        ours.weights(step(np.eye(2), losses=[1.0, 1.0]))
        ours.observe(["task0", "task1"], torch.tensor([0.5, 0.99]))
    slow, fast = ours.weights(step(np.eye(2), losses=[1.0, 1.0], tasks=["task1", "task0"])).tolist()
    assert slow > 1.5 * fast


def test_famo_refuses_to_observe_before_a_step():
    with pytest.raises(RuntimeError, match="before weights"):
        rule("famo").observe(["a"], torch.tensor([1.0]))


def test_uncertainty_weights_tend_to_the_inverse_loss(step):
    ours = rule("uncertainty")
    for _ in range(600):
        weights = ours.weights(step(np.eye(2), losses=[0.5, 4.0]))
    assert weights.tolist() == pytest.approx([1 / 0.5 / 2, 1 / 4 / 2], rel=0.01)


def test_uncertainty_moves_along_the_derivative_of_its_objective(step):
    s = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([s], lr=0.025)
    ours = rule("uncertainty")
    for losses in ([0.5, 3.0], [0.4, 2.0], [0.3, 2.5], [0.6, 1.0]):
        weights = ours.weights(step(np.eye(2), losses=losses))
        assert weights.tolist() == pytest.approx(((-s).exp() / 2).tolist(), rel=1e-6)
        adam.zero_grad()
        (((-s).exp() * torch.tensor(losses) + s) / 2).sum().backward()
        adam.step()


def test_dwa_compares_the_last_window_with_the_one_before(step):
    ours = rule("dwa", window=2, temperature=2.0)
    for losses in ([4.0, 1.0], [2.0, 1.0], [1.0, 1.0], [2.0, 1.0]):
        assert ours.weights(step(np.eye(2), losses=losses)).tolist() == [0.5, 0.5]
    # Ratios (1 + 2) / (4 + 2) and 1: the losses of earlier steps only.
    expected = torch.tensor([0.5 / 2, 1 / 2]).softmax(dim=0).tolist()
    assert ours.weights(step(np.eye(2), losses=[9.0, 9.0])).tolist() == pytest.approx(expected)
    expected = torch.tensor([11 / 3 / 2, 10 / 2 / 2]).softmax(dim=0).tolist()  # the windows have slid by one visit
    assert ours.weights(step(np.eye(2), losses=[1.0, 1.0])).tolist() == pytest.approx(expected)


def test_dwa_counts_visits_and_not_steps(step):
    ours = rule("dwa", window=1)
    ours.weights(step(np.eye(2), tasks=["rare", "x"], losses=[4.0, 1.0]))
    for _ in range(5):
        ours.weights(step(np.eye(2), tasks=["x", "y"], losses=[1.0, 1.0]))
    ours.weights(step(np.eye(2), tasks=["rare", "x"], losses=[2.0, 1.0]))
    expected = torch.tensor([2.0 / 4.0 / 2, 1.0 / 2]).softmax(dim=0).tolist()
    assert ours.weights(step(np.eye(2), tasks=["rare", "x"])).tolist() == pytest.approx(expected)


def test_gradnorm_starts_at_the_mean_and_brings_equal_tasks_to_equal_norms(step):
    ours, gradients = rule("gradnorm"), np.diag([1.0, 2.0, 3.0])
    assert ours.weights(step(gradients)).tolist() == pytest.approx([1 / 3] * 3)
    for _ in range(400):
        weights = ours.weights(step(gradients)).numpy()
    scaled = weights * [1, 2, 3]
    assert scaled == pytest.approx(np.full(3, scaled.mean()), rel=0.08)  # Adam at a constant rate circles around it
    assert weights.sum() == pytest.approx(1)


def test_gradnorm_favours_the_task_whose_loss_has_fallen_least(step):
    ours, gradients = rule("gradnorm", alpha=1.0), np.eye(2)
    ours.weights(step(gradients, losses=[2.0, 2.0]))
    for _ in range(400):
        weights = ours.weights(step(gradients, losses=[1.5, 0.5])).numpy()
    assert weights[0] / weights[1] == pytest.approx(3.0, rel=0.15)  # relative losses 0.75 and 0.25


def test_gradnorm_moves_along_the_derivative_of_its_objective(step):
    gradients, losses = np.diag([1.0, 2.0]), [[2.0, 1.0], [1.0, 0.9]]
    ours = rule("gradnorm")
    w = torch.ones(2, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([w], lr=0.025)
    norms = torch.tensor([1.0, 2.0], dtype=torch.float64)
    for now in losses:
        ours.weights(step(gradients, losses=now))
        progress = torch.tensor(now, dtype=torch.float64) / torch.tensor(losses[0], dtype=torch.float64)
        target = ((w * norms).mean() * (progress / progress.mean()) ** 1.5).detach()
        adam.zero_grad()
        (w * norms - target).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            w *= 2 / w.sum()
    expected = (w / 2).tolist()
    assert ours.weights(step(gradients, losses=losses[1])).tolist() == pytest.approx(expected, rel=1e-6)


def test_gradvac_targets_are_moving_averages_of_cosines(step):
    ours = rule("gradvac", beta=0.25)
    gradients = np.array([[1.0, 0.0], [0.6, 0.8]])
    ours.weights(step(gradients, tasks=["a", "b"]))
    ours.weights(step(gradients, tasks=["b", "a"]))  # the pair's second visit, its rows swapped
    target = 0.75 * (0.25 * 0.6) + 0.25 * 0.6
    assert ours.state() == {"targets": {"": {"a": {"b": pytest.approx(target)}, "b": {"a": pytest.approx(target)}}}}


def test_gradvac_turns_a_gradient_until_its_cosine_is_the_target(step):
    ours = rule("gradvac", beta=0.0)
    ours.restore({"targets": {"": {"a": {"b": 0.5}, "b": {"a": -1.0}}}})
    gradients = np.array([[1.0, 0.0], [-0.6, 0.8]])
    weights = ours.weights(step(gradients, tasks=["a", "b"])).numpy()
    turned = 2 * weights @ gradients - gradients[1]  # b wants nothing, so the rest is a's
    assert turned @ gradients[1] / np.linalg.norm(turned) == pytest.approx(0.5)


def test_gradvac_per_layer_turns_every_layer_as_though_it_were_alone(step):
    ours, alone = rule("gradvac", beta=0.3, per_layer=True), {name: rule("gradvac", beta=0.3) for name in "pq"}
    assert Needs.LAYERS in ours.needs
    assert Needs.LAYERS not in rule("gradvac").needs
    for seed in range(8):
        parts = {name: np.random.default_rng([seed, ord(name)]).normal((0.3, 0, 0), 1, (2, 3)) for name in "pq"}
        whole = step(np.hstack(list(parts.values())), tasks=["a", "b"])
        layers = {name: torch.from_numpy(part @ part.T) for name, part in parts.items()}
        weights = ours.weights(TaskGradients(whole.tasks, whole.gram, whole.losses, whole.generator, layers))
        expected = [alone[name].weights(step(part, tasks=["a", "b"])).tolist() for name, part in parts.items()]
        assert weights.tolist() == pytest.approx(np.array(expected))
    second = rule("gradvac", beta=0.3, per_layer=True)
    second.restore(json.loads(json.dumps(ours.state())))
    once_more = TaskGradients(whole.tasks, whole.gram, whole.losses, whole.generator, layers)
    assert second.weights(once_more).tolist() == ours.weights(once_more).tolist()
    assert set(ours.state()["targets"]) == {"p", "q"}
