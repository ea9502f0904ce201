"""Answers of a fit: prompts asked once, replies stored as they come, scored rows for each protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from snibench import metrics
from snibench.base.errors import PluginError
from snibench.base.registry import FORMATS
from snibench.base.types import Answer, FitSpec, PromptKey, Reply, SuiteData
from snibench.contracts import Floor, Format, Recorded, until
from snibench.engine.decoding import Prompted, choose
from snibench.engine.tokens import Encoder
from snibench.fits.context import FitContext
from snibench.plan.questions import QuestionSet, Rendered
from snibench.store import Store

# Predictions in one stored part: the most that are lost when the machine goes down.
_ROWS_AT_ONCE = 256
# Answers between two reports of progress.
_ROWS_AT_A_TIME = 16


def unanswered(
    sets: Sequence[QuestionSet], replies: Mapping[PromptKey, Reply], suite: SuiteData
) -> Mapping[PromptKey, Rendered]:
    """Prompts of ``sets`` that were never answered, or without the ranking that is wanted now; each once."""
    ranking = any(questions.ranked for questions in sets)

    def lacking(rendered: Rendered) -> bool:
        if (reply := replies.get(_key(rendered))) is None:
            return True
        closed = suite.tasks[rendered.question.task].card.labels is not None
        return ranking and closed and not reply.too_long and reply.ranked is None

    return {_key(rendered): rendered for questions in sets for rendered in questions.rendered if lacking(rendered)}


def ask(
    context: FitContext, prompts: Mapping[PromptKey, Rendered], store: Store, *, rank_labels: bool
) -> tuple[dict[PromptKey, Reply], Sequence[str]]:
    """Replies to ``prompts``, each part of them stored as it comes; and notes for the record."""
    spec, todo = context.spec, list(prompts.values())
    context.progress.on_stage("answering")
    replies: dict[PromptKey, Reply] = {}
    pending: dict[PromptKey, Reply] = {}

    def flush() -> None:
        if pending:
            store.add_replies(spec.id, pending)
            replies.update(pending)
            pending.clear()

    prompted = [
        Prompted(context.suite.tasks[rendered.question.task].card, rendered.prompt, _group(rendered), rendered.stop)
        for rendered in todo
    ]
    encoder = Encoder(context.backbone, spec.recipe.max_input, spec.recipe.max_output)
    note = ""
    if prompted:
        decoder, note = choose(
            context.backbone, context.model, context.method, encoder, batch_size=context.runtime.batch_size
        )
        for done, (index, reply) in enumerate(decoder.replies(prompted, rank_labels=rank_labels), start=1):
            pending[_key(todo[index])] = reply
            if len(pending) >= _ROWS_AT_ONCE:
                flush()
            if done % _ROWS_AT_A_TIME == 0 or done == len(todo):
                context.progress.on_answers(done, len(todo))
        flush()
    return replies, [note] if note else []


def write_rows(
    fit: str, sets: Sequence[QuestionSet], replies: Mapping[PromptKey, Reply], suite: SuiteData, store: Store
) -> None:
    """Write each protocol's scored rows, from the replies to its prompts."""
    reader = _Reader()
    for questions in sets:
        answers = [
            _scored(fit, rendered, reader.read(rendered.question.format, replies[_key(rendered)]), suite)
            for rendered in questions.rendered
        ]
        further = _ranked(questions, replies) if questions.ranked else None
        store.write_answers(fit, questions.protocol, questions.digest, answers, further)


class _Reader:
    """Reads answers as their formats do, each format loaded once."""

    def __init__(self) -> None:
        self._formats: dict[str, Format] = {}

    def read(self, name: str, reply: Reply) -> Reply:
        """``reply`` with the answer that the format called ``name`` reads; what was never asked stays empty.

        Raises:
            PluginError: If it returns anything but a text.
        """
        if name not in self._formats:
            self._formats[name] = FORMATS.get(name)()
        format = self._formats[name]
        if reply.too_long or type(format).read is Format.read:
            return reply
        answer: Any = format.read(reply.prediction)
        if not isinstance(answer, str):
            raise PluginError(
                f"{type(format).__name__}.read must return the answer as a text, but returned {answer!r}. "
                "snibench.testing.check_format shows where."
            )
        return replace(reply, prediction=answer)


def answer_by_floor(spec: FitSpec, floor: Floor, sets: Sequence[QuestionSet], suite: SuiteData, store: Store) -> None:
    """Write the answers of a floor, which needs no model."""
    inputs = {(task, instance.id): instance.input for task, pool in suite.evaluation.items() for instance in pool}
    for questions in sets:
        answers = []
        for rendered in questions.rendered:
            question = rendered.question
            card, pool = suite.tasks[question.task].card, suite.evaluation[question.task]
            prediction = floor.answer(card, inputs[question.task, question.instance], pool)
            reply = Reply(prediction, prompt_tokens=0, truncated=False, too_long=False)
            answers.append(_scored(spec.id, rendered, reply, suite))
        store.write_answers(spec.id, questions.protocol, questions.digest, answers)


def answer_by_record(
    spec: FitSpec, method: Recorded, sets: Sequence[QuestionSet], suite: SuiteData, store: Store
) -> None:
    """Write answers that were given outside of snibench, read and scored like its own."""
    texts = method.answers({rendered.prompt_sha: rendered for questions in sets for rendered in questions.rendered})
    reader = _Reader()
    for questions in sets:
        answers = []
        for rendered in questions.rendered:
            stop = rendered.ends_at(suite.tasks[rendered.question.task].card)
            reply = Reply(until(stop, texts[rendered.prompt_sha]), prompt_tokens=0, truncated=False, too_long=False)
            answers.append(_scored(spec.id, rendered, reader.read(rendered.question.format, reply), suite))
        store.write_answers(spec.id, questions.protocol, questions.digest, answers)


def _ranked(questions: QuestionSet, replies: Mapping[PromptKey, Reply]) -> dict[str, list[Any]]:
    """Columns: the likeliest label of every question, and its exact match; missing where there are no labels."""
    likeliest = [(rendered, replies[_key(rendered)].ranked) for rendered in questions.rendered]
    return {
        "ranked": [label for _, label in likeliest],
        "ranked_exact_match": [
            metrics.exact_match(label, rendered.targets) if label is not None else float("nan")
            for rendered, label in likeliest
        ],
    }


def _key(rendered: Rendered) -> PromptKey:
    return rendered.question.task, rendered.prompt_sha


def _group(rendered: Rendered) -> str:
    """Prompts that start alike: one task in one format, without history."""
    question = rendered.question
    return "with history" if question.history else f"{question.task}|{question.format}"


def _scored(fit: str, rendered: Rendered, reply: Reply, suite: SuiteData) -> Answer:
    question, prediction = rendered.question, reply.prediction
    return Answer(
        fit=fit,
        protocol=question.protocol,
        variant=question.variant,
        format=question.format,
        task=question.task,
        split=question.split,
        seen=question.seen,
        instance=question.instance,
        stream=question.stream,
        position=question.position,
        side=question.side,
        prompt_sha=rendered.prompt_sha,
        prediction=prediction,
        targets=rendered.targets,
        exact_match=metrics.exact_match(prediction, rendered.targets),
        rouge_l=metrics.rouge_l(prediction, rendered.targets),
        score=metrics.metric(suite.tasks[question.task].card.metric).score(prediction, rendered.targets),
        prompt_tokens=reply.prompt_tokens,
        truncated=reply.truncated or reply.too_long,
    )
