"""Encoding and packing."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.types import Prompt, Segment
from snibench.engine.losses import target_logits, target_nll
from snibench.engine.packing import make_batch
from snibench.engine.tokens import Encoder, common_prefix
from snibench.formats.base import with_history
from snibench.methods.lora import Lora


def prompt(instruction: str, text: str, *demonstrations: str) -> Prompt:
    middle = [Segment("example", shown) for shown in demonstrations]
    return Prompt((Segment("instruction", instruction), *middle, Segment("input", text), Segment("cue", "\nOutput:")))


def test_packed_rows_give_the_losses_of_separate_rows(backbone) -> None:
    encoder = Encoder(backbone, 512, 16)
    groups = [
        (
            task,
            encoder.pairs(
                [prompt(task * 9, text) for text in ("red", "blue cat", "a dog runs")], ["x", "yes", "no way"]
            ),
        )
        for task in ("copy ", "swap it ")
    ]
    packed, apart = make_batch(groups, backbone, pack=True), make_batch(groups, backbone, pack=False)
    assert packed.input_ids.numel() < apart.input_ids.numel()
    losses = [target_nll(target_logits(backbone.model, batch), batch) for batch in (packed, apart)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-5)


def test_packed_rows_give_the_gradients_of_separate_rows(make_trainer, shake) -> None:
    found = []
    for pack in (True, False):
        trainer = shake(make_trainer(Lora))
        trainer.task_losses.pack = pack
        trainer.updater.backward(trainer.encode([("task1", (0, 1, 2)), ("task3", (4, 5, 6)), ("task0", (1, 7, 3))]))
        found.append([parameter.grad for parameter in trainer.named.values()])
    for packed, apart in zip(*found, strict=True):
        torch.testing.assert_close(packed, apart, rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_mean_over_instances_of_their_mean_token_loss(backbone) -> None:
    encoder = Encoder(backbone, 512, 16)
    pairs = encoder.pairs([prompt("copy ", "red"), prompt("copy ", "blue")], ["a", "a longer answer"])
    batch = make_batch([("t", pairs)], backbone, pack=True)
    by_hand = []
    for one in pairs:
        ids = torch.tensor([[*one.prompt_ids, *one.target_ids]])
        logits = backbone.model(ids).logits[0, len(one.prompt_ids) - 1 : -1]
        by_hand.append(torch.nn.functional.cross_entropy(logits, torch.tensor(one.target_ids)))
    loss = target_nll(target_logits(backbone.model, batch), batch)[0]
    torch.testing.assert_close(loss, torch.stack(by_hand).mean(), rtol=1e-5, atol=1e-5)


def test_a_target_starts_with_a_blank_unless_the_prompt_ends_in_white_space(backbone) -> None:
    encoder = Encoder(backbone, 512, 16)
    bare = prompt("copy ", "red")
    spaced = Prompt((*bare.segments, Segment("cue", " ")))
    first, second = encoder.pairs([bare, spaced], ["yes", "yes"])
    decode = backbone.tokenizer.decode
    assert decode(first.target_ids) == " yes<eos>"
    assert decode(second.target_ids) == "yes<eos>"


def test_demonstrations_are_dropped_from_the_last_and_the_input_is_never_cut(backbone) -> None:
    one = with_history(prompt("copy ", "the input", "first demo ", "second demo "), ["a turn "])
    plain = len(Encoder(backbone, 10_000, 16).prompts([one])[0].prompt_ids)
    (shorter,) = Encoder(backbone, plain - 1, 16).prompts([one])
    assert shorter.truncated
    assert shorter.prompt.text == "a turn copy first demo the input\nOutput:"
    (shortest,) = Encoder(backbone, 5, 16).prompts([one])
    assert shortest.too_long
    assert shortest.prompt.text == "copy the input\nOutput:"


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=5))
def test_the_common_prefix_is_common_and_leaves_everyone_a_token(sequences: list[list[int]]) -> None:
    length = common_prefix(sequences)
    assert length < min(map(len, sequences))
    assert len({tuple(sequence[:length]) for sequence in sequences}) == 1
    longer_is_common = len({tuple(sequence[: length + 1]) for sequence in sequences}) == 1
    assert not longer_is_common or length + 1 == min(map(len, sequences))
