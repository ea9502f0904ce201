"""What holds for every rule, or for all but a few that say so: METHODS, identities."""

import json
from dataclasses import is_dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snibench.base.errors import UsageError
from snibench.base.registry import RULES
from snibench.base.settings import make_settings
from snibench.contracts import Needs, Rule

NAMES = [
    "aligned-mtl", "cagrad", "coba", "conicgrad", "coordinated", "db-mtl", "dualproj", "dwa", "fairgrad", "famo",
    "geometric-mean",
    "gradnorm", "gradvac", "imtl-g", "mean", "mgda", "nash-mtl", "pcgrad", "rlw", "sam-gs", "sum", "uncertainty",
    "upgrad",
]  # fmt: skip
GRAM = [name for name in NAMES if Needs.GRAM in RULES.get(name).needs]
LOSS = [name for name in NAMES if Needs.LOSSES in RULES.get(name).needs]
LOSS_ONLY = [name for name in LOSS if name not in GRAM]
RANDOM = ["coordinated", "gradvac", "pcgrad", "rlw"]
OF_THE_GRAM_ALONE = [name for name in GRAM if name not in LOSS]


def rule(name: str, **settings: float) -> Rule:
    kind = RULES.get(name)
    return kind(kind.Settings(**settings))


@st.composite
def some_gradients(draw, least=2, most=6):
    """``[T, P]`` with conflict, unequal norms, and sometimes fewer dimensions than tasks."""
    count, size = draw(st.integers(least, most)), draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gradients = rng.standard_normal((count, size))
    gradients = gradients - draw(st.floats(0, 1.2)) * gradients.mean(axis=0)
    return gradients * 10 ** rng.uniform(-1, 1, (count, 1))


def test_the_registry_holds_them_all():
    assert set(NAMES) <= set(RULES.names())


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_a_frozen_dataclass_with_defaults(name):
    kind = RULES.get(name).Settings
    assert is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    kind()


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_one_finite_float64_per_task(name, step):
    weights = rule(name).weights(step(np.random.default_rng(0).standard_normal((8, 20)), losses=np.arange(1.0, 9)))
    assert weights.dtype == torch.float64
    assert weights.shape == (8,)
    assert weights.isfinite().all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("cagrad", "nash-mtl", "fairgrad", "db-mtl")])
def test_a_single_task_weighs_one(name, step):
    assert rule(name).weights(step([[3.0, 4.0]], losses=[0.7])).tolist() == pytest.approx([1.0])


def test_a_single_task_where_the_formula_says_otherwise(step):
    alone = step([[3.0, 4.0]], losses=[0.5])
    assert rule("cagrad", c=0.4).weights(alone).item() == pytest.approx(1.4)
    assert rule("nash-mtl").weights(alone).item() == pytest.approx(1 / 5)
    assert rule("fairgrad", alpha=2).weights(alone).item() == pytest.approx(25 ** (-2 / 3))
    assert rule("db-mtl").weights(alone).item() == pytest.approx(1 / 0.5)  # the log-loss's gradient


@pytest.mark.parametrize("name", NAMES)
def test_anchors_weigh_nothing_and_change_nothing(name, step):
    gradients = np.random.default_rng(1).standard_normal((5, 7))
    tasks, losses = ["a", "b", "c"], [1.0, 2.0, 3.0]
    with_anchors = rule(name).weights(step(gradients, tasks=tasks, losses=losses))
    assert with_anchors[3:].tolist() == [0.0, 0.0]
    without = rule(name).weights(step(gradients[:3], tasks=tasks, losses=losses))
    assert with_anchors[:3].tolist() == pytest.approx(without.tolist())


@pytest.mark.parametrize("name", GRAM)
def test_a_zero_gradient_weighs_nothing_and_is_left_out(name, step):
    gradients = np.array([[1.0, 0, 0.2], [0, 0, 0], [-0.5, 2, 0]])
    weights = rule(name).weights(step(gradients, tasks="abc", losses=[1.0, 2.0, 3.0]))
    assert weights[1] == 0
    left = rule(name).weights(step(gradients[[0, 2]], tasks="ac", losses=[1.0, 3.0]))
    assert weights[[0, 2]].tolist() == pytest.approx(left.tolist())


@pytest.mark.parametrize("name", GRAM)
def test_nothing_but_zero_gradients_weigh_nothing(name, step):
    assert rule(name).weights(step(np.zeros((3, 4)))).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", GRAM)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_raises_and_names_its_task(name, bad, step):
    with pytest.raises(FloatingPointError, match=r"gradient is not finite \(NaN or infinite\) for: broken\."):
        rule(name).weights(step([[1.0, bad], [1.0, 2.0]], tasks=["broken", "fine"]))


@pytest.mark.parametrize("name", LOSS)
def test_a_loss_that_is_not_finite_raises_and_names_its_task(name, step):
    with pytest.raises(FloatingPointError, match=r"loss is not finite \(NaN or infinite\) for: broken\."):
        rule(name).weights(step([[1.0, 1.0], [1.0, 2.0]], tasks=["broken", "fine"], losses=[np.nan, 1.0]))


@pytest.mark.parametrize("name", LOSS)
def test_a_loss_of_zero_is_no_division_by_zero(name, step):
    assert rule(name).weights(step([[1.0, 1.0], [1.0, 2.0]], losses=[0.0, 1.0])).isfinite().all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in RANDOM])
@settings(max_examples=25, deadline=None)
@given(gradients=some_gradients(), data=st.data())
def test_permuting_tasks_permutes_the_update(name, step, gradients, data):
    order = data.draw(st.permutations(range(len(gradients))))
    losses = np.linspace(0.5, 2, len(gradients))
    update = rule(name).weights(step(gradients, losses=losses)).numpy() @ gradients
    permuted = rule(name).weights(step(gradients[order], losses=losses[order])).numpy() @ gradients[order]
    size = np.abs(gradients).max()
    assert permuted == pytest.approx(update, rel=1e-4, abs=1e-6 * max(1, 1 / size) * size)


@pytest.mark.parametrize("name", ["gradvac", "pcgrad"])
def test_permuting_tasks_permutes_the_possible_weights(name, step):
    # Random orders: at three tasks each meets two others, so there are at most eight outcomes.
    gradients = np.array([[1.0, 0.1, 0], [-0.8, 1, 0.1], [-0.3, -1, 1]])

    def outcomes(order):
        weights = [rule(name).weights(step(gradients[order], seed=seed))[np.argsort(order)] for seed in range(200)]
        return {tuple(np.round(row.numpy(), 9)) for row in weights}

    assert len(outcomes([0, 1, 2])) > 2
    assert outcomes([2, 0, 1]) == outcomes([0, 1, 2])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("nash-mtl", "fairgrad")])
@settings(max_examples=20, deadline=None)
@given(gradients=some_gradients(), scale=st.floats(1e-4, 1e4))
def test_scaling_the_gradients_scales_the_update(name, step, gradients, scale):
    losses = np.linspace(0.5, 2, len(gradients))
    update = rule(name).weights(step(gradients, losses=losses)).numpy() @ gradients
    scaled = rule(name).weights(step(scale * gradients, losses=losses)).numpy() @ gradients
    assert scaled == pytest.approx(update, rel=1e-4, abs=1e-6 * np.abs(gradients).max())


@settings(max_examples=20, deadline=None)
@given(gradients=some_gradients(), scale=st.floats(1e-3, 1e3), alpha=st.floats(0.5, 4))
def test_scaling_the_gradients_leaves_the_bargain_and_shrinks_the_fair_weights(step, gradients, scale, alpha):
    nash = rule("nash-mtl").weights(step(gradients))
    assert (scale * rule("nash-mtl").weights(step(scale * gradients))).tolist() == pytest.approx(
        nash.tolist(), rel=0.02
    )
    fair = rule("fairgrad", alpha=alpha).weights(step(gradients))
    shrunk = rule("fairgrad", alpha=alpha).weights(step(scale * gradients))
    assert (scale ** (2 * alpha / (alpha + 1)) * shrunk).tolist() == pytest.approx(fair.tolist(), rel=0.02)


@pytest.mark.parametrize("name", OF_THE_GRAM_ALONE)
def test_opposite_equal_gradients_cancel(name, step):
    gradients = np.array([[1.0, 2.0, -0.5], [-1.0, -2.0, 0.5]])
    update = rule(name).weights(step(gradients)).numpy() @ gradients
    assert update == pytest.approx(np.zeros(3), abs=1e-8)


ORTHOGONAL = np.diag([1.0, 2.0, 5.0])


@pytest.mark.parametrize("name", ["pcgrad", "gradvac", "upgrad", "dualproj"])
def test_orthogonal_gradients_are_averaged(name, step):
    assert rule(name).weights(step(ORTHOGONAL)).tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("name", ["nash-mtl", "imtl-g", "aligned-mtl"])
def test_orthogonal_gradients_are_brought_to_one_norm(name, step):
    weights = rule(name).weights(step(ORTHOGONAL)).numpy()
    assert weights / weights[0] == pytest.approx([1, 1 / 2, 1 / 5])


def test_orthogonal_gradients_get_mgda_weights_of_inverse_square(step):
    assert rule("mgda").weights(step(ORTHOGONAL)).tolist() == pytest.approx((np.array([100, 25, 4]) / 129).tolist())


@settings(max_examples=50, deadline=None)
@given(gradients=some_gradients(most=2))
def test_two_tasks_make_pcgrad_and_upgrad_one(step, gradients):
    expected = rule("upgrad").weights(step(gradients)).tolist()
    assert rule("pcgrad").weights(step(gradients)).tolist() == pytest.approx(expected, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(gradients=some_gradients())
def test_cagrad_without_a_radius_is_the_mean(step, gradients):
    expected = rule("mean").weights(step(gradients)).tolist()
    assert rule("cagrad", c=0.0).weights(step(gradients)).tolist() == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(gradients=some_gradients())
def test_fairgrad_at_alpha_one_is_nash(step, gradients):
    expected = rule("nash-mtl").weights(step(gradients)).tolist()
    assert rule("fairgrad", alpha=1.0).weights(step(gradients)).tolist() == expected


@pytest.mark.parametrize("name", ["mgda", "upgrad", "dualproj"])
@settings(max_examples=50, deadline=None)
@given(gradients=some_gradients())
def test_the_update_opposes_no_task(name, step, gradients):
    weights = rule(name).weights(step(gradients)).numpy()
    norms = np.linalg.norm(gradients, axis=1)
    assert (gradients @ (weights @ gradients) >= -1e-12 * norms * (np.abs(weights) @ norms)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_global_generator_is_never_read(name, step):
    before = torch.get_rng_state()
    gradients = np.random.default_rng(3).standard_normal((4, 6))
    first = rule(name).weights(step(gradients))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(rule(name).weights(step(gradients)), first)


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_rule_goes_on_as_if_never_stopped(name, step):
    def visit(kept, index):
        tasks = [["a", "b", "c"], ["c", "d", "a"], ["b", "d", "c"]][index % 3]
        noise = np.random.default_rng([5, index])
        seen = step(noise.standard_normal((3, 4)), tasks=tasks, losses=noise.uniform(0.5, 2, 3), seed=index)
        weights = kept.weights(seen)
        if Needs.LOSSES_AFTER in kept.needs:
            kept.observe(tasks, seen.losses * torch.from_numpy(noise.uniform(0.7, 1.1, 3)))
        return weights.tolist()

    whole = rule(name)
    expected = [visit(whole, index) for index in range(30)]
    first, second = rule(name), rule(name)
    start = [visit(first, index) for index in range(14)]
    second.restore(json.loads(json.dumps(first.state())))
    assert start + [visit(second, index) for index in range(14, 30)] == expected


@pytest.mark.parametrize("name", NAMES)
def test_state_follows_the_task_and_not_its_row(name, step):
    def visit(kept, order):
        rows = np.array([[1.0, 0.2, 0.1], [0.3, 1.0, 0.2], [0.1, 0.3, 1.5]])[order]
        tasks, losses = [("a", "b", "c")[i] for i in order], np.array([1.0, 2.0, 3.0])[order]
        seen = step(rows, tasks=tasks, losses=losses)
        weights = kept.weights(seen)
        if Needs.LOSSES_AFTER in kept.needs:
            kept.observe(tasks, seen.losses * torch.tensor([0.9, 0.7, 0.8], dtype=torch.float64)[order])
        return dict(zip(tasks, weights.tolist(), strict=True))

    still, moved = rule(name), rule(name)
    for order in ([2, 0, 1], [1, 2, 0], [1, 0, 2], [0, 2, 1]):
        one, other = visit(still, [0, 1, 2]), visit(moved, order)
        if name not in RANDOM:
            assert other == pytest.approx(one)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("gradvac", "beta", 1.5),
        ("cagrad", "c", -0.1),
        ("fairgrad", "alpha", 0.0),
        ("coba", "warmup", 1),
        ("coba", "window", 1),
        ("coba", "tau", 0.0),
        ("conicgrad", "c", 0.0),
        ("dwa", "window", 0),
        ("dwa", "temperature", 0.0),
        ("graddrop", "leak", 1.5),
        ("sam-gs", "beta", 1.0),
        ("sam-gs", "gamma", -0.1),
    ],
)
def test_a_setting_without_meaning_is_refused_by_name(name, setting, value):
    with pytest.raises(UsageError, match=f"{name}: {setting} must be"):
        make_settings(RULES.get(name).Settings, name, {setting: value})
