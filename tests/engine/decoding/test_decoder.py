"""Answers: the same whatever the batch, stopped where they should."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch

from snibench.base.types import Example, Prompt, Reply, Segment, TaskCard
from snibench.engine.decoding import Prompted, choose
from snibench.engine.tokens import Encoder
from snibench.formats.catalogue import Abstract, Definition
from snibench.methods.lora import Lora
from snibench.methods.mtl_lora import MtlLora
from snibench.methods.ours import Ours
from snibench.methods.untuned import Untuned


def questions(tasks, each=5):
    return [
        Prompted(task.card, form.render(task.card, one.input, random.Random(0)), f"{task.name} {type(form).__name__}")
        for form in (Definition(), Abstract())
        for task in tasks.values()
        for one in task.instances[:each]
    ]


@pytest.mark.parametrize("kind", [Lora, MtlLora, Ours])
def test_batch_size_and_shared_prefixes_change_no_answer(kind, make_trainer, shake, tasks) -> None:
    trainer = shake(make_trainer(kind))
    encoder = Encoder(trainer.backbone, 512, 10)
    asked = questions(tasks)

    def answers(order: list[Prompted], batch_size: int | None) -> list[Reply]:
        decoder, _ = choose(trainer.backbone, trainer.model, trainer.method, encoder, batch_size=batch_size)
        return decoder.answer(order)

    together = answers(asked, None)
    assert together == answers(asked, 1) == answers(asked, 3)
    assert together == answers(asked[::-1], 4)[::-1]
    alone = [Prompted(one.card, one.prompt, str(index)) for index, one in enumerate(asked)]
    assert together == answers(alone, None)
    assert len({reply.prediction for reply in together}) > 5


def test_a_decoder_answers_as_generate_does(backbone, tasks) -> None:
    encoder = Encoder(backbone, 512, 10)
    asked = questions(tasks, each=3)
    replies = choose(backbone, backbone.model, Untuned(), encoder)[0].answer(asked)
    for one, reply in zip(asked, replies, strict=True):
        ids = torch.tensor(encoder.prompt_ids([one.prompt.text]))
        output = backbone.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False)
        text = backbone.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        assert reply.prediction == text.lstrip(" ").split("\n")[0].strip()


def test_an_encoder_decoder_answers_as_its_own_generate_does(t5, tasks) -> None:
    encoder = Encoder(t5, 512, 6)
    asked = questions(tasks, each=2)
    replies = choose(t5, t5.model, Untuned(), encoder)[0].answer(asked)
    for one, reply in zip(asked, replies, strict=True):
        ids = torch.tensor(encoder.prompt_ids([one.prompt.text]))
        output = t5.model.generate(ids, max_new_tokens=6, do_sample=False)
        assert reply.prediction == t5.tokenizer.decode(output[0], skip_special_tokens=True).split("\n")[0].strip()


class _Parrot(torch.nn.Module):
    """Stands in for a model: says ``text``, whatever it is asked."""

    def __init__(self, backbone, text: str) -> None:
        super().__init__()
        self.ids = [*backbone.tokenizer(text).input_ids, backbone.tokenizer.eos_token_id]
        self.config = backbone.model.config
        self.vocabulary = len(backbone.tokenizer)
        self.said = 0

    def forward(self, input_ids, **_):
        logits = torch.zeros(len(input_ids), 1, self.vocabulary)
        logits[..., self.ids[min(self.said, len(self.ids) - 1)]] = 1
        self.said += 1
        return type("Output", (), {"logits": logits})()


def card(*outputs: str) -> TaskCard:
    shown = tuple(Example("x", output) for output in outputs)
    return TaskCard("t", "Do it.", shown, (), "C", (), (), None, "rouge_l")


@pytest.mark.parametrize(
    ("said", "example", "prediction"),
    [
        (" yes\nInput: more", "no", "yes"),
        (" two\nlines", "one\ntwo", "two\nlines"),
        ("\n\nlate", "no", ""),
        ("  spaced  ", "no", "spaced"),
        ("", "no", ""),
    ],
)
def test_an_answer_ends_at_a_newline_unless_an_example_holds_one(backbone, said, example, prediction) -> None:
    prompt = Prompt((Segment("input", "x"),))
    decoder, _ = choose(backbone, _Parrot(backbone, said), Untuned(), Encoder(backbone, 64, 32))
    assert decoder.answer([Prompted(card(example), prompt, "g")])[0].prediction == prediction


@pytest.mark.parametrize("decoding", ["fast", "batched", "generate"])
def test_a_stop_of_the_formats_own_ends_an_answer_by_every_path(backbone, make_trainer, shake, tasks, decoding) -> None:
    trainer = shake(make_trainer(Lora))
    read_by = replace(trainer.backbone, paths=replace(trainer.backbone.paths, decoding=decoding))
    decoder, _ = choose(read_by, trainer.model, trainer.method, Encoder(read_by, 512, 12))
    whole = [replace(one, stop="") for one in questions(tasks, each=2)]
    texts = [reply.prediction for reply in decoder.answer(whole)]
    counts = Counter(letter for text in texts for letter in set(text[1:]))
    stop = next(letter for letter, _ in counts.most_common() if letter.isascii() and letter.isprintable())
    lengths = [len(ids) for ids in decoder.token_ids([replace(one, stop=stop) for one in whole])]
    cut = [reply.prediction for reply in decoder.answer([replace(one, stop=stop) for one in whole])]
    assert cut == [text.split(stop)[0].strip() for text in texts]
    assert cut != texts
    assert min(lengths) < 12  # not read to the end and cut afterwards


@pytest.mark.parametrize(
    ("said", "stop", "prediction"),
    [(" a\nb END c", "END", "a\nb"), ("a\nb", "\n", "a"), ("a\nb", "", "a\nb"), ("END", "END", "")],
)
def test_a_stop_of_the_formats_own_holds_whatever_the_examples(backbone, said, stop, prediction) -> None:
    for example in ("no", "one\ntwo"):
        prompt = Prompt((Segment("input", "x"),))
        decoder, _ = choose(backbone, _Parrot(backbone, said), Untuned(), Encoder(backbone, 64, 32))
        assert decoder.answer([Prompted(card(example), prompt, "g", stop)])[0].prediction == prediction


def test_an_answer_has_at_most_so_many_tokens(backbone) -> None:
    prompt = Prompt((Segment("input", "x"),))
    decoder, _ = choose(backbone, _Parrot(backbone, "abcdefgh"), Untuned(), Encoder(backbone, 64, 3))
    assert decoder.answer([Prompted(card("y"), prompt, "g")])[0].prediction == "abc"


def test_a_prompt_that_does_not_fit_is_marked_and_not_answered(backbone) -> None:
    long, short = (Prompt((Segment("input", "x" * length),)) for length in (100, 5))
    decoder, _ = choose(backbone, backbone.model, Untuned(), Encoder(backbone, 50, 5))
    first, second = decoder.answer([Prompted(card("y"), prompt, "g") for prompt in (long, short)])
    assert first.too_long
    assert first.prediction == ""
    assert not second.too_long
