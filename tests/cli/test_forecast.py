"""Time left: exact where the pace is even, unknown before anything was measured."""

from __future__ import annotations

import pytest

from snibench.cli.forecast import Forecast, Work, duration


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def work_on(forecast: Forecast, clock: Clock, kind: str, units: range, total: int, each: float) -> None:
    for done in units:
        clock.now += each
        forecast.count(kind, done, total)


def test_nothing_is_said_before_anything_was_measured(clock: Clock) -> None:
    forecast = Forecast([Work(10, 20), Work(10, 20)], clock)
    forecast.begin(0)
    assert forecast.fit_left() is None
    work_on(forecast, clock, "steps", range(1, 4), 10, 2.0)
    assert forecast.fit_left() is None  # how long an answer takes is not known yet
    assert forecast.run_left() is None


def test_at_an_even_pace_the_time_left_is_exact(clock: Clock) -> None:
    forecast = Forecast([Work(10, 20), Work(10, 20)], clock)
    forecast.begin(0)
    clock.now += 5.0  # loading
    forecast.stage()
    work_on(forecast, clock, "steps", range(1, 11), 10, 2.0)
    work_on(forecast, clock, "prompts", range(4, 21, 4), 20, 1.0)
    assert forecast.fit_left() == pytest.approx(0.0)
    assert forecast.run_left() == pytest.approx(5.0 + 10 * 2.0 + 5 * 1.0)
    forecast.begin(1)
    clock.now += 5.0
    forecast.stage()
    work_on(forecast, clock, "steps", range(1, 5), 10, 2.0)
    assert forecast.fit_left() == pytest.approx(6 * 2.0 + 5.0)
    assert forecast.run_left() == forecast.fit_left()


def test_a_fit_that_is_slower_than_the_others_is_judged_by_its_own_pace(clock: Clock) -> None:
    forecast = Forecast([Work(4, 0), Work(4, 0)], clock)
    forecast.begin(0)
    work_on(forecast, clock, "steps", range(1, 5), 4, 1.0)
    forecast.begin(1)
    work_on(forecast, clock, "steps", range(1, 3), 4, 9.0)
    assert forecast.fit_left() == pytest.approx(18.0)


def test_what_is_stored_already_takes_no_time(clock: Clock) -> None:
    forecast = Forecast([Work(0, 0), Work(2, 0), Work(0, 0)], clock)
    forecast.begin(0)
    assert forecast.fit_left() == 0.0
    forecast.begin(1)
    work_on(forecast, clock, "steps", range(1, 2), 2, 3.0)
    assert forecast.run_left() == pytest.approx(3.0)


def test_steps_before_a_stop_do_not_count_as_quick_ones(clock: Clock) -> None:
    forecast = Forecast([Work(100, 0)], clock)
    forecast.begin(0)
    work_on(forecast, clock, "steps", range(91, 93), 100, 2.0)  # goes on at step 90
    assert forecast.fit_left() == pytest.approx(16.0)


@pytest.mark.parametrize(("seconds", "words"), [(44.6, "45 s"), (300, "5 min"), (3900, "1 h 05 min"), (0, "0 s")])
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words
