"""Methods that change what is learned of an answer, not the adapter: identities with LoRA, and their formulas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import pytest
import torch

from snibench.base.errors import UsageError
from snibench.base.settings import validated
from snibench.base.types import Example, Instance, TaskCard
from snibench.engine.losses import target_log_likelihoods, target_logits
from snibench.methods.lora import Lora
from snibench.methods.orpo import Orpo, OrpoSettings, log_odds
from snibench.methods.reptile import Reptile, ReptileSettings, inner_parts
from snibench.methods.sam import Sam, SamSettings
from snibench.testing import check_method

DRAWN = [("task1", (0, 1, 2, 3)), ("task3", (4, 5, 6, 7))]


def losses(trainer, tmp_path) -> list[float]:
    trainer.run(tmp_path / f"{id(trainer)}.safetensors")
    return [row["loss"] for row in trainer.progress.trace]


def flat(trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.named.values()])


def task_gradients(trainer, groups) -> torch.Tensor:
    """``[K, P]`` plain gradients, one backward for each task."""
    rows = []
    for group in groups:
        trainer.task_losses.clear()
        trainer.method.losses(trainer.model, trainer.task_losses.batch([group]))[0].backward()
        rows.append(torch.cat([p.grad.flatten() for p in trainer.named.values()]))
    trainer.task_losses.clear()
    return torch.stack(rows)


def pseudo(trainer, groups) -> torch.Tensor:
    rows = trainer.method.gradients(trainer.model, trainer.task_losses.batch(groups))
    return torch.cat([rows[name].flatten(1) for name in trainer.named], dim=1)


@pytest.mark.parametrize("kind", [Orpo, Reptile, Sam])
def test_it_keeps_the_contract(kind) -> None:
    check_method(kind)


@pytest.mark.parametrize(
    ("kind", "settings"), [(Orpo, {"weight": 0.0}), (Reptile, {"inner": 1}), (Sam, {"rho": 0.0}), (Orpo, {})]
)
def test_without_strength_or_wrong_answers_it_is_lora(kind, settings, make_trainer, tmp_path) -> None:
    found = losses(make_trainer(kind, **settings), tmp_path)  # the tasks have neither labels nor negative examples
    assert found == pytest.approx(losses(make_trainer(Lora), tmp_path), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (OrpoSettings(weight=-1.0), "weight must be at least 0"),
        (ReptileSettings(inner=0), "inner must be at least 1"),
        (ReptileSettings(inner_rate=0.0), "inner_rate must be above 0"),
        (SamSettings(rho=-0.1), "rho must be at least 0"),
    ],
)
def test_settings_without_meaning_are_refused_where_the_run_is_planned(settings, message) -> None:
    with pytest.raises(UsageError, match=message):
        validated(settings)


@dataclass(frozen=True)
class OnlyLoras:
    r: int = 4
    alpha: int = 8
    dropout: float = 0.0


class Older(Lora):
    Settings = OnlyLoras


def test_a_method_s_own_settings_need_not_have_every_field_of_lora_s(make_trainer) -> None:
    assert all(min(one.shape) == 4 for one in make_trainer(Older).named.values())


# --------------------------------------------------------------------------------------------- sam


def test_sam_s_row_is_the_gradient_at_the_task_s_own_worst_point(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Sam, rho=0.5))
    groups = trainer.encode(DRAWN)
    found, plain, start = pseudo(trainer, groups), task_gradients(trainer, groups), flat(trainer).clone()
    for task, group in enumerate(groups):
        torch.nn.utils.vector_to_parameters(start + 0.5 * plain[task] / plain[task].norm(), trainer.named.values())
        expected = task_gradients(trainer, [group])[0]
        torch.testing.assert_close(found[task], expected, rtol=1e-3, atol=1e-5)
        assert not torch.allclose(found[task], plain[task], rtol=1e-2)
        torch.nn.utils.vector_to_parameters(start, trainer.named.values())


# ----------------------------------------------------------------------------------------- reptile


def test_reptile_s_row_leads_to_where_gradient_descent_ends(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Reptile, inner=2, inner_rate=0.1))
    groups = trainer.encode(DRAWN)
    found, start = pseudo(trainer, groups), flat(trainer).clone()
    for task, (name, instances) in enumerate(groups):
        torch.nn.utils.vector_to_parameters(start.clone(), trainer.named.values())
        for part in (instances[:2], instances[2:]):
            gradient = task_gradients(trainer, [(name, part)])[0]
            torch.nn.utils.vector_to_parameters(flat(trainer) - 0.1 * gradient, trainer.named.values())
        torch.testing.assert_close(found[task], (start - flat(trainer)) / (2 * 0.1), rtol=1e-3, atol=1e-5)


def test_small_inner_steps_add_up_to_the_gradient(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Reptile, inner=4, inner_rate=1e-7))
    groups = trainer.encode(DRAWN)
    torch.testing.assert_close(pseudo(trainer, groups), task_gradients(trainer, groups), rtol=1e-3, atol=1e-5)


def test_instances_are_dealt_to_inner_steps_in_equal_parts_or_in_turns() -> None:
    assert inner_parts(4, 1) == [[0, 1, 2, 3]]
    assert inner_parts(4, 2) == [[0, 1], [2, 3]]
    assert inner_parts(2, 3) == [[0], [1], [0]]


# -------------------------------------------------------------------------------------------- orpo


def card(labels=None, negative=()) -> TaskCard:
    return TaskCard("t", "Say yes or no.", (), negative, "C", (), (), labels, "exact_match")


def test_a_wrong_answer_is_another_label_else_a_negative_example_s_output() -> None:
    instance = Instance("t-1", "in", ("yes", "Yes"))
    labels = card(("Yes", "maybe", "no", "yes"))
    drawn = {tuple(Orpo().targets(labels, instance, Random(seed))) for seed in range(20)}
    assert drawn == {("yes", "no"), ("yes", "maybe")}
    negative = card(negative=(Example("a", "perhaps"), Example("b", "yes"), Example("c", " ")))
    assert list(Orpo().targets(negative, instance, Random(0))) == ["yes", "perhaps"]
    assert list(Orpo().targets(card(), instance, Random(0))) == ["yes"]


def test_log_odds_are_those_of_the_probability_and_finite_at_one() -> None:
    p = torch.tensor([0.2, 0.5, 0.9])
    torch.testing.assert_close(log_odds(p.log()), torch.log(p / (1 - p)))
    assert log_odds(torch.zeros(1)).isfinite().all()


@pytest.fixture
def with_labels(tasks, make_trainer):
    """A trainer of ORPO on tasks of which only the first two have labels."""
    labels = ("blue", "cat", "dog", "green", "house", "red", "seven", "tree")
    for name in ("task1", "task2"):
        tasks[name] = replace(tasks[name], card=replace(tasks[name].card, labels=labels))
    yield make_trainer(Orpo, weight=0.5)
    for name in ("task1", "task2"):
        tasks[name] = replace(tasks[name], card=replace(tasks[name].card, labels=None))


def test_the_loss_is_the_formula_answer_by_answer(with_labels, shake) -> None:
    trainer = shake(with_labels)
    groups = trainer.encode([("task1", (0, 1)), ("task3", (4, 5))])
    batch = trainer.task_losses.batch(groups)
    logits = trainer.model.get_base_model()  # one text at a time, through the model's own forward pass
    expected = []
    for _, instances in groups:
        total = 0.0
        for one in instances:
            means = []
            for answer in [one.target_ids, *one.others]:
                ids = torch.tensor([[*one.prompt_ids, *answer]])
                scores = logits(input_ids=ids).logits[0].log_softmax(-1)
                places = range(len(one.prompt_ids) - 1, ids.shape[1] - 1)
                means.append(torch.stack([scores[at, ids[0, at + 1]] for at in places]).mean())
            total = total - means[0]
            if len(means) == 2:
                odds = [mean - torch.log(1 - mean.exp()) for mean in means]
                total = total - 0.5 * torch.log(torch.sigmoid(odds[0] - odds[1]))
        expected.append(total / len(instances))
    torch.testing.assert_close(trainer.method.losses(trainer.model, batch), torch.stack(expected), rtol=1e-4, atol=1e-4)


def margin(trainer, batch) -> float:
    """How much likelier the right answers of the first two tasks are than other labels."""
    with torch.no_grad():
        scores = target_log_likelihoods(target_logits(trainer.model, batch), batch, per_token=True)
    return float((scores[:, 0] - scores[:, 1]).mean())


def test_the_right_answer_gains_more_on_the_wrong_one_than_by_likelihood_alone(with_labels) -> None:
    batch = with_labels.task_losses.batch(
        with_labels.encode([("task1", tuple(range(12))), ("task2", tuple(range(12)))])
    )
    start = {name: parameter.detach().clone() for name, parameter in with_labels.named.items()}
    found = []
    for weight in (0.0, 2.0):
        with torch.no_grad():
            for name, parameter in with_labels.named.items():
                parameter.copy_(start[name])
        fresh = Orpo(OrpoSettings(weight=weight))
        for _ in range(12):  # plain gradient descent on the same batch
            fresh.losses(with_labels.model, batch).mean().backward()
            with torch.no_grad():
                for parameter in with_labels.named.values():
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None
        found.append(margin(with_labels, batch))
    assert found[1] > found[0] + 0.01
