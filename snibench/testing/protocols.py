"""Whether a protocol keeps its contract. Needs no torch."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from snibench import metrics
from snibench.base.codec import from_json, to_json
from snibench.base.errors import SnibenchError
from snibench.base.registry import FORMATS, SUITES
from snibench.base.types import Ask, Column, Frame, Question, SuiteData, SuiteRequest
from snibench.contracts import Protocol
from snibench.protocols.panel import QUESTION
from snibench.testing.expectations import expect

_METHODS = {"first": 2, "second": 2}  # label -> seeds
_FRACTIONS = ("percent", "points", "difference")


def check_protocol(protocol_type: type[Protocol], settings: Any = None, *, suite: SuiteData | None = None) -> None:
    """Check that ``protocol_type`` keeps its contract under ``settings``.

    Checked: settings survive the manifest; the same plan again, without the global generator; questions are about
    evaluated instances of the suite's tasks in installed formats, none is asked twice of a fit, and ``limit`` bounds
    them; fits are tuned on seen tasks; made-up answers are measured, whatever the order of the rows; every described
    frame has its columns, keys that name a row, fractions in place of percents, and intervals around their value; a
    column of fractions names its ``n``, so that a leaderboard takes it; with a verdict, what is compared is a fraction
    for each answer, the same in any order, and pairs the answers of two fits.

    Args:
        protocol_type: The class that is registered.
        settings: As the protocol's; its ``quick`` ones by default.
        suite: What it is asked about; by default 12 tasks of the embedded suite.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    name = protocol_type.__name__
    expect(issubclass(protocol_type, Protocol), f"{name} is not derived from snibench.api.Protocol")
    version = getattr(protocol_type, "version", None)
    expect(isinstance(version, int), f"{name}.version must be a whole number, but is {version!r}")
    settings = protocol_type.quick if settings is None else settings
    _check_settings(protocol_type, name, settings)
    if suite is None:
        suite = SUITES.get("mini")().load(SuiteRequest("mini", tasks=8))
    asks = _plan(protocol_type(settings), name, suite)
    _check_asks(asks, name, suite)
    _check_limit(protocol_type(settings), name, suite, asks)
    _check_measures(protocol_type(settings), name, _answers(asks, suite), _tasks(suite))


def _check_settings(protocol_type: type[Protocol], name: str, settings: Any) -> None:
    for values in (settings, protocol_type.Settings()):
        expect(isinstance(values, protocol_type.Settings), f"{name}.quick must be of {name}.Settings")
        again: Any
        try:
            again = from_json(protocol_type.Settings, to_json(values), Path("manifest.json"), remedy="")
        except (SnibenchError, TypeError) as error:
            again = error
        expect(again == values, f"{name} has settings {values} that do not survive the manifest: {again}")


def _plan(protocol: Protocol, name: str, suite: SuiteData) -> list[Ask]:
    before = random.getstate()
    protocol.check()
    asks, again = (list(protocol.plan(suite, None)) for _ in range(2))
    expect(random.getstate() == before, f"{name}.plan draws from Python's global generator; seed a random.Random")
    expect(asks == again, f"{name}.plan asks otherwise the second time")
    expect(any(ask.questions for ask in asks), f"{name}.plan asks nothing")
    notes = protocol.notes(suite)
    expect(not isinstance(notes, str), f"{name}.notes must return sentences, not one text")
    return asks


def _check_asks(asks: Sequence[Ask], name: str, suite: SuiteData) -> None:
    for ask in asks:
        strange = set(ask.mixture.tasks) - set(suite.seen)
        expect(not strange, f"{name} tunes on '{min(strange, default='')}', which is not a seen task")
        for question in ask.questions:
            _check_question(question, ask, name, suite)
        twice = [one for one, count in Counter(ask.questions).items() if count > 1]
        expect(not twice, f"{name} asks the same question twice of one fit: {twice[:1]}")


def _check_question(question: Question, ask: Ask, name: str, suite: SuiteData) -> None:
    expect(question.task in suite.tasks, f"{name} asks about the unknown task '{question.task}'")
    asked = {one.id for one in suite.evaluation[question.task]}
    expect(
        question.instance in asked,
        f"{name} asks about {question.instance} of '{question.task}', which is not among the evaluated instances",
    )
    known = ".py:" in question.format or question.format in FORMATS.names()
    expect(known, f"{name} asks in the format '{question.format}', which is not installed")
    seen = question.task in ask.mixture.tasks
    expect(
        question.seen == seen, f"{name} says seen={question.seen} of '{question.task}', which the fit's mixture denies"
    )
    split = "held_out" if question.seen else "unseen"
    expect(question.split == split, f"{name} puts '{question.task}' into the split '{question.split}', not '{split}'")
    try:
        variant = json.loads(question.variant)
    except ValueError:
        variant = None
    expect(isinstance(variant, dict), f"{name} has the variant {question.variant!r}, which is not a JSON object")
    for turn in question.history:
        context = {one.id for one in suite.context.get(turn.task, ())}
        expect(turn.instance in context, f"{name} shows {turn.instance} of '{turn.task}' which is no context")


def _check_limit(protocol: Protocol, name: str, suite: SuiteData, asks: Sequence[Ask]) -> None:
    limited = list(protocol.plan(suite, 1))
    for ask in limited:
        counts = Counter((one.task, one.format, one.variant) for one in ask.questions)
        expect(max(counts.values(), default=0) <= 1, f"{name} asks more than ``limit`` questions of a task and format")
    expect(
        sum(len(ask.questions) for ask in limited) <= sum(len(ask.questions) for ask in asks),
        f"{name} asks more questions under a limit than without",
    )


# ------------------------------------------------------------------------------------ measures


def _tasks(suite: SuiteData) -> pd.DataFrame:
    return pd.DataFrame(
        {
            **{"task": name, "category": task.card.category, "domains": list(task.card.domains)},
            **{"sources": list(task.card.sources), "labels": task.card.labels, "metric": task.card.metric},
            "chance": metrics.chance(task.card, suite.evaluation[name]),
            "majority": metrics.majority(suite.evaluation[name]),
            "seen": name in suite.seen,
        }
        for name, task in suite.tasks.items()
    )


def _answers(asks: Sequence[Ask], suite: SuiteData) -> pd.DataFrame:
    """Made-up answers as the store has them, right with a chance that depends on the method."""
    questions = pd.DataFrame([asdict(question) for ask in asks for question in ask.questions]).drop(columns="history")
    outputs = {(task, one.id): one.outputs for task in suite.tasks for one in suite.evaluation[task]}
    rng = np.random.default_rng(0)
    parts = []
    for place, (method, seeds) in enumerate(_METHODS.items()):
        for seed in range(seeds):
            right = (rng.random(len(questions)) < 0.4 + 0.3 * place).astype(float)
            targets = [list(outputs[key]) for key in zip(questions["task"], questions["instance"], strict=True)]
            said = [one[0] if hit else "" for one, hit in zip(targets, right, strict=True)]
            scores = dict.fromkeys(("exact_match", "rouge_l", "score"), right)
            columns: dict[str, Any] = {
                **{"fit": f"{method}{seed}", "method": method, "seed": seed, "train_format": "", "floor": False},
                **{"prompt_sha": "", "prediction": said, "targets": targets, "prompt_tokens": 9, "truncated": False},
            }
            parts.append(questions.assign(**columns, **scores))
    return pd.concat(parts, ignore_index=True)


def _check_measures(protocol: Protocol, name: str, answers: pd.DataFrame, tasks: pd.DataFrame) -> None:
    frames = protocol.measure(answers, tasks)
    by_name = isinstance(frames, Mapping) and all(isinstance(frame, pd.DataFrame) for frame in frames.values())
    expect(by_name, f"{name}.measure must return data frames by name")
    shuffled = protocol.measure(answers.sample(frac=1, random_state=1), tasks)
    for frame_name, frame in frames.items():
        other = shuffled.get(frame_name, frame.head(0))
        numbers = [sorted(map(_rounded, one.to_dict("records"))) for one in (frame, other)]
        expect(numbers[0] == numbers[1], f"{name}.{frame_name} depends on the order of the rows")
    described = {
        frame_name: layout for frame_name, layout in protocol.frames.items() if len(frames.get(frame_name, ()))
    }
    expect(described, f"{name}.frames describes none of the frames that it measured: {', '.join(frames)}")
    for frame_name, layout in described.items():
        _check_frame(f"{name}.{frame_name}", frames[frame_name], layout)
    counted = [
        column for layout in described.values() for column in layout.columns if column.unit in _FRACTIONS and column.n
    ]
    expect(counted, f"{name} has no column of fractions that names its n: a leaderboard has nothing of it")
    _check_compared(protocol, name, answers)


def _check_compared(protocol: Protocol, name: str, answers: pd.DataFrame) -> None:
    if not protocol.verdict_on:
        return
    values = protocol.compared(answers)
    aligned = isinstance(values, pd.Series) and values.index.equals(answers.index)
    expect(aligned, f"{name}.compared must give a value for each answer, as a Series with their index")
    numbers = values.to_numpy(np.float64)
    fractions = ((numbers >= 0) & (numbers <= 1)) | np.isnan(numbers)
    expect(fractions.all(), f"{name}.compared must give fractions in [0, 1], or NaN for what does not count")
    expect(not np.isnan(numbers).all(), f"{name}.compared counts no answer")
    shuffled = answers.sample(frac=1, random_state=1)
    same = protocol.compared(shuffled).reindex(answers.index).equals(values)
    expect(same, f"{name}.compared depends on the order of the rows")
    counted = answers[~np.isnan(numbers)]
    twice = counted.duplicated(["method", "seed", *QUESTION])
    expect(not twice.any(), f"{name} compares several answers of one fit to one question: name each by its variant")


def _rounded(row: Mapping[Any, Any]) -> str:
    """A row as text, blind to the last digits, which the order of a sum decides."""
    return repr({str(key): f"{value:.9g}" if isinstance(value, float) else str(value) for key, value in row.items()})


def _check_frame(name: str, frame: pd.DataFrame, layout: Frame) -> None:
    expect(layout.title, f"{name} has no title")
    keys = [key.field for key in layout.keys]
    absent = [key for key in keys if key not in frame]
    expect(not absent, f"{name} is described by the keys {absent}, which it has not")
    twice = frame.duplicated(keys).any() if keys else len(frame) > 1
    expect(not twice, f"{name} has several rows for one value of its keys {keys}")
    expect(not layout.across or layout.across in keys, f"{name} is laid out across '{layout.across}', which is no key")
    shown = [column for column in layout.columns if column.field in frame]
    expect(shown, f"{name} has none of the columns that describe it")
    for column in shown:
        _check_column(name, frame, column)
    fields = {column.field for column in layout.columns}
    strange = set(layout.summary) - fields
    expect(not strange, f"{name} puts {sorted(strange)} into the summary, which are none of its columns")
    known = not layout.headline or layout.headline in layout.summary
    expect(known, f"{name} has the headline '{layout.headline}', which is not in its summary")
    alone = not layout.summary or [key.field for key in layout.keys if not key.about] == ["method"]
    expect(alone, f"{name} is in the summary, so it needs one row per method, and 'method' as its only key")


def _check_column(name: str, frame: pd.DataFrame, column: Column) -> None:
    lost = [field for field in column.fields if field not in frame]
    expect(not lost, f"{name}.{column.field} needs the columns {lost}, which are not there")
    if column.unit not in _FRACTIONS:
        return
    values = frame[column.field].to_numpy(np.float64)
    percents = np.nanmax(np.abs(values), initial=0.0) > 2.0
    expect(not percents, f"{name}.{column.field} must hold fractions, not percents")
    if column.low and column.high:
        low, high = (frame[end].to_numpy(np.float64) for end in (column.low, column.high))
        around = np.isnan(low) | np.isnan(values) | ((low <= values + 1e-9) & (values <= high + 1e-9))
        expect(around.all(), f"{name}.{column.field} lies outside of its interval")
    if column.n:
        counts = frame[column.n].to_numpy(np.float64)[~np.isnan(values)]
        expect((counts >= 1).all(), f"{name}.{column.n} must count the units behind {column.field}: at least 1")
