"""Prompts and answers against the room that ``--max-input`` and the model's positions give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from snibench.base.errors import DataError, MissingExtra, ModelError, first_line
from snibench.base.hashing import derive_seed
from snibench.base.types import Instance, ModelInfo, Prompt, Recipe, SuiteData, TaskCard
from snibench.contracts import Format
from snibench.models.find import ModelSource

CountTokens = Callable[[Sequence[str]], Sequence[int]]


def check_positions(info: ModelInfo, recipe: Recipe) -> None:
    """See that a model with a learned vector for each position has one for each token of prompt and answer.

    Raises:
        ModelError: If it has not; says how long prompts may be.
    """
    limit = info.learned_positions
    if limit is None:
        return
    answer = 0 if info.encoder_decoder else recipe.max_output  # which an encoder-decoder counts from its own start
    if recipe.max_input + answer <= limit and recipe.max_output < limit:
        return
    most = limit - answer
    advice = f"Set --max-input {most} or less." if most >= 16 and recipe.max_output < limit else "Lower --max-output."
    raise ModelError(
        f"A {info.architecture} has vectors for {limit:,} positions, too few for prompts of --max-input "
        f"{recipe.max_input} tokens and answers of --max-output {recipe.max_output}. {advice}"
    )


def without_long_prompts(
    suite: SuiteData, format: Format, limit: int, count: CountTokens
) -> tuple[SuiteData, tuple[str, ...]]:
    """``suite`` without the training and probe instances whose prompts are too long, and a note that counts them.

    Too long: more than ``limit`` tokens even without demonstrations, which truncation drops first, as in evaluation.
    Probe instances of a task stay where all of them are too long.

    Raises:
        DataError: If none of a task's training prompts is short enough.
    """
    dropped = 0
    training: dict[str, tuple[Instance, ...]] = {}
    probe = dict(suite.probe)
    for task, instances in suite.training.items():
        card = suite.tasks[task].card
        training[task] = _short_enough(card, instances, format, limit, count)
        dropped += len(instances) - len(training[task])
        if instances and not training[task]:
            raise DataError(
                f"No training prompt of '{task}' fits into --max-input {limit} tokens. Raise it, or leave the task out."
            )
        probe[task] = _short_enough(card, suite.probe[task], format, limit, count) or suite.probe[task]
    if not dropped:
        return suite, ()
    total = sum(map(len, suite.training.values()))
    note = f"{dropped:,} of {total:,} training prompts are longer than --max-input {limit} tokens and are left out."
    return replace(suite, training=training, probe=probe), (note,)


def _short_enough(
    card: TaskCard, instances: Sequence[Instance], format: Format, limit: int, count: CountTokens
) -> tuple[Instance, ...]:
    # The seed of training is left out, so that all fits are tuned on the same instances.
    prompts = [format.render(card, one.input, Random(derive_seed("length", card.name, one.id))) for one in instances]
    texts = [_shortest(prompt) for prompt in prompts]
    # A token is at least a byte: most prompts need no tokenizer.
    doubtful = [place for place, text in enumerate(texts) if len(text.encode()) + 2 > limit]
    sizes: Mapping[int, int] = dict(zip(doubtful, count([texts[place] for place in doubtful]), strict=True))
    return tuple(one for place, one in enumerate(instances) if sizes.get(place, 0) <= limit)


def _shortest(prompt: Prompt) -> str:
    """A prompt without its demonstrations."""
    return "".join(segment.text for segment in prompt.segments if segment.role not in {"example", "history"})


class TokenCounter:
    """Counts a model's tokens of texts; its tokenizer is loaded when the first text comes."""

    def __init__(self, source: ModelSource, *, trust_remote_code: bool = False) -> None:
        self._source, self._trust = source, trust_remote_code
        self._tokenizer: Callable[..., Mapping[str, Sequence[Sequence[int]]]] | None = None

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, those that begin and end a sequence among them.

        Raises:
            ModelError: If the tokenizer cannot be loaded.
        """
        if not texts:
            return []
        if self._tokenizer is None:
            try:
                from transformers import AutoTokenizer
            except ImportError as error:
                raise MissingExtra("Counting the tokens of long prompts", "train") from error
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(self._source.folder, trust_remote_code=self._trust)
            except Exception as error:  # a tokenizer may be wrong in any way
                raise ModelError(
                    f"The tokenizer in '{self._source.folder}' cannot be loaded ({first_line(error)})"
                ) from error
        return [len(ids) for ids in self._tokenizer(list(texts))["input_ids"]]
