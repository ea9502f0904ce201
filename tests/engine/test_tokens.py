"""Ids of prompts and answers: as the model's own tokenizer gives them for the whole text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from snibench.base.types import Prompt, Segment, TaskCard
from snibench.engine.decoding.label_ranking import labels_after
from snibench.engine.tokens import Encoder, last_word

TEXT = [
    "Definition: Say yes or no. Input: the red house Output: yes",
    "Answer:\n no way",
    "yes\nno\nthe house is green [INST] A: [/INST]",
    "s'il vous plaît, it's so: 3.5!",
]
TEMPLATE = "{{ bos_token }}[INST] {{ messages[0]['content'] }} [/INST]"


def tokenizer_of(scheme: str) -> Any:
    """A small tokenizer of bytes, or of SentencePiece's make: a blank before a text by ``prepend_scheme`` or, as in
    Llama-2's file, by a "legacy" normalizer."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    special = ["<s>", "</s>"]
    if scheme == "bytes":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        prepend = "always" if scheme == "legacy" else scheme
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
        made.decoder = decoders.Metaspace(prepend_scheme=prepend)
        alphabet = [*"abcdefghijklmnopqrstuvwxyz\n:?."]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    # Line by line: no token reaches over a line's end.
    made.train_from_iterator([line for text in TEXT * 20 for line in text.split("\n")], trainer)
    if scheme == "legacy":
        made.pre_tokenizer = None
        made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=TEMPLATE
    )


@pytest.fixture(params=["first", "always", "legacy", "bytes"])
def encoder(request, backbone) -> Encoder:
    return Encoder(replace(backbone, tokenizer=tokenizer_of(request.param)), 512, 32)


def prompt(text: str) -> Prompt:
    return Prompt((Segment("input", text),))


@pytest.mark.parametrize(
    "before", ["Input: the red house Output:", "is it so?\nAnswer:", "A: the house\n", "[INST] A: [/INST]"]
)
@pytest.mark.parametrize("answer", ["yes", "no way", "it's so: 3.5!", "3.5", "yes\nno", "plaît"])
def test_an_answer_has_the_ids_that_it_has_in_the_whole_text(encoder, before, answer) -> None:
    one = encoder.pairs([prompt(before)], [answer])[0]
    whole = before + (answer if before[-1].isspace() else f" {answer}")
    assert [*one.prompt_ids, *one.target_ids[:-1]] == encoder.tokenizer(whole).input_ids
    assert one.target_ids[-1] == encoder.tokenizer.eos_token_id


@pytest.mark.parametrize("before", ["Answer:", "Answer:\n", "Answer: "])
def test_no_answer_begins_with_a_lone_blank(encoder, before) -> None:
    first = encoder.pairs([prompt(before)], ["yes"])[0].target_ids[0]
    piece = encoder.tokenizer.convert_ids_to_tokens(first)
    assert piece.strip("\u2581\u0120"), "a blank alone"
    # The blank that a prompt ends in is not said again.
    assert piece.startswith(("\u2581", "\u0120")) == (before == "Answer:")


def test_ranked_labels_are_the_targets_of_training(encoder) -> None:
    card = TaskCard("t", "d", (), (), "c", (), (), ("no", "yes"), "exact_match")
    for before in ("Answer:", "Answer:\n"):
        labels = labels_after(prompt(before), card, encoder)
        assert labels is not None
        pairs = encoder.pairs([prompt(before)] * 2, ["no", "yes"])
        assert labels.ids == tuple(one.target_ids for one in pairs)


def test_a_chat_template_and_the_tokenizer_write_one_begin_of_sequence(encoder) -> None:
    tokenizer = encoder.tokenizer
    messages = [{"role": "user", "content": "the red house"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    ids = encoder.prompt_ids([text, "the red house"])
    assert ids[0] == tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert [one.count(tokenizer.bos_token_id) for one in ids] == [1, 1]
    assert ids[1] == tokenizer("the red house").input_ids


@pytest.mark.parametrize(
    ("text", "word"),
    [("one two:", "two:"), ("one two:\n", "two:\n"), ("one", "one"), ("", ""), (" \n", " \n"), ("a\n\nb \n ", "b \n ")],
)
def test_the_last_word_holds_the_white_space_behind_it(text, word) -> None:
    assert last_word(text) == word
