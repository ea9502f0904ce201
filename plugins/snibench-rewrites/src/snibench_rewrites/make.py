"""Rewrite the definitions of a suite with a chat model, by greedy decoding.

    python -m snibench_rewrites.make --model SmolLM2-135M-Instruct.Q4_1.gguf -o mini.json
    python -m snibench_rewrites.make --model FOLDER --suite sni --data FOLDER -o sni.json

Needs snibench[train]. The file is complete: what was asked, what came back, and why an answer is not used.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import torch

from snibench.api import SUITES, SuiteData, SuiteRequest, find_model, load_backbone, write_whole
from snibench_rewrites.rewriting import Rewrite, as_json, definition_digest, fault, one_line, request

LONGEST = 128  # tokens of a rewrite
_AT_ONCE = 32


def rewritten(suite: SuiteData, tokenizer: Any, model: Any, name: str) -> Iterator[Rewrite]:
    """A rewrite for every task of ``suite``, as ``model`` gives it, good or bad."""
    cards = sorted((task.card for task in suite.tasks.values()), key=lambda card: len(card.definition))
    for start in range(0, len(cards), _AT_ONCE):
        part = cards[start : start + _AT_ONCE]
        prompts = [request(card) for card in part]
        for card, prompt, (output, finished) in zip(part, prompts, _replies(prompts, tokenizer, model), strict=True):
            why = fault(card, suite.evaluation.get(card.name, ()), prompt, output, finished=finished)
            yield Rewrite(card.name, definition_digest(card), name, prompt, one_line(output), why)


@torch.no_grad()
def _replies(prompts: Sequence[str], tokenizer: Any, model: Any) -> Iterator[tuple[str, bool]]:
    """The model's answer, and whether it ended by itself."""
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        for prompt in prompts
    ]
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    encoded = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    ids = model.generate(
        **encoded,
        do_sample=False,
        num_beams=1,
        max_new_tokens=LONGEST,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    for row in ids[:, encoded["input_ids"].shape[1] :].tolist():
        yield tokenizer.decode(row, skip_special_tokens=True).strip(), tokenizer.eos_token_id in row


def main() -> None:
    """Make the file, and print how many rewrites are used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="a chat model: folder, .gguf file or hub id")
    parser.add_argument("--suite", default="mini")
    parser.add_argument("--data", default=None, help="folder of tasks in the official layout, for suite sni")
    parser.add_argument("--split", default=None)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    suite = SUITES.get(asked.suite)().load(SuiteRequest(asked.suite, data=asked.data, split=asked.split, partial=True))
    source = find_model(asked.model)
    backbone = load_backbone(source, device="cpu", precision=asked.precision)
    name = f"{Path(asked.model).name}, weights {source.ref.digest[:12]}, {asked.precision}"
    made = list(rewritten(suite, backbone.tokenizer, backbone.model, name))
    write_whole(asked.output, lambda new: new.write_text(as_json(made), encoding="utf-8"))
    click.echo(f"{sum(not one.fault for one in made)} of {len(made)} rewrites are used.")


if __name__ == "__main__":
    main()
