"""Questions that protocols ask, and the answers on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Turn:
    """A solved instance that stands before a question; ``instance`` is from ``SuiteData.context``."""

    task: str
    instance: str


@dataclass(frozen=True, slots=True)
class Question:
    """Question of a protocol to a fit: one instance in one format, after some history."""

    protocol: str
    task: str
    instance: str
    format: str
    split: Literal["held_out", "unseen"]
    seen: bool  # the task was in the tuning set
    history: tuple[Turn, ...] = ()
    variant: str = "{}"  # canonical JSON: combo, schedule, history where they apply
    stream: int = 0
    position: int = 0
    side: Literal["", "A", "B"] = ""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Tasks to tune on, with the share of steps that each gets (equal if ``weights`` is empty)."""

    tasks: tuple[str, ...]
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """One fit that a protocol needs, and its questions."""

    mixture: Mixture
    questions: tuple[Question, ...]


PromptKey = tuple[str, str]  # task, SHA-256 of the prompt: the same prompt is answered once, whoever asks it


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's reply to one prompt. ``prediction``: stripped, up to where its format ends an answer.

    A prompt that does not fit the input limit is not answered: ``too_long``. ``ranked``: the likeliest label of a
    closed task, None where none was asked for.
    """

    prediction: str
    prompt_tokens: int
    truncated: bool
    too_long: bool
    ranked: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One row on disk, in the order of its columns. ``prediction``: the scored answer, as the format reads it."""

    fit: str
    protocol: str
    variant: str
    format: str
    task: str
    split: str
    seen: bool
    instance: str
    stream: int
    position: int
    side: str
    prompt_sha: str
    prediction: str
    targets: tuple[str, ...]
    exact_match: float
    rouge_l: float
    score: float
    prompt_tokens: int
    truncated: bool
