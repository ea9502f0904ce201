"""The learning rate of a step: values worked out by hand, and properties of every schedule."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.types import RateSchedule, Recipe
from snibench.engine.schedule import learning_rate

SCHEDULES = get_args(RateSchedule)


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.4, 0.8, 0.8, 0.8, 0.8]),
        ("averaged", [0.4, 0.8, 0.8, 0.8, 0.8]),
        ("linear", [0.4, 0.8, 0.6, 0.4, 0.2]),  # 0.8 x 4/4, 3/4, 2/4, 1/4
        ("cosine", [0.4, 0.8, 0.682843, 0.4, 0.117157]),  # 0.8 x (1 + cos(0, pi/4, pi/2, 3 pi/4)) / 2
    ],
)
def test_the_rate_of_each_step_is_the_one_worked_out_by_hand(schedule, rates) -> None:
    recipe = Recipe(steps=5, learning_rate=0.8, warmup=0.4, schedule=schedule)
    assert [learning_rate(recipe, step) for step in range(5)] == pytest.approx(rates, abs=1e-6)


@given(
    steps=st.integers(1, 500),
    warmup=st.floats(0, 1),
    schedule=st.sampled_from(SCHEDULES),
)
def test_the_rate_rises_to_its_highest_at_the_end_of_the_warm_up_and_never_rises_again(steps, warmup, schedule) -> None:
    recipe = Recipe(steps=steps, learning_rate=0.3, warmup=warmup, schedule=schedule)
    rates = [learning_rate(recipe, step) for step in range(steps)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(0.3)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert all(rate > 0 for rate in rates)


def test_a_step_after_the_last_would_have_no_rate_unless_it_is_constant() -> None:
    at_the_end = {name: learning_rate(Recipe(steps=90, learning_rate=1.0, schedule=name), 90) for name in SCHEDULES}
    assert at_the_end == pytest.approx({"constant": 1, "averaged": 1, "linear": 0, "cosine": 0})
