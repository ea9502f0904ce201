"""Statistics over the tokens of texts: by hand, and the same with and without shared prefixes."""

from __future__ import annotations

import pytest
import torch

from snibench.engine.packing import make_batch
from snibench.engine.tallies import Tally, appearances, task_moments, text_means, token_mean
from snibench.methods.lora import Lora

# Two rows: two shared tokens before texts of one and two tokens; one text alone, then padding.
PART = torch.tensor([[0, 0, 1, 2, 2], [1, 1, -1, -1, -1]])
VALUES = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 8.0, 99.0, 99.0, 99.0]])[..., None]


def test_a_shared_token_counts_once_for_every_text_of_its_row_and_padding_not_at_all() -> None:
    assert appearances(PART).tolist() == [[2, 2, 1, 1, 1], [1, 1, 0, 0, 0]]


def test_means_over_tokens_and_over_texts_by_hand() -> None:
    texts = [[1, 2, 3], [1, 2, 4, 5], [6, 8]]
    assert token_mean(VALUES, PART).item() == pytest.approx(sum(map(sum, texts)) / 9)
    assert text_means(VALUES, PART).flatten().tolist() == pytest.approx([2, 3, 7])


def test_the_moments_of_a_task_are_those_of_its_texts_tokens() -> None:
    mean, variance = task_moments(VALUES, PART, torch.tensor([0, 1]), 2)
    first, second = torch.tensor([1.0, 2, 3, 1, 2, 4, 5]), torch.tensor([6.0, 8.0])
    assert mean.flatten().tolist() == pytest.approx([first.mean().item(), second.mean().item()])
    assert variance.flatten().tolist() == pytest.approx([first.var().item(), second.var().item()])


def test_packed_rows_and_rows_of_their_own_hold_the_same_tokens(make_trainer) -> None:
    trainer = make_trainer(Lora)
    groups = trainer.encode([("task0", (0, 1, 2)), ("task1", (2, 3, 4))])
    table = torch.randn(4096, 3, generator=torch.Generator().manual_seed(0))
    found = []
    for pack in (True, False):
        batch = make_batch(groups, trainer.backbone, pack=pack)
        assert batch.part.shape == batch.input_ids.shape
        values = table[batch.input_ids % len(table)]
        moments = task_moments(values, batch.part, batch.row_task, 2)
        found.append([token_mean(values, batch.part), text_means(values, batch.part), *moments])
    packed, apart = found
    assert len(packed[1]) == len(apart[1]) == 6
    for one, other in zip(packed, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_outside_of_a_batch_nothing_is_kept_and_inside_only_what_has_the_batchs_tokens(make_trainer) -> None:
    trainer = make_trainer(Lora)
    batch = trainer.task_losses.batch(trainer.encode([("task0", (0, 1))]))
    tally = Tally()
    tally.report(torch.ones(*batch.part.shape, 2), token_mean)
    with tally.over(batch) as reports:
        tally.report(torch.ones(*batch.part.shape, 2), token_mean)
        tally.report(torch.ones(batch.part.numel(), 2), token_mean)  # rows that a model has flattened
        tally.report(torch.ones(1, 7, 2), token_mean)
    assert [one.tolist() for one in reports] == [[1, 1], [1, 1]]
    assert tally.reports == []
    assert tally.mean(reports, 0.5).item() == 0.5
    assert tally.mean(reports, 0.0) is None
