from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("datasketch")

from snibench.base.types import Task
from snibench.data.checks import check_folder
from snibench.data.near_duplicates import near_duplicates, shingles

LONG = "the committee met on a rainy tuesday in the old town hall to discuss the budget of the coming year with guests"


def with_inputs(task: Task, *inputs: str) -> Task:
    return replace(task, instances=tuple(replace(task.instances[n], input=text) for n, text in enumerate(inputs)))


def test_shingles_are_runs_of_five_lower_cased_words() -> None:
    assert shingles("One two, THREE four five six") == {b"one two three four five", b"two three four five six"}
    assert shingles("only four words here") == frozenset()


def test_a_word_changed_is_found_with_its_exact_similarity_and_an_exact_repetition_is_not(
    make_task: Callable[..., Task],
) -> None:
    changed = LONG.replace("guests", "friends")
    train = with_inputs(
        make_task("a"), changed, LONG.upper() + "!", "something else that is as long as it must be here"
    )
    test = with_inputs(make_task("b"), LONG, "quite another sentence about nothing in particular at all today")
    found = near_duplicates({"a": train}, {"b": test.instances})
    assert [(row.train, row.test, row.count) for row in found] == [("a", "b", 1)]
    ours, theirs = shingles(changed), shingles(LONG)
    assert found[0].similarity == len(ours & theirs) / len(ours | theirs)
    assert (found[0].train_input, found[0].test_input) == (changed, LONG)


def test_nothing_below_the_threshold_is_reported(make_task: Callable[..., Task]) -> None:
    half = " ".join(LONG.split()[:14]) + " while somebody sang a long song about the distant sea"
    train, test = with_inputs(make_task("a"), half), with_inputs(make_task("b"), LONG)
    assert near_duplicates({"a": train}, {"b": test.instances}) == []


def test_check_reports_near_duplicates_as_warnings_where_asked(
    write_task: Callable[..., Path], write_lists: Callable[..., Path], tmp_path: Path
) -> None:
    for name, last in (("a", "friends"), ("b", "guests")):
        rows = [
            {
                "id": f"{name}{n}",
                "input": f"case {n}: {LONG.replace('guests', last)}",
                "output": ["no" if n % 2 else "yes"],
            }
            for n in range(120)
        ]
        write_task(name, Instances=rows)
    write_lists(["a"], ["b"])
    assert not [finding for finding in check_folder(tmp_path) if "nearly repeat" in finding.message]
    found = [finding for finding in check_folder(tmp_path, near=True) if "nearly repeat" in finding.message]
    assert [finding.severity for finding in found] == ["warning"]
    assert "100 inputs of train task 'a' nearly repeat one of test task 'b'" in found[0].message
