"""Which tasks the built-in samplers draw, and how often."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.errors import UsageError
from snibench.base.registry import SAMPLERS
from snibench.base.settings import validated
from snibench.contracts import Draw
from snibench.samplers.deck import Deck
from snibench.samplers.easy_to_hard import EasyToHard, EasyToHardSettings, competence
from snibench.samplers.pike import Pike, PikeSettings
from snibench.samplers.proportional import Proportional
from snibench.samplers.systematic import capped
from snibench.samplers.temperature import Temperature, TemperatureSettings

SIZES = {"a": 400, "b": 100, "c": 100, "d": 50, "e": 25}


def drawn(sampler, steps: int, count: int, sizes=SIZES, seed: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    return [list(sampler.draw(Draw(step, steps, sizes, count, rng))) for step in range(steps)]


def shares(sampler, count: int, sizes=SIZES) -> dict[str, float]:
    steps = 4000
    counts = Counter(task for step in drawn(sampler, steps, count, sizes) for task in step)
    return {task: counts[task] / steps for task in sizes}


def test_the_deck_is_the_only_order_that_methods_share() -> None:
    assert [name for name in ("deck", "proportional", "temperature") if not SAMPLERS.get(name).own_order] == ["deck"]


@pytest.mark.parametrize("sampler", [Deck(), Proportional(), Temperature()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_step_draws_as_many_different_tasks_as_it_may(sampler, count) -> None:
    assert {(len(step), len(set(step))) for step in drawn(sampler, 200, count)} == {(count, count)}


def test_proportional_draws_by_size_and_gives_the_rest_of_what_is_capped_to_the_others() -> None:
    total = sum(SIZES.values())
    assert shares(Proportional(), 1) == pytest.approx({t: size / total for t, size in SIZES.items()}, abs=0.02)
    # Of two tasks a step, the largest asks for 1.19 and gets 1; the other one goes to the others by size.
    rest = total - SIZES["a"]
    expected = {task: 1.0 if task == "a" else size / rest for task, size in SIZES.items()}
    assert shares(Proportional(), 2) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("temperature", "ratio"), [(1.0, 4.0), (2.0, 2.0), (1e9, 1.0)])
def test_the_temperature_evens_sizes_out(temperature, ratio) -> None:
    found = shares(Temperature(TemperatureSettings(temperature)), 1)
    assert found["a"] / found["b"] == pytest.approx(ratio, rel=0.12)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_none_is_refused_where_the_run_is_planned(value) -> None:
    with pytest.raises(UsageError, match=r"temperature (must be above 0|cannot be nan)"):
        validated(TemperatureSettings(value))


@given(values=st.lists(st.floats(0.01, 100), min_size=1, max_size=12), count=st.integers(1, 12))
def test_expected_visits_add_up_keep_proportions_and_are_at_most_one(values, count) -> None:
    count = min(count, len(values))
    expected = capped(np.array(values), count)
    assert expected.sum() == pytest.approx(count)
    assert expected.max() <= 1 + 1e-9
    below = expected < 1 - 1e-9
    ratios = (expected / np.array(values))[below]
    assert ratios == pytest.approx(np.full(len(ratios), ratios[0]) if len(ratios) else ratios)


def test_a_deck_goes_on_from_its_state() -> None:
    first, second = Deck(), Deck()
    rng = np.random.default_rng(3)
    start = [first.draw(Draw(step, 9, SIZES, 2, rng)) for step in range(4)]
    second.restore(json.loads(json.dumps(first.state())))
    other = np.random.default_rng(3)
    again = Deck()
    assert start == [again.draw(Draw(step, 9, SIZES, 2, other)) for step in range(4)]
    assert [second.draw(Draw(4, 9, SIZES, 2, rng))] == [again.draw(Draw(4, 9, SIZES, 2, other))]


# ------------------------------------------------------------------------------------ easy to hard


class Losses(list):
    """What ``observe`` is given, without torch."""

    tolist = list.copy


def competent(sampler, step: int, steps: int, count: int = 2) -> set[str]:
    """Every task that may be drawn."""
    return {
        task
        for seed in range(60)
        for task in sampler.draw(Draw(step, steps, SIZES, count, np.random.default_rng(seed)))
    }


def test_the_pool_grows_from_the_easiest_tasks_to_all() -> None:
    sampler = EasyToHard(EasyToHardSettings(start=0.1, full=0.5))
    sampler.observe(list(SIZES), Losses([5.0, 1.0, 3.0, 2.0, 4.0]), None)  # a to e; easiest first: b, d, c, e, a
    assert competent(sampler, 0, 100) == {"b", "d"}  # at least as many as a step draws
    # sqrt(0.25 * 0.99 + 0.01) = 0.5075 of five tasks, rounded up
    assert competent(sampler, 12, 96) == {"b", "d", "c"}
    assert competent(sampler, 40, 100) == {"b", "d", "c", "e", "a"}
    assert competence(12, 96, sampler.settings) == pytest.approx((0.25 * 0.99 + 0.01) ** 0.5)
    assert [competence(step, 100, sampler.settings) for step in (0, 50, 99)] == [pytest.approx(0.1), 1.0, 1.0]


def test_a_task_that_was_not_drawn_yet_counts_as_the_easiest() -> None:
    sampler = EasyToHard(EasyToHardSettings(start=0.1))
    sampler.observe(["a", "b", "c"], Losses([0.1, 0.2, 0.3]), None)
    assert competent(sampler, 0, 1000) == {"d", "e"}


def test_once_competent_it_draws_all_tasks_equally_often() -> None:
    sampler = EasyToHard(EasyToHardSettings(start=1.0))
    sampler.observe(list(SIZES), Losses([5.0, 1.0, 3.0, 2.0, 4.0]), None)
    assert shares(sampler, 2) == pytest.approx(dict.fromkeys(SIZES, 0.4), abs=0.03)


def test_running_losses_are_kept_by_task_and_given_back() -> None:
    first, second = EasyToHard(EasyToHardSettings(memory=0.5)), EasyToHard()
    first.observe(["a", "b"], Losses([4.0, 1.0]), None)
    first.observe(["a"], Losses([2.0]), None)
    assert first.state() == {"losses": {"a": 3.0, "b": 1.0}}
    second.restore(json.loads(json.dumps(first.state())))
    assert drawn(second, 20, 2) == drawn(first, 20, 2)


@pytest.mark.parametrize("settings", [{"start": 0.0}, {"full": 1.5}, {"memory": 1.0}])
def test_a_curriculum_without_meaning_is_refused(settings) -> None:
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} must be (above|at least) 0 and (at most|below) 1"):
        validated(EasyToHardSettings(**settings))


# -------------------------------------------------------------------------------------------- pike


class Products:
    """``[2K, 2K]`` inner products of halves, without torch."""

    def __init__(self, halves: np.ndarray) -> None:
        self._gram = halves @ halves.T

    def numpy(self) -> np.ndarray:
        return self._gram


def test_pike_s_shares_follow_its_formula() -> None:
    sampler = Pike(PikeSettings(signal=0.2, noise=0.6))
    halves = np.array([[3.0, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, -1]])
    sampler.observe(["a", "b"], Losses([1.0, 1.0]), Products(halves))
    # a: |g|^2 = 3, variance of the mean |h - h'|^2 / 4 = 1. b: 0 and 1. Mean squared norm, noise included: 2.5.
    a, b = np.exp((0.2 * 3 - 0.6 * 1 / 4) / 2.5), np.exp((0 - 0.6 * 1 / 4) / 2.5)
    assert sampler.state()["shares"] == pytest.approx({"a": 2 * a / (a + b), "b": 2 * b / (a + b)})
    # c was never drawn, so that its share is 1 still.
    found = shares(sampler, 1, {"a": 5, "b": 5, "c": 5})
    assert found == pytest.approx({"a": 2 * a / (a + b) / 3, "b": 2 * b / (a + b) / 3, "c": 1 / 3}, abs=0.03)


def test_pike_tells_a_large_gradient_from_a_noisy_one() -> None:
    rng = np.random.default_rng(0)
    signal, sampler = np.zeros((2, 400)), Pike(PikeSettings(signal=0.05, noise=1.0))
    signal[0, 0] = 3.0  # a has a gradient of norm 3; b has none, but noise of the same size
    for _ in range(40):
        noise = rng.standard_normal((2, 2, 400)) * np.array([0.0, 3 / 20])[:, None, None]
        sampler.observe(["a", "b"], Losses([1.0, 1.0]), Products((signal[:, None] + noise).reshape(4, 400)))
    found = sampler.state()["shares"]
    assert found["a"] > 1.9 > 0.1 > found["b"]


def test_pike_without_coefficients_or_gradients_draws_all_equally_often() -> None:
    still = Pike(PikeSettings(signal=0.0, noise=0.0))
    still.observe(list("ab"), Losses([1.0, 1.0]), Products(np.eye(4)))
    empty = Pike()
    empty.observe(list("ab"), Losses([1.0, 1.0]), Products(np.zeros((4, 4))))
    for sampler in (still, empty):
        assert shares(sampler, 2) == pytest.approx(dict.fromkeys(SIZES, 0.4), abs=0.03)


@pytest.mark.parametrize("name", ["signal", "noise"])
def test_a_negative_coefficient_of_pike_is_refused(name) -> None:
    with pytest.raises(UsageError, match=f"{name} must be at least 0"):
        validated(PikeSettings(**{name: -1.0}))
