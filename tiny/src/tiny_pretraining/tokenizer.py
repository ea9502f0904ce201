"""The tokenizer of model ``tiny``: one token per frequent word of its pre-training text."""

from __future__ import annotations

import math
import re
from collections import Counter
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

from tiny_pretraining.corpus import row
from tiny_pretraining.wording import SYLLABLES, Row

EOS, GLUE = "<eos>", "\ue000"
EOS_ID, PAD_ID = 0, 2
WORDS = 2300
SUFFIXES = tuple("ed es th ou an en on or ar ic ive able ful ness ist ity ous ate".split())  # noqa: SIM905 (a word list)
WORD = re.compile(r" ?[^\W\d_]+| ?\d| ?[^\w\s]+|_|\n+|\s+")


def text_of(row: Row) -> str:
    """A row as one text."""
    return row.prefix + "\n\n".join("".join(text for text, _ in branch) for branch in row.branches)


def glued(text: str) -> str:
    """``text`` with a mark and a blank before each word that no blank precedes; a word is one token anywhere."""
    return re.sub(r"(?<! )(?<![^\W\d_])(?=[^\W\d_])", GLUE + " ", text)


def build_tokenizer(rows: int = 20_000) -> PreTrainedTokenizerFast:
    """One token per frequent word of the pre-training text; other words fall back to pieces, letters, bytes.

    A quoted label and the same label as an answer share a token: a word always carries its blank, and a mark
    tells where the blank is not there. Decoding returns the text exactly, but for the private-use mark itself.
    """
    rng = Random("tiny tokenizer")
    counts: Counter[str] = Counter()
    for number in range(rows):
        counts.update(WORD.findall(glued(text_of(row(rng, bool(number % 2))))))
    frequent = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:WORDS]]
    total = sum(counts.values())
    letters = [chr(c) for c in range(33, 127)]
    vocabulary: dict[str, float] = {EOS: 0.0, "<unk>": 0.0, "<pad>": 0.0}
    vocabulary |= {f"<0x{byte:02X}>": -20.0 for byte in range(256)}
    vocabulary |= {word: math.log(counts[word] / total) for word in frequent}
    for piece in (GLUE, "\n", "\n\n", " ", *letters, *(" " + mark for mark in letters if not mark.isalnum())):
        vocabulary.setdefault(piece, -14.0)
    for piece in sorted({*SYLLABLES, *SUFFIXES}):
        vocabulary.setdefault(piece, -14.0)
    tokenizer = Tokenizer(Unigram(list(vocabulary.items()), unk_id=1, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(Regex(r"(?<![ \p{L}])(?=\p{L})"), GLUE + " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(rf"{GLUE}| ?\p{{L}}+| ?\p{{N}}| ?[^\s\p{{L}}\p{{N}}{GLUE}]+|\n+|\s+"), "isolated"
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Replace(GLUE + " ", "")])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (EOS, "<unk>", "<pad>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        pad_token="<pad>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
