"""Label ranking: what a brute-force reading of every label alone gives, in one pass and beside the greedy answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snibench.base.types import Prompt, Segment
from snibench.engine.backbone import base_of
from snibench.engine.decoding import Prompted, choose
from snibench.engine.decoding.label_ranking import Labels, label_scores, labels_after
from snibench.engine.decoding.reading import Reading, Row
from snibench.engine.tokens import Encoder
from snibench.methods.lora import Lora
from snibench.methods.ours import Ours
from snibench.methods.untuned import Untuned

LABELS = {"task0": ("red", "red cat", "no"), "task2": ("a", "b", "c", "neither of these"), "task3": ("yes", "no")}


@pytest.fixture
def asked(tasks) -> list[Prompted]:
    """Questions of three closed tasks and of an open one."""
    return [
        Prompted(
            replace(task.card, labels=LABELS.get(name)),
            Prompt(
                (
                    Segment("instruction", f"{task.card.definition[:50]}\n"),
                    Segment("input", one.input),
                    Segment("cue", "\n" if name == "task3" else ":"),
                )
            ),
            name,
        )
        for name, task in tasks.items()
        if name in {*LABELS, "task4"}
        for one in task.instances[:4]
    ]


def brute_force(trainer, encoder: Encoder, one: Prompted) -> dict[str, float]:
    """Every label's mean log-likelihood with its end, read alone after the whole prompt."""
    scores = {}
    prompt = encoder.prompts([one.prompt])[0].prompt_ids
    for label in one.card.labels or ():
        text = label if one.prompt.text[-1:].isspace() else f" {label}"
        target = [*encoder.tokenizer(text).input_ids, encoder.tokenizer.eos_token_id]
        ids = torch.tensor([[*prompt, *target]])
        with torch.no_grad(), trainer.method.for_prompts(trainer.model, [one.card], [one.prompt.instruction]):
            likelihood = torch.log_softmax(base_of(trainer.model)(input_ids=ids).logits[0], dim=-1)
        places = range(len(prompt) - 1, len(prompt) + len(target) - 1)
        scores[label] = sum(float(likelihood[place, id_]) for place, id_ in zip(places, target, strict=True)) / len(
            target
        )
    return scores


@pytest.mark.parametrize("kind", [Lora, Ours])
def test_the_one_pass_gives_every_label_the_score_of_a_brute_force_reading(kind, make_trainer, shake, asked) -> None:
    from snibench.engine.decoding.fast import FastModel

    trainer = shake(make_trainer(kind))
    trainer.model.eval()
    encoder = Encoder(trainer.backbone, 512, 20)
    encoded = encoder.prompts([one.prompt for one in asked])
    labels: list[Labels | None] = [labels_after(one.prompt, one.card, encoder) for one in asked]
    model = FastModel(trainer.model)
    rows = [Row(e.prompt_ids, one.group) for one, e in zip(asked, encoded, strict=True)]
    found: dict[int, list[float]] = {}
    with torch.no_grad():
        Reading(
            model,
            rows,
            trainer.backbone.device,
            lambda rows: trainer.method.for_prompts(
                trainer.model, [asked[row].card for row in rows], [asked[row].prompt.instruction for row in rows]
            ),
        ).prompts(
            lambda rows, logits, branch: found.update(
                zip(rows, label_scores([labels[row] for row in rows], logits, branch, model.logits), strict=True)
            )
        )
    for row, one in enumerate(asked):
        assert found[row] == pytest.approx(list(brute_force(trainer, encoder, one).values()), abs=1e-4), row


@pytest.mark.parametrize("way", ["fast", "reference"])
def test_the_likeliest_label_stands_beside_the_same_greedy_answer(way, make_trainer, shake, asked, monkeypatch) -> None:
    trainer = shake(make_trainer(Lora))
    encoder = Encoder(trainer.backbone, 512, 20)
    if way == "reference":
        monkeypatch.setattr("snibench.engine.decoding.choice.why_not_fast", lambda model: "so it is")

    def replies(*, rank: bool):
        return choose(trainer.backbone, trainer.model, trainer.method, encoder)[0].answer(asked, rank_labels=rank)

    plain, ranked = replies(rank=False), replies(rank=True)
    assert [one.prediction for one in plain] == [one.prediction for one in ranked]
    assert all(one.ranked is None for one in plain)
    for one, reply in zip(asked, ranked, strict=True):
        scores = brute_force(trainer, encoder, one)
        assert reply.ranked == (max(scores, key=scores.__getitem__) if scores else None)


def test_an_encoder_decoder_ranks_labels_too(t5, asked) -> None:
    encoder = Encoder(t5, 512, 8)
    replies = choose(t5, t5.model, Untuned(), encoder)[0].answer(asked[:5], rank_labels=True)
    for one, reply in zip(asked, replies, strict=False):
        ids = torch.tensor(encoder.prompt_ids([one.prompt.text]))
        losses = {}
        for label in one.card.labels or ():
            target = torch.tensor([[*t5.tokenizer(label).input_ids, t5.tokenizer.eos_token_id]])
            with torch.no_grad():
                losses[label] = float(t5.model(input_ids=ids, labels=target).loss)
        assert reply.ranked == min(losses, key=losses.__getitem__)
