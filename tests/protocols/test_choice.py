from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from snibench.base.types import SuiteData
from snibench.protocols.choice import chosen_tasks, held_out_questions


def sides(suite: SuiteData, chosen: tuple[str, ...]) -> tuple[int, int]:
    return sum(task in suite.seen for task in chosen), sum(task in suite.unseen for task in chosen)


def test_half_of_the_tasks_are_seen(suite: SuiteData) -> None:
    chosen = chosen_tasks(suite, 8, seed=0)
    assert sides(suite, chosen) == (4, 4)
    assert chosen[:4] == tuple(task for task in chosen if task in suite.seen)


def test_every_category_comes_before_any_comes_twice(suite: SuiteData) -> None:
    chosen = chosen_tasks(suite, 12, seed=0)
    for side in (suite.seen, suite.unseen):
        counts = Counter(suite.tasks[task].card.category for task in chosen if task in side)
        assert len(counts) == 4
        assert max(counts.values()) - min(counts.values()) <= 1


def test_both_sides_take_the_same_categories_where_there_are_few_places(suite: SuiteData) -> None:
    seen, unseen = (
        {suite.tasks[task].card.category for task in chosen_tasks(suite, 4, seed=3) if task in side}
        for side in (suite.seen, suite.unseen)
    )
    assert seen == unseen


@pytest.mark.parametrize(("count", "expected"), [(20, (12, 8)), (18, (10, 8)), (100, (12, 8)), (5, (3, 2))])
def test_a_short_side_gives_its_places_to_the_other(suite: SuiteData, count: int, expected: tuple[int, int]) -> None:
    assert sides(suite, chosen_tasks(suite, count, seed=0)) == expected


def test_without_a_number_every_task_is_chosen(suite: SuiteData) -> None:
    assert chosen_tasks(suite, None, seed=0) == (*suite.seen, *suite.unseen)


def test_the_order_in_which_a_suite_lists_its_tasks_changes_nothing(suite: SuiteData) -> None:
    turned = dataclasses.replace(
        suite, seen=suite.seen[::-1], unseen=suite.unseen[::-1], tasks=dict(reversed(suite.tasks.items()))
    )
    assert chosen_tasks(turned, 9, seed=1) == chosen_tasks(suite, 9, seed=1)


def test_the_seed_decides_the_choice(suite: SuiteData) -> None:
    assert len({chosen_tasks(suite, 6, seed=seed) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    ("instances", "limit", "expected"), [(None, None, 16), (4, None, 4), (None, 3, 3), (4, 9, 4), (99, 99, 16)]
)
def test_the_smaller_of_instances_and_limit_bounds_the_questions(
    suite: SuiteData, instances: int | None, limit: int | None, expected: int
) -> None:
    questions = held_out_questions(suite, "gap", "topic0", "definition", instances, limit)
    assert [question.instance for question in questions] == [f"topic0-{i}" for i in range(expected)]


def test_a_question_says_which_side_its_task_is_on(suite: SuiteData) -> None:
    (seen,) = held_out_questions(suite, "gap", suite.seen[0], "definition", 1, None)
    (unseen,) = held_out_questions(suite, "gap", suite.unseen[0], "definition", 1, None)
    assert (seen.split, seen.seen, unseen.split, unseen.seen) == ("held_out", True, "unseen", False)
