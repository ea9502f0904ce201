"""A run's profile and steps, where nobody names them, follow the size of the suite."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from snibench.plan.options import request_from
from snibench.plan.request import PAPER, QUICK, RunRequest, sized


def suite(tasks: int, instances: int) -> Any:
    names = tuple(f"t{n}" for n in range(tasks))
    return SimpleNamespace(seen=names, training=dict.fromkeys(names, range(instances)))


def request(**options: Any) -> RunRequest:
    return request_from(["lora"], {"suite": "sni", **options})


@pytest.mark.parametrize(
    ("tasks", "instances", "steps", "full"),
    [
        (3, 15, 90, False),  # never fewer than the quick profile's
        (50, 100, 313, False),  # two passes of 32 instances a step
        (50, 5000, 313, False),  # at most 100 instances of a task count
        (100, 100, 625, True),
        (756, 100, PAPER.steps, True),  # the official split: the paper's
        (5000, 100, PAPER.steps, True),
    ],
)
def test_steps_are_two_passes_over_the_seen_tasks(tasks: int, instances: int, steps: int, full: bool) -> None:
    found = sized(request(), suite(tasks, instances))
    assert (found.recipe.steps, found.profile.steps, found.profile.full) == (steps, steps, full)
    assert found.seeds == (PAPER if full else QUICK).seeds


def test_smaller_steps_are_more_of_them() -> None:
    assert sized(request(per_step=(4, 4)), suite(50, 100)).recipe.steps == 625


def test_a_pass_over_fewer_tasks_than_a_step_takes_counts_those() -> None:
    assert sized(request(), suite(2, 1000)).recipe.steps == 90
    assert sized(request(per_step=(8, 1)), suite(2, 1000)).recipe.steps == 200


def test_what_is_named_stays() -> None:
    found = sized(request(steps=7, seeds=(5,)), suite(50, 100))
    assert (found.recipe.steps, found.seeds) == (7, (5,))
    paper = request(profile="paper")
    assert sized(paper, suite(3, 15)) == paper
    assert paper.recipe.steps == PAPER.steps
    mini = request(suite="mini")
    assert sized(mini, suite(33, 100)) == replace(mini, profile=QUICK)


def test_one_thread_for_a_fit_is_for_the_embedded_model_alone() -> None:
    assert sized(request(), suite(3, 15)).profile.threads == 1
    assert sized(request(model="some/model"), suite(3, 15)).profile.threads is None
