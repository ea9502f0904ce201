"""Controls: how seeds are dealt, and that a difference is starred where there is one and not where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from controls import aa_pairs, of_seeds, verdict, with_loss

from snibench.stats.scopes import Sample, Side
from snibench.stats.scores import Scores


def scores(level: float, seeds: int, rng: np.random.Generator) -> Scores:
    """Right and wrong answers to 20 tasks x 10 questions, right with probability ``level``."""
    instances = tuple((rng.random((seeds, 10)) < level).astype(float) for _ in range(20))
    table = np.stack([task.mean(axis=1) for task in instances], axis=1)
    return Scores({"m": Sample((Side(table, instances),))}, tuple(f"task{n}" for n in range(20)))


def test_each_deal_splits_the_seeds_and_none_comes_twice() -> None:
    known = scores(0.5, 6, np.random.default_rng(0))
    (sample,) = known.methods.values()
    table = sample.sides[0].table
    dealt = set()
    for pair in aa_pairs(known, 20):
        halves = [pair.methods[name].sides[0].table for name in "AB"]
        assert [len(half) for half in halves] == [3, 3]
        assert sorted(map(tuple, np.concatenate(halves))) == sorted(map(tuple, table))
        dealt.add(frozenset(map(tuple, halves[0])))
    assert len(dealt) == 10  # 6 over 3, halved: as many as there are


def test_halves_of_one_method_are_not_starred_and_a_large_loss_is() -> None:
    rng = np.random.default_rng(1)
    known, lost = scores(0.7, 8, rng), scores(0.3, 4, rng)
    assert sum(verdict(pair).starred for pair in aa_pairs(known, 20)) <= 2
    found = verdict(with_loss(known, lost, 4))
    assert found.starred
    assert found.delta == pytest.approx(-0.4, abs=0.1)


def test_instances_go_with_their_seeds_and_other_tasks_are_refused() -> None:
    known = scores(0.5, 4, np.random.default_rng(2))
    (sample,) = known.methods.values()
    part = of_seeds(sample, [2, 3])
    assert np.array_equal(part.sides[0].table[0], sample.sides[0].table[2])
    assert np.array_equal(part.sides[0].instances[5], sample.sides[0].instances[5][2:])
    with pytest.raises(SystemExit, match="other tasks"):
        with_loss(known, replace(known, tasks=known.tasks[::-1]), 2)
