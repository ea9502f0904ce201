"""Ortho-LoRA: PCGrad, matrix by matrix."""

import numpy as np
import pytest
import torch

from snibench.engine.gradients import TaskGradients, tensor_of
from snibench.methods.lora import Lora
from snibench.rules import project_conflicting
from snibench.rules.ortho_lora import OrthoLoRA
from snibench.rules.pcgrad import PCGrad


def made(parts, seed=0):
    """``[Q, K]`` weights for the ``[K, P_q]`` gradients of Q matrices."""
    layers = {f"part{place}": torch.tensor(part @ part.T) for place, part in enumerate(parts)}
    names = tuple(f"t{index}" for index in range(len(parts[0])))
    return OrthoLoRA().weights(
        TaskGradients.asked_for(OrthoLoRA.needs, names, layers=layers, generator=torch.Generator().manual_seed(seed))
    )


def test_a_conflict_in_one_matrix_is_projected_there_alone():
    a = np.array([[1.0, 0.0], [-3.0, 1.0]])  # opposed; by hand g_1' = (0.1, 0.3), g_2' = (0, 1)
    b = np.array([[10.0, 0.0], [10.0, 1.0]])  # agree so much that all parameters together have no conflict
    weights = made([a, b]).numpy()
    assert weights[0] @ a == pytest.approx(np.array([0.05, 0.65]))
    assert weights[1] == pytest.approx(np.array([0.5, 0.5]))


def test_two_projected_gradients_are_orthogonal_to_the_other_in_every_matrix():
    rng = np.random.default_rng(0)
    grams = []
    for _ in range(20):
        first = rng.standard_normal(6)
        grams.append(np.stack([first, -0.5 * first + rng.standard_normal(6)]))
    stacked = torch.tensor(np.stack([part @ part.T for part in grams]))
    rows = project_conflicting(stacked, torch.Generator().manual_seed(0)) @ stacked
    opposed = stacked[:, 0, 1] < 0
    assert opposed.any()
    assert rows[opposed][:, 0, 1].numpy() == pytest.approx(0, abs=1e-12)
    assert rows[opposed][:, 1, 0].numpy() == pytest.approx(0, abs=1e-12)


def test_of_one_matrix_it_is_pcgrad():
    part = np.random.default_rng(1).standard_normal((5, 9)) * 10.0 ** np.arange(-2, 3)[:, None]
    gram = torch.tensor(part @ part.T)
    whole = TaskGradients(tuple("abcde"), gram, torch.ones(5), torch.Generator().manual_seed(3))
    assert made([part], seed=3)[0].tolist() == pytest.approx(PCGrad().weights(whole).tolist())


def test_a_matrix_without_gradients_and_a_task_without_one_weigh_nothing():
    part = np.array([[1.0, 0.0], [0.0, 0.0], [-3.0, 1.0]])
    weights = made([np.zeros((3, 2)), part]).numpy()
    assert weights[0].tolist() == [0.0, 0.0, 0.0]
    assert weights[1, 1] == 0
    assert weights[1] @ part == pytest.approx(np.array([0.05, 0.65]))


def test_a_gradient_that_is_not_finite_names_its_task():
    with pytest.raises(FloatingPointError, match="for: t1"):
        made([np.eye(2), np.array([[1.0, 1.0], [np.nan, 1.0]])])


def test_in_a_fit_every_matrix_of_a_and_b_is_one(make_trainer, shake):
    trainer = shake(make_trainer(Lora, OrthoLoRA()))
    groups = trainer.encode([("task1", (0, 1)), ("task3", (4, 5)), ("task5", (2, 3))])
    collected, _ = trainer.task_losses.task_gradients(trainer.task_losses.parts(groups))
    assert set(collected.grams(tensor_of)) == set(trainer.named)
    trainer.updater.backward(groups)
    name, rows = next((n, r) for n, r in collected.pieces() if "lora_B" in n)
    gram = (rows.double() @ rows.double().T)[None]
    found = trainer.named[name].grad.flatten().double()
    # Three tasks have two orders each; the update is the mean of projections in one of them.
    tries = [project_conflicting(gram, torch.Generator().manual_seed(seed))[0].mean(0) for seed in range(200)]
    assert any(torch.allclose(weights @ rows.double(), found, rtol=1e-4, atol=1e-7) for weights in tries)
