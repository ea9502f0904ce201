"""Batches: every sequence once, within the limits, and padded as asked."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from snibench.engine.batching import by_length, by_prefix, padded

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60)


@given(sizes=LENGTHS, tokens=st.integers(300, 2000), rows=st.none() | st.integers(1, 9), groups=st.integers(1, 4))
def test_batches_by_length_hold_every_sequence_once_and_little_padding(sizes, tokens, rows, groups) -> None:
    apart = [index % groups for index in range(len(sizes))]
    batches = list(by_length(sizes, tokens, rows=rows, padding=1.2, apart=apart))
    assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))
    for batch in batches:
        whole = max(sizes[index] for index in batch) * len(batch)
        assert whole <= tokens
        assert whole <= 1.2 * sum(sizes[index] for index in batch)
        assert rows is None or len(batch) <= rows
        assert len({apart[index] for index in batch}) == 1


def test_a_sequence_that_is_too_long_alone_is_a_batch_of_its_own() -> None:
    assert list(by_length([5, 50, 5], 10)) == [[0, 2], [1]]
    assert list(by_prefix([5, 50, 5], [0, 0, 0], "aba", 10)) == [[0, 2], [1]]
    assert list(by_length([], 10)) == list(by_prefix([], [], [], 10)) == []


@given(sizes=LENGTHS, tokens=st.integers(340, 1500), rows=st.none() | st.integers(1, 9), groups=st.integers(1, 4))
def test_batches_by_prefix_are_as_full_as_they_can_be_with_each_prefix_counted_once(
    sizes, tokens, rows, groups
) -> None:
    keys = [index % groups for index in range(len(sizes))]
    prefixes = [10 * (key + 1) for key in keys]

    def held(batch: list[int]) -> int:
        return sum(sizes[index] for index in batch) + sum(10 * (key + 1) for key in {keys[index] for index in batch})

    batches = list(by_prefix(sizes, prefixes, keys, tokens, rows=rows))
    assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))
    for batch, following in zip(batches, [*batches[1:], None], strict=True):
        assert held(batch) <= tokens
        assert [keys[index] for index in batch] == sorted(keys[index] for index in batch)
        if following is not None:
            assert len(batch) == rows or held([*batch, following[0]]) > tokens


def test_rows_are_padded_on_either_side() -> None:
    cpu = torch.device("cpu")
    assert padded([[1, 2, 3], [4]], cpu, value=-1).tolist() == [[1, 2, 3], [4, -1, -1]]
    assert padded([[1, 2, 3], [4]], cpu, left=True).tolist() == [[1, 2, 3], [0, 0, 4]]
