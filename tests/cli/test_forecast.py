"""Time left: exact where the pace is even, unknown before anything was measured."""

from __future__ import annotations

import pytest

from snibench.cli.forecast import Forecast, Turn, Work, duration


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def work_on(turn: Turn, clock: Clock, kind: str, units: range, total: int, each: float) -> None:
    for done in units:
        clock.now += each
        turn.count(kind, done, total)


def test_nothing_is_said_before_anything_was_measured(clock: Clock) -> None:
    forecast = Forecast([Work(10, 20), Work(10, 20)], clock)
    turn = forecast.begin(0)
    assert turn.seconds_left() is None
    work_on(turn, clock, "steps", range(1, 4), 10, 2.0)
    assert turn.seconds_left() is None  # how long an answer takes is not known yet
    assert forecast.seconds_left() is None


def test_at_an_even_pace_the_time_left_is_exact(clock: Clock) -> None:
    forecast = Forecast([Work(10, 20), Work(10, 20)], clock)
    turn = forecast.begin(0)
    clock.now += 5.0  # loading
    turn.stage()
    work_on(turn, clock, "steps", range(1, 11), 10, 2.0)
    work_on(turn, clock, "prompts", range(4, 21, 4), 20, 1.0)
    assert turn.seconds_left() == pytest.approx(0.0)
    assert forecast.seconds_left() == pytest.approx(5.0 + 10 * 2.0 + 5 * 1.0)
    turn = forecast.begin(1)
    clock.now += 5.0
    turn.stage()
    work_on(turn, clock, "steps", range(1, 5), 10, 2.0)
    assert turn.seconds_left() == pytest.approx(6 * 2.0 + 5.0)
    assert forecast.seconds_left() == turn.seconds_left()


def test_a_fit_that_is_slower_than_the_others_is_judged_by_its_own_pace(clock: Clock) -> None:
    forecast = Forecast([Work(4, 0), Work(4, 0)], clock)
    turn = forecast.begin(0)
    work_on(turn, clock, "steps", range(1, 5), 4, 1.0)
    turn = forecast.begin(1)
    work_on(turn, clock, "steps", range(1, 3), 4, 9.0)
    assert turn.seconds_left() == pytest.approx(18.0)


def test_what_is_stored_already_takes_no_time(clock: Clock) -> None:
    forecast = Forecast([Work(0, 0), Work(2, 0), Work(0, 0)], clock)
    turn = forecast.begin(0)
    assert turn.seconds_left() == 0.0
    turn = forecast.begin(1)
    work_on(turn, clock, "steps", range(1, 2), 2, 3.0)
    assert forecast.seconds_left() == pytest.approx(3.0)


def test_steps_before_a_stop_do_not_count_as_quick_ones(clock: Clock) -> None:
    forecast = Forecast([Work(100, 0)], clock)
    turn = forecast.begin(0)
    work_on(turn, clock, "steps", range(91, 93), 100, 2.0)  # goes on at step 90
    assert turn.seconds_left() == pytest.approx(16.0)


def test_fits_side_by_side_share_what_is_left_but_the_run_lasts_as_long_as_its_longest(clock: Clock) -> None:
    forecast = Forecast([Work(10, 0), Work(10, 0), Work(8, 0)], clock, jobs=2)
    first, second = forecast.begin(0), forecast.begin(1)
    clock.now += 3.0
    first.count("steps", 1, 10)
    second.count("steps", 1, 10)
    assert forecast.seconds_left() == pytest.approx((27 + 27 + 24) / 2)
    first.end()  # it failed
    forecast.begin(2)
    assert forecast.seconds_left() == pytest.approx(27.0)  # alone, longer than half of 27 + 24


@pytest.mark.parametrize(("seconds", "words"), [(44.6, "45 s"), (300, "5 min"), (3900, "1 h 05 min"), (0, "0 s")])
def test_durations_read_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words
