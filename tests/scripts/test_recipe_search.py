"""The search for a recipe: its candidates, its measure of noise, and its choice."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

pytest.importorskip("torch")

import recipe_search
from recipe_search import Candidate, Measured, choice, joint_noise, noise


def test_a_candidate_is_read_and_said() -> None:
    assert Candidate.parse("linear") == Candidate("linear", 1.0, 90)
    assert Candidate.parse("averaged,1.8,60") == Candidate("averaged", 1.8, 60)
    assert str(Candidate.parse("cosine,2")) == "cosine, 2 x the rate, 90 steps"
    with pytest.raises(argparse.ArgumentTypeError, match="constant, averaged, linear, cosine"):
        Candidate.parse("step")


def test_noise_is_split_into_that_of_seeds_and_of_tasks_within_them() -> None:
    # Two seeds, two tasks: means 0.5 and 0.7; what neither explains is +-0.1 in every cell.
    level, seed_sd, residual_sd = noise(np.array([[0.4, 0.6], [0.8, 0.6]]))
    assert (level, seed_sd) == pytest.approx((0.6, 0.2 / 2**0.5))
    assert residual_sd == pytest.approx(0.2)  # sqrt(4 x 0.1^2 / 1)
    assert noise(np.array([[0.1, 0.9], [0.2, 1.0]]))[2] == pytest.approx(0.0)  # a shift of all tasks alone


def test_the_noise_of_a_recipe_pools_methods_and_grows_with_the_root_of_the_seconds() -> None:
    some = [Measured(2, 25, 9.0, 80.0, 1.0, 5.0), Measured(2, 25, 9.0, 80.0, 3.0, 5.0)]
    assert joint_noise(some) == pytest.approx(3 * 5**0.5)  # the mean of 1 and 9, larger than 25/25
    assert joint_noise([Measured(2, 25, 4.0, 80.0, 0.1, 5.0)]) == pytest.approx(2.0)  # the residual's share


def test_the_choice_is_the_least_noise_of_what_is_not_worse() -> None:
    quiet, loud, worse = (Candidate("linear", multiple) for multiple in (1.0, 2.0, 3.0))
    measured = {
        (method, each): Measured(3, 30, 10.0, level, seed_sd, 1.0)
        for method in ("lora", "ours")
        for each, level, seed_sd in ((quiet, 85.0, 1.0), (loud, 85.9, 2.0), (worse, 84.5, 0.5))
    }
    assert choice(measured) == quiet  # the quietest of all is 1.4 points worse than the best


@pytest.mark.slow
def test_a_trial_is_stored_and_not_repeated(tmp_path, capsys) -> None:
    given = ["-o", str(tmp_path), "-m", "lora", "-c", "averaged,1,1", "-c", "linear,1,1", "--seeds", "2"]
    recipe_search.main(given)
    first = capsys.readouterr().out
    assert first.count("lora: averaged, 1 x the rate, 1 steps, seed") == 2
    assert len(list(tmp_path.glob("lora/*.json"))) == 4
    recipe_search.main(given)
    trials = [line for line in first.splitlines() if line.startswith("lora: ")]
    assert capsys.readouterr().out == first.removeprefix("\n".join(trials) + "\n")
