"""Answers by a model's own ``generate``: encoder-decoders, and causal models that padding would change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from snibench.engine.backbone import base_of
from snibench.engine.batching import padded, sent
from snibench.engine.decoding.decoder import Completion, Decoder, Tokens
from snibench.engine.decoding.greedy import check_finite, likeliest
from snibench.engine.decoding.reference import batches_by_group


class GenerateDecoder(Decoder):
    """Greedy decoding by the model's own ``generate``.

    Rows of an encoder-decoder are padded. Where the model's paths say ``generate``, rows of equal length are together
    and none is padded, so that nothing leaks into what a model remembers of its past.
    """

    def complete(self, prompts: Sequence[Tokens]) -> Iterator[tuple[int, Completion]]:
        """Completions in batches of one group and similar length."""
        pads = self.backbone.paths.decoding != "generate"
        for batch in batches_by_group(self, prompts):
            alike: dict[int, list[int]] = {}
            for index in batch:
                alike.setdefault(0 if pads else len(prompts[index].ids), []).append(index)
            for members in alike.values():
                chosen = [prompts[index] for index in members]
                with self.routed(chosen):
                    answers = self._generated(chosen)
                for index, prompt, ids in zip(members, chosen, answers, strict=True):
                    yield index, Completion(tuple(ids), self.likeliest_label(prompt))

    def _generated(self, prompts: Sequence[Tokens]) -> list[list[int]]:
        device, ends = self.backbone.device, self.ends(prompts)
        ids = padded([prompt.ids for prompt in prompts], device, value=-1)
        start = 1 if self.backbone.encoder_decoder else ids.shape[1]  # an encoder-decoder's first is its start token
        finite: list[Tensor] = []

        def look(_: Tensor, logits: Tensor) -> Tensor:
            finite.append(likeliest(logits).amin())
            return logits

        def over(generated: Tensor, scores: Any, **_: Any) -> Tensor:
            rows = generated[:, start:].tolist()  # rows that have ended stay so, whatever is asked of them here
            return sent(torch.tensor([ends(number, row) for number, row in enumerate(rows)]), device)

        output: Tensor = base_of(self.model).generate(
            input_ids=ids.clamp(min=0),
            attention_mask=(ids >= 0).long(),
            max_new_tokens=self.encoder.max_output,
            do_sample=False,
            num_beams=1,
            logits_processor=[look],
            stopping_criteria=[over],
        )
        check_finite(torch.stack(finite).tolist())
        generated = output[:, start:].tolist()
        return [
            row[: next((count for count in range(1, len(row) + 1) if ends(number, row[:count])), len(row))]
            for number, row in enumerate(generated)
        ]
