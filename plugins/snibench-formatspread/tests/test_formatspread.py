from __future__ import annotations

import os
import subprocess
import sys
from random import Random, getstate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snibench_formatspread import COUNT
from snibench_formatspread.grammar import INPUT_NAMES, ORIGINAL, OUTPUT_NAMES, Surface, assignments, sampled, surfaces

from snibench.api import FORMATS
from snibench.data.mini import tasks
from snibench.testing import check_format

NAMES = [f"surface-{number}" for number in range(1, COUNT + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_every_surface_keeps_the_contract(name: str) -> None:
    check_format(FORMATS.get(name)())


def test_one_pair_of_names_has_680_assignments_and_480_different_prompts() -> None:
    found = list(assignments())
    assert len(found) == 680
    assert len(set(found)) == 480
    assert ORIGINAL in found


def test_all_names_together_have_9600_surfaces_in_lexicographic_order() -> None:
    found = surfaces()
    assert len(found) == 480 * len(INPUT_NAMES) * len(OUTPUT_NAMES) == 9600
    assert list(found) == sorted(set(found), key=lambda one: (one.before, one.after))


@pytest.mark.parametrize("names", [("Input", "Output"), ("Question", "Answer")])
def test_the_constraints_of_the_grammar_hold(names: tuple[str, str]) -> None:
    given_name, asked_name = (name.lower() for name in names)
    for one in assignments(*names):
        separator = one.before[len(given_name) :]
        spacing, found, again = one.after.lower().partition(asked_name)
        assert one.before.lower() == given_name + separator
        assert found
        assert again == separator  # shared by both fields
        assert separator
        assert spacing
        assert "\n" in spacing or "\n" not in separator


def test_both_names_are_cased_alike() -> None:
    assert Surface("INPUT: ", "\nOUTPUT: ") in surfaces()
    assert Surface("INPUT: ", "\noutput: ") not in surfaces()


@given(task=st.text(max_size=20), seed=st.integers(0, 3))
def test_a_task_gets_nine_different_surfaces_and_never_the_original(task: str, seed: int) -> None:
    drawn = sampled(task, COUNT, seed)
    assert len(set(drawn)) == COUNT
    assert ORIGINAL not in drawn
    assert set(drawn) < set(surfaces())


def test_sampling_follows_the_written_rule_and_leaves_the_global_generator_alone() -> None:
    before = getstate()
    sampled.cache_clear()
    grid = [one for one in surfaces() if one != ORIGINAL]
    assert sampled("task1", 9) == tuple(Random("0|task1|surface").sample(grid, 9))
    assert getstate() == before


def test_ten_prompts_of_a_task_are_ten_and_differ_in_their_frame_alone() -> None:
    for task in list(tasks().values())[:8]:
        text = task.instances[0].input
        prompts = [FORMATS.get(name)().render(task.card, text, Random(0)) for name in ("definition", *NAMES)]
        assert len({prompt.text for prompt in prompts}) == 10
        assert {prompt.instruction for prompt in prompts} == {task.card.definition.strip()}
        assert {s.text for prompt in prompts for s in prompt.segments if s.role == "input"} == {text}


def test_the_original_surface_is_the_format_definition() -> None:
    task = next(iter(tasks().values()))
    text = task.instances[0].input
    prompt = FORMATS.get("definition")().render(task.card, text, Random(0)).text
    assert prompt == f"Definition: {task.card.definition.strip()}\n\n{ORIGINAL.before}{text}{ORIGINAL.after.rstrip()}"


SAMPLE = "from snibench_formatspread.grammar import sampled; print(sampled('task1', 9))"


def test_the_hash_seed_changes_nothing() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SAMPLE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(outputs) == 1
