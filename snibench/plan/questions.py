"""Questions rendered as prompts, and the digests under which their answers are stored."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from snibench.base.errors import ModelError
from snibench.base.hashing import derive_seed, digest, file_digest
from snibench.base.registry import FORMATS
from snibench.base.types import Instance, Prompt, Question, SuiteData, TaskCard
from snibench.contracts import Format, usual_stop
from snibench.formats.base import with_history, with_shots
from snibench.models.find import ModelSource


@dataclass(frozen=True, slots=True)
class Rendered:
    """A question as it is asked: its prompt and what identifies it among all prompts of a task."""

    question: Question
    prompt: Prompt
    prompt_sha: str
    targets: tuple[str, ...]
    stop: str | None = None  # the text that ends an answer, where the format has one of its own

    def ends_at(self, card: TaskCard) -> str:
        """The text that ends an answer, the usual one of its task among them; empty for none."""
        return usual_stop(card) if self.stop is None else self.stop


@dataclass(frozen=True)
class QuestionSet:
    """All questions of one protocol for one fit. ``digest`` covers protocol version, order, prompts and ``ranked``.

    ``ranked``: the labels of closed tasks are ranked, too.
    """

    protocol: str
    version: int
    digest: str
    rendered: tuple[Rendered, ...]
    ranked: bool = False


class QuestionRenderer:
    """Renders questions for one suite and tokenizer; without a ``source`` no format that asks for a tokenizer."""

    def __init__(self, suite: SuiteData, source: ModelSource | None) -> None:
        self._suite = suite
        self._source = source
        self._formats: dict[str, Format] = {}
        self._instances: dict[str, dict[str, Instance]] = {}
        self._rendered: dict[tuple[Question, int], Rendered] = {}

    def format(self, name: str, format: Format | None = None) -> Format:
        """The format called ``name``, bound to the model's tokenizer where it asks for one.

        Raises:
            ModelError: If it asks for one and there is no model.
        """
        if name not in self._formats:
            format = format or FORMATS.get(name)()
            if type(format).bind is not Format.bind:
                if self._source is None:
                    raise ModelError(f"The format '{name}' needs the tokenizer of a model.")
                from transformers import AutoTokenizer

                format = format.bind(AutoTokenizer.from_pretrained(self._source.folder))
            self._formats[name] = format
        return self._formats[name]

    def notes(self) -> list[str]:
        """Notes where the formats used so far show other text than they promise."""
        cards = [task.card for task in self._suite.tasks.values()]
        return [note for format in self._formats.values() for note in format.notes(cards)]

    def instance(self, task: str, id: str) -> Instance:
        """One instance of the suite by its id."""
        if task not in self._instances:
            known = [*self._suite.context.get(task, ()), *self._suite.evaluation.get(task, ())]
            self._instances[task] = {one.id: one for one in known}
        return self._instances[task][id]

    def question_set(
        self, protocol: str, version: int, questions: Sequence[Question], shots: int, *, ranked: bool
    ) -> QuestionSet:
        """``questions`` rendered, with the digest under which their answers are stored."""
        rendered = tuple(self.rendered(question, shots) for question in questions)
        identity = [
            [one.question.task, one.question.instance, one.question.variant, one.question.stream,
             one.question.position, one.prompt_sha]
            for one in rendered
        ]  # fmt: skip
        # Only what differs from the usual way is named, so that digests of all other formats stay.
        reading = self._readings({question.format for question in questions})
        whole = [protocol, version, identity, *(["labels ranked"] if ranked else []), *([reading] if reading else [])]
        return QuestionSet(protocol, version, digest(whole)[:16], rendered, ranked)

    def _readings(self, names: Collection[str]) -> list[list[str]]:
        """Name and code of each format that reads answers in its own way."""
        readers = []
        for name in sorted(names):
            owner = next(owner for owner in type(self.format(name)).__mro__ if "read" in vars(owner))
            if owner is not Format:
                readers.append([name, owner.__qualname__, file_digest(Path(inspect.getfile(owner)))])
        return readers

    def rendered(self, question: Question, shots: int) -> Rendered:
        """``question`` as it is asked, with the first ``shots`` positive examples of its task before the input."""
        if (question, shots) not in self._rendered:
            self._rendered[question, shots] = self._as_asked(question, shots)
        return self._rendered[question, shots]

    def _as_asked(self, question: Question, shots: int) -> Rendered:
        card = self._suite.tasks[question.task].card
        instance = self.instance(question.task, question.instance)
        # The same bytes for every method and training seed: the prompt's randomness depends on the question alone.
        rng = Random(derive_seed("prompt", question.task, question.instance))
        format = self.format(question.format)
        prompt = format.render(card, instance.input, rng)
        if shots:
            prompt = with_shots(prompt, format, card, instance.input, shots)
        turns = [self.instance(turn.task, turn.instance) for turn in question.history]
        if turns:
            prompt = with_history(prompt, [f"Input: {one.input}\nOutput: {one.outputs[0]}\n\n" for one in turns])
        stop = format.stop(card) if type(format).stop is not Format.stop else None
        # One prompt under two ways to stop has two answers.
        ending = "" if stop is None else f"\0{stop}"
        sha = hashlib.sha256(f"{question.task}\0{prompt.text}{ending}".encode()).hexdigest()
        return Rendered(question, prompt, sha, instance.outputs, stop)
