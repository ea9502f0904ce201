"""What hooks do to a step: groups, samplers, targets, further losses, pseudo-gradients, updates by coordinate."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from small_models import whole_and_resumed

from snibench.base.errors import PluginError, UsageError
from snibench.base.types import Mixture, Recipe
from snibench.contracts import Group, Losses, Needs, Rule, Sampler
from snibench.engine.gradients import GradientCollector
from snibench.engine.losses import target_log_likelihoods, target_logits, target_nll
from snibench.engine.sampling import Draws, plan_steps
from snibench.methods.base import BaseMethod
from snibench.methods.full import Full
from snibench.methods.lora import Lora
from snibench.methods.mtl_lora import MtlLora
from snibench.rules.mean import Mean
from snibench.rules.pcgrad import PCGrad
from snibench.samplers.deck import Deck
from snibench.samplers.proportional import Proportional

RECIPE = Recipe(steps=3, tasks_per_step=4, instances_per_task=4, learning_rate=1e-3, max_input=512, max_output=8)
DRAWN = [("task1", (0, 1)), ("task3", (4, 5)), ("task4", (2, 7))]


def gradients_of(trainer) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in trainer.named.items() if p.grad is not None}


# ------------------------------------------------------------------------------------- groups


class LoraPlus(Lora):
    """B learns four times as fast; A is decayed."""

    def groups(self, named):
        return {
            name: Group(scale=4.0) if "lora_B" in name else Group(decay=0.1) for name in named if "embed" not in name
        }


def test_a_group_scales_the_learning_rate_of_every_step(make_trainer, tmp_path) -> None:
    plain, scaled = make_trainer(Lora, recipe=RECIPE), make_trainer(LoraPlus, recipe=RECIPE)
    start = {name: p.detach().clone() for name, p in plain.named.items()}
    for trainer in (plain, scaled):
        trainer.step(DRAWN)
    for name, before in start.items():
        moved, more = (trainer.named[name] - before for trainer in (plain, scaled))
        if "lora_B" in name:  # Adam's first step has one length whatever the gradient
            torch.testing.assert_close(more, 4 * moved, rtol=1e-4, atol=1e-7)
        else:  # A's gradient is zero at the start: only the decay moves it
            rate = plain.progress.trace[0]["learning_rate"]
            torch.testing.assert_close(more, moved - rate * 0.1 * before, rtol=1e-4, atol=1e-7)


def test_groups_survive_a_checkpoint(make_trainer, tmp_path) -> None:
    whole, resumed = whole_and_resumed(lambda: make_trainer(LoraPlus), tmp_path)
    assert resumed.progress.trace == whole.progress.trace


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"lora_X": Group()}, "'lora_X', which is no trainable parameter"),
        ({"*": Group(scale=-1.0)}, "numbers from 0 on"),
        ({"*": Group(scale=float("nan"))}, "numbers from 0 on"),
        ({"*": 2.0}, "must give a Group"),
    ],
)
def test_groups_that_mean_nothing_are_refused(groups, message, make_trainer) -> None:
    class Broken(Lora):
        def groups(self, named):
            return {next(iter(named)) if name == "*" else name: group for name, group in groups.items()}

    with pytest.raises(PluginError, match=message):
        make_trainer(Broken)


# ----------------------------------------------------------------------------------- samplers


class LeastLearned(Sampler):
    """The tasks whose losses were highest when they were last seen; needs the losses of every step."""

    def __init__(self, settings=None) -> None:
        super().__init__(settings)
        self.losses: dict[str, float] = {}

    def draw(self, step):
        names = list(step.sizes)
        order = step.rng.permutation(len(names))
        worst = sorted((names[index] for index in order), key=lambda name: -self.losses.get(name, 1e9))
        return worst[: step.count]

    def observe(self, tasks, losses, gram) -> None:
        self.losses |= dict(zip(tasks, losses.tolist(), strict=True))

    def state(self):
        return {"losses": self.losses}

    def restore(self, state) -> None:
        self.losses = dict(state["losses"])


class Curriculum(Lora):
    def sampler(self):
        return LeastLearned()


def test_a_sampler_that_looks_at_losses_goes_on_bit_equal_after_a_checkpoint(make_trainer, tmp_path) -> None:
    recipe = replace(RECIPE, steps=6, tasks_per_step=2)
    whole, resumed = whole_and_resumed(lambda: make_trainer(Curriculum, recipe=recipe), tmp_path)
    assert whole.draws.sampler.losses == resumed.draws.sampler.losses
    assert any(note.startswith("own order: LeastLearned") for note in whole.progress.notes)


def test_a_sampler_gets_the_gram_matrix_that_it_needs(make_trainer, tmp_path) -> None:
    seen = []

    class Norms(Deck):
        needs = Needs.GRAM

        def observe(self, tasks, losses, gram) -> None:
            seen.append((tasks, losses, gram))

    class Watched(Lora):
        def sampler(self):
            return Norms()

    trainer = make_trainer(Watched, recipe=RECIPE)
    trainer.run(tmp_path / "c")
    plain = make_trainer(Lora, recipe=RECIPE)
    plain.run(tmp_path / "d")
    tasks, losses, gram = seen[0]
    assert losses.shape == (len(tasks),)
    assert gram.shape == (len(tasks), len(tasks))
    assert bool((gram.diagonal() > 0).all())
    for a, b in zip(trainer.named.values(), plain.named.values(), strict=True):  # and the update is the mean's
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tasks", [[], ["task1", "task1"], ["nothing"], [f"task{i}" for i in range(5)]])
def test_a_sampler_that_breaks_its_promise_is_named(tasks) -> None:
    class Broken(Sampler):
        def draw(self, step):
            return tasks

    sizes = {f"task{i}": 5 for i in range(6)}
    with pytest.raises(PluginError, match=r"Broken\.draw"):
        plan_steps(Mixture(tuple(sizes)), sizes, RECIPE, 0, Broken())


def test_an_order_of_ones_own_is_refused_where_a_protocol_weighs_tasks() -> None:
    sizes = {"a": 5, "b": 5}
    with pytest.raises(UsageError, match="an order of its own"):
        Draws(Mixture(("a", "b"), (1.0, 2.0)), sizes, RECIPE, 0, Proportional())


def test_the_state_of_the_draws_is_json_and_enough() -> None:
    sizes = {f"task{i}": 7 for i in range(5)}
    whole = Draws(Mixture(tuple(sizes)), sizes, RECIPE, 1, Deck())
    start = [whole.draw(step) for step in range(4)]
    resumed = Draws(Mixture(tuple(sizes)), sizes, RECIPE, 1, Deck())
    resumed.restore(json.loads(json.dumps(whole.state())))
    assert [whole.draw(step) for step in range(4, 9)] == [resumed.draw(step) for step in range(4, 9)]
    assert start == plan_steps(Mixture(tuple(sizes)), sizes, replace(RECIPE, steps=4), 1)


# ------------------------------------------------------------------------------------ targets


class Contrastive(Lora):
    """The reference must be likelier than two wrong answers."""

    def targets(self, card, instance, rng):
        wrong = [word for word in ("red", "blue", "cat dog house", "tree") if word not in instance.outputs]
        return [*instance.outputs[:1], *rng.sample(wrong, 2)]

    def losses(self, model, batch):
        scores = target_log_likelihoods(target_logits(model, batch), batch, per_token=True)  # [K * m, 3]
        return -scores.log_softmax(1)[:, 0].view(len(batch.tasks), -1).mean(1)


class Apart(Contrastive):
    shares_prefixes = False


@pytest.mark.parametrize("folder", ["llama_folder", "t5_folder"])
def test_likelihoods_of_targets_are_those_of_each_alone(folder, make_trainer, shake, request) -> None:
    trainer = shake(make_trainer(Contrastive, folder=request.getfixturevalue(folder)))
    groups = trainer.encode(DRAWN)
    batch = trainer.task_losses.batch(groups)
    found = target_log_likelihoods(target_logits(trainer.model, batch), batch)
    assert found.shape == (6, 3)
    for row, instance in enumerate(one for _, own in groups for one in own):
        for choice, ids in enumerate((instance.target_ids, *instance.others)):
            alone = trainer.task_losses.batch([("task", [replace(instance, target_ids=ids, others=())])])
            nll = target_nll(target_logits(trainer.model, alone), alone) * len(ids)
            torch.testing.assert_close(found[row, choice], -nll[0], rtol=1e-4, atol=1e-4)


def test_only_the_first_target_is_learned_by_default(make_trainer, shake) -> None:
    class Listed(Contrastive):
        losses = BaseMethod.losses

    plain, listed = shake(make_trainer(Lora)), shake(make_trainer(Listed))
    losses = [one.task_losses.of(one.encode(DRAWN)) for one in (plain, listed)]
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [Contrastive, Apart])
@pytest.mark.parametrize("backend", ["hooks", None])
def test_task_gradients_with_several_targets_are_autograds(kind, backend, make_trainer, shake) -> None:
    trainer = shake(make_trainer(kind))
    trainer.task_losses.collector = GradientCollector(
        trainer.model, trainer.task_losses.collector.named, backend=backend
    )
    groups = trainer.encode(DRAWN)
    found = trainer.task_losses.task_gradients(groups)[0].matrix().clone()
    batch = trainer.task_losses.batch(groups)
    for row, loss in zip(found, trainer.method.losses(trainer.model, batch), strict=True):
        expected = torch.autograd.grad(loss, list(trainer.named.values()), retain_graph=True)
        torch.testing.assert_close(row, torch.cat([one.flatten() for one in expected]), rtol=1e-3, atol=1e-5)


class Uneven(Apart):
    """Some instances have two targets, some have three, and every target a row of its own."""

    def targets(self, card, instance, rng):
        return super().targets(card, instance, rng)[: 2 + int(card.name == "task3")]

    def losses(self, model, batch):
        scores = target_log_likelihoods(target_logits(model, batch), batch)
        return -scores.tanh().sum(1).view(len(batch.tasks), -1).mean(1)


def test_tasks_with_unequally_many_rows_are_told_apart(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Uneven))
    groups = trainer.encode(DRAWN)
    batch = trainer.task_losses.batch(groups)
    assert torch.bincount(batch.row_task).tolist() == [4, 6, 4]
    trainer.task_losses.collector.backend = "hooks"
    found = trainer.task_losses.task_gradients(groups)[0].matrix().clone()
    assert trainer.task_losses.collector.backend == "hooks"
    order = [batch.tasks.index(task) for task, _ in groups]
    losses = trainer.method.losses(trainer.model, batch)
    for row, loss in zip(found, losses[order], strict=True):
        expected = torch.autograd.grad(loss, list(trainer.named.values()), retain_graph=True)
        torch.testing.assert_close(row, torch.cat([one.flatten() for one in expected]), rtol=1e-3, atol=1e-5)


def test_a_method_without_targets_is_refused(make_trainer) -> None:
    class Nothing(Lora):
        def targets(self, card, instance, rng):
            return []

    with pytest.raises(PluginError, match=r"Nothing\.targets must give at least one text"):
        make_trainer(Nothing).encode(DRAWN)


def test_part_of_a_batch_is_the_batch_of_the_part(make_trainer, shake) -> None:
    trainer = shake(make_trainer(Lora))
    groups = trainer.encode(DRAWN)
    whole = trainer.task_losses.batch(groups)
    part = whole.select([2, 0], instances=[1])
    expected = trainer.task_losses.batch([(groups[i][0], [groups[i][1][1]]) for i in (2, 0)])
    assert part.tasks == ("task4", "task1")
    assert torch.equal(part.input_ids, expected.input_ids)
    torch.testing.assert_close(
        trainer.method.losses(trainer.model, part), trainer.method.losses(trainer.model, expected)
    )


# ------------------------------------------------------------------------------ further losses


class Balanced(Lora):
    """A loss beside the tasks' that only the parameters of one layer have a part in."""

    def losses(self, model, batch):
        nll = super().losses(model, batch)
        weights = next(p for name, p in model.named_parameters() if "lora_B" in name)
        return Losses(nll, auxiliary=3.0 * (weights - 1).square().sum())


class BalancedByTask(MtlLora):
    """The same on a parameter that belongs to single tasks."""

    def losses(self, model, batch):
        nll = super().losses(model, batch)
        weights = self.task_parameters(model)[0]
        return Losses(nll, auxiliary=3.0 * (weights - 1).square().sum())


@pytest.mark.parametrize(("kind", "base"), [(Balanced, Lora), (BalancedByTask, MtlLora)])
@pytest.mark.parametrize("rule", [Mean, PCGrad])
@pytest.mark.parametrize("limits", [{}, {"rows": 1}, {"rows": 1, "cuts": 2}], ids=["whole", "one task", "half a task"])
@pytest.mark.parametrize("backend", [None, "loop"])
def test_an_auxiliary_loss_is_added_once_outside_the_rule(
    kind, base, rule, limits, backend, make_trainer, shake
) -> None:
    drawn = [(task, (*indices, *(index + 10 for index in indices))) for task, indices in DRAWN]
    found = []
    for make in (base, kind):
        trainer = shake(make_trainer(make, rule=rule()))
        trainer.task_losses.collector.backend = backend
        for name, value in limits.items():
            setattr(trainer.task_losses, name, value)
        losses, _ = trainer.updater.backward(trainer.encode(drawn))
        found.append((losses, gradients_of(trainer)))
        last = trainer
    (plain_losses, plain), (losses, with_it) = found
    torch.testing.assert_close(losses, plain_losses, rtol=1e-5, atol=1e-5)
    named = last.named
    target = (
        next(name for name in named if "lora_B" in name)
        if kind is Balanced
        else next(n for n, p in named.items() if p is last.method.task_parameters(last.model)[0])
    )
    for name, gradient in with_it.items():
        extra = 6.0 * (named[name].detach() - 1) if name == target else 0.0
        torch.testing.assert_close(gradient, plain[name] + extra, rtol=1e-4, atol=1e-4)


class Sharp(Lora):
    """Keeps logits small: a mean over tasks of something that the forward pass gives, as a router's balance is."""

    def losses(self, model, batch):
        logits = target_logits(model, batch)
        sizes = logits.square().mean(1) * batch.target_weight
        return Losses(target_nll(logits, batch), auxiliary=sizes.sum() / len(batch.tasks))


@pytest.mark.parametrize("rows", [None, 2, 1])
def test_hooks_collect_an_auxiliary_loss_of_the_forward_pass(rows, make_trainer, shake) -> None:
    plain, sharp = (shake(make_trainer(kind, rule=PCGrad())) for kind in (Lora, Sharp))
    for trainer in (plain, sharp):
        trainer.task_losses.rows = rows
        trainer.updater.backward(trainer.encode(DRAWN))
        assert trainer.task_losses.collector.backend == "hooks"
    batch = sharp.task_losses.batch(sharp.encode(DRAWN))
    before = gradients_of(sharp)
    extra = torch.autograd.grad(sharp.task_losses.losses_of(batch).auxiliary, list(sharp.named.values()))
    for (name, gradient), more in zip(gradients_of(plain).items(), extra, strict=True):
        torch.testing.assert_close(before[name], gradient + more, rtol=1e-3, atol=1e-4)


def test_an_auxiliary_loss_is_no_part_of_the_gradient_conflict_nor_of_task_losses(make_trainer, shake) -> None:
    plain, balanced = shake(make_trainer(Lora)), shake(make_trainer(Balanced))
    grams = [one.task_losses.task_gradients(one.encode(DRAWN))[0].gram() for one in (plain, balanced)]
    torch.testing.assert_close(grams[1], grams[0])
    losses = [one.task_losses.of(one.encode(DRAWN)) for one in (plain, balanced)]
    torch.testing.assert_close(losses[1], losses[0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda nll: nll.mean(), r"shape \(3,\), but returned shape \(\)"),
        (lambda nll: torch.cat([nll, nll[:1]]), r"shape \(3,\), but returned shape \(4,\)"),
        (lambda nll: nll.tolist(), "but returned a list"),
        (lambda nll: Losses(nll, auxiliary=nll), "must give a scalar as auxiliary loss"),
    ],
)
def test_losses_of_the_wrong_shape_are_refused_at_the_first_batch(value, message, make_trainer) -> None:
    class Broken(Lora):
        def losses(self, model, batch):
            return value(super().losses(model, batch))

    trainer = make_trainer(Broken)
    with pytest.raises(PluginError, match=message):
        trainer.updater.backward(trainer.encode(DRAWN))


def test_anchors_are_asked_for_only_where_a_rule_looks_at_them(make_trainer) -> None:
    asked = []

    class Anchored(Lora):
        def losses(self, model, batch):
            nll = super().losses(model, batch)

            def anchors():
                asked.append(len(batch.tasks))
                return nll.mean()[None]

            return Losses(nll, anchors=anchors)

    class Looks(Rule):
        needs = Needs.GRAM | Needs.ANCHORS

        def weights(self, gradients):
            assert gradients.gram.shape == (4, 4)
            assert gradients.anchors == 1
            return torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)

    for rule in (Mean(), PCGrad()):
        trainer = make_trainer(Anchored, rule=rule)
        trainer.updater.backward(trainer.encode(DRAWN))
    assert asked == []
    trainer = make_trainer(Anchored, rule=Looks())
    trainer.updater.backward(trainer.encode(DRAWN))
    assert asked
    mean = make_trainer(Lora, rule=Mean())
    mean.updater.backward(mean.encode(DRAWN))
    for name, gradient in gradients_of(mean).items():  # the anchor is the mean loss, so its gradient is the mean's
        torch.testing.assert_close(gradients_of(trainer)[name], gradient, rtol=1e-4, atol=1e-6)


# ----------------------------------------------------------------------------- pseudo-gradients


class Reptile(Lora):
    """Two steps of gradient descent on every task, from where they all stand; the way gone is the gradient."""

    rate, steps = 0.05, 2

    def gradients(self, model, batch):
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        start = {name: p.detach().clone() for name, p in named.items()}
        rows = {name: [] for name in named}
        for task in range(len(batch.tasks)):
            part = batch.select([task])
            for _ in range(self.steps):
                gradients = torch.autograd.grad(self.losses(model, part)[0], list(named.values()))
                with torch.no_grad():
                    for parameter, gradient in zip(named.values(), gradients, strict=True):
                        parameter -= self.rate * gradient
            with torch.no_grad():
                for name, parameter in named.items():
                    rows[name].append((start[name] - parameter) / self.rate)
                    parameter.copy_(start[name])
        return {name: torch.stack(own) for name, own in rows.items()}


class OneStep(Reptile):
    steps = 1


@pytest.mark.parametrize("rule", [Mean, PCGrad])
@pytest.mark.parametrize("rows", [None, 1])
def test_one_inner_step_of_reptile_is_the_gradient(rule, rows, make_trainer, shake) -> None:
    plain, meta = (shake(make_trainer(kind, rule=rule())) for kind in (Lora, OneStep))
    plain.updater.backward(plain.encode(DRAWN))
    meta.task_losses.rows = rows
    losses, gram = meta.updater.backward(meta.encode(DRAWN))
    assert gram.shape == (3, 3)
    torch.testing.assert_close(losses, plain.task_losses.of(plain.encode(DRAWN)))
    for name, gradient in gradients_of(plain).items():
        torch.testing.assert_close(gradients_of(meta)[name], gradient, rtol=1e-3, atol=1e-4)


def test_reptile_learns_and_the_record_says_that_its_gradients_are_its_own(make_trainer, tmp_path) -> None:
    trainer = make_trainer(Reptile, recipe=replace(RECIPE, steps=8, learning_rate=5e-3))
    trainer.run(tmp_path / "c")
    assert trainer.progress.trace[-1]["loss"] < trainer.progress.trace[0]["loss"]
    assert any(note.startswith("pseudo-gradients: the method's own") for note in trainer.progress.notes)
    assert not any(note.startswith("pseudo") for note in make_trainer(Lora, recipe=RECIPE).run(tmp_path / "d").notes)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda given: {"lora_X": torch.zeros(3)}, "'lora_X', which is no trainable parameter"),
        (lambda given: {name: rows[0] for name, rows in given.items()}, "a row for each task"),
    ],
)
def test_pseudo_gradients_of_the_wrong_form_are_refused(value, message, make_trainer) -> None:
    class Broken(OneStep):
        def gradients(self, model, batch):
            return value(super().gradients(model, batch))

    trainer = make_trainer(Broken)
    with pytest.raises(PluginError, match=message):
        trainer.updater.backward(trainer.encode(DRAWN))


def test_pseudo_gradients_of_task_parameters_are_averaged_as_autograds_are(make_trainer, shake) -> None:
    class Meta(MtlLora):
        rate, steps, gradients = 1.0, 1, Reptile.gradients

    plain, meta = shake(make_trainer(MtlLora, rule=PCGrad())), shake(make_trainer(Meta, rule=PCGrad()))
    for trainer in (plain, meta):
        trainer.updater.backward(trainer.encode(DRAWN))
    for name, gradient in gradients_of(plain).items():
        torch.testing.assert_close(gradients_of(meta)[name], gradient, rtol=1e-2, atol=1e-4)


# ------------------------------------------------------------------------ updates by coordinate


class SignAgreement(Rule):
    """The mean where all tasks' gradients have one sign, nothing elsewhere."""

    needs = Needs.ROWS

    def combine(self, gradients):
        return {name: rows.mean(0) * (rows.sign().sum(0).abs() == len(rows)) for name, rows in gradients.rows()}


@pytest.mark.parametrize(
    ("kind", "limits"),
    [
        (Lora, {}),
        (Full, {}),
        (Balanced, {}),
        (Lora, {"rows": 1, "cuts": 2}),
        (Balanced, {"rows": 1, "cuts": 2}),
        (Full, {"budget": 0}),
    ],
)
def test_a_rule_by_coordinates_makes_the_update_itself(kind, limits, make_trainer, shake) -> None:
    trainer = shake(make_trainer(kind, rule=SignAgreement()))
    if "budget" in limits:
        trainer.task_losses.collector = GradientCollector(
            trainer.model, trainer.task_losses.collector.named, backend="hooks", budget=0
        )
    else:
        for name, value in limits.items():
            setattr(trainer.task_losses, name, value)
    groups = trainer.encode(DRAWN)
    trainer.updater.backward(groups)
    batch = trainer.task_losses.batch(groups)
    losses = trainer.task_losses.losses_of(batch)
    rows = [
        torch.autograd.grad(loss, list(trainer.named.values()), retain_graph=True, allow_unused=True)
        for loss in losses.tasks
    ]
    agreed = total = 0
    for index, (name, parameter) in enumerate(trainer.named.items()):
        each = torch.stack([row[index] for row in rows])
        agree = each.sign().sum(0).abs() == 3
        expected = each.mean(0) * agree
        if kind is Balanced and name == next(n for n in trainer.named if "lora_B" in n):
            expected = expected + 6.0 * (parameter.detach() - 1)
        clear = each.abs().min(0).values > 1e-6  # a sign that rounding decides proves nothing
        torch.testing.assert_close(parameter.grad[clear], expected[clear], rtol=1e-3, atol=1e-5)
        agreed, total = agreed + int(agree.sum()), total + agree.numel()
    assert 0 < agreed < total
