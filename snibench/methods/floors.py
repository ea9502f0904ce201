"""Floors: what is scored without a model, in every table beside the methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from snibench.base.hashing import normalise_answer
from snibench.base.types import Instance, TaskCard
from snibench.contracts import Floor


class CopyInput(Floor):
    """The input as the answer: what is reached by repeating the question.

    Source: Wang et al., Super-NaturalInstructions (EMNLP 2022); Tk-Instruct, ``src/run_heuristics.py``.
    """

    def answer(self, task: TaskCard, input: str, pool: Sequence[Instance]) -> str:
        """``input``."""
        return input


class CopyDemo(Floor):
    """The output of the task's first positive example as the answer to everything.

    Source: Wang et al., Super-NaturalInstructions (EMNLP 2022); Tk-Instruct, ``src/run_heuristics.py``.
    """

    def answer(self, task: TaskCard, input: str, pool: Sequence[Instance]) -> str:
        """The example's output; empty where the task has no example."""
        return task.positive[0].output if task.positive else ""


class Majority(Floor):
    """The most frequent answer of the task's evaluated instances: an oracle, it has seen the answers.

    For tasks with a closed label set only; to others it answers nothing. Of equally frequent answers the first by code
    point.
    """

    def answer(self, task: TaskCard, input: str, pool: Sequence[Instance]) -> str:
        """The label that most instances of ``pool`` have as their first reference, compared as exact match does."""
        if task.labels is None:
            return ""
        answers = [instance.outputs[0] for instance in pool]
        counts = Counter(map(normalise_answer, answers))
        return min(answers, key=lambda answer: (-counts[normalise_answer(answer)], answer), default="")
