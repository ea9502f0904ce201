"""What a type checker makes of plugins and of runs as values; mypy reads this file, nothing runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import assert_type

import pandas as pd
from torch import Tensor, nn

import snibench
from snibench.api import (
    BaseMethod,
    Batch,
    Draw,
    Format,
    FormatFlags,
    GramRule,
    Losses,
    Prompt,
    Sampler,
    Step,
    TaskCard,
    cue,
    definition,
    instruction,
    prompt_of,
    query,
    target_logits,
    target_nll,
)
from snibench.report.results import Results, View
from snibench.report.values import Verdict


@dataclass(frozen=True)
class FocalSettings:
    power: float = 1.0


class Focal(BaseMethod):
    Settings = FocalSettings

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        nll = target_nll(target_logits(model, batch), batch)
        assert_type(nll, Tensor)
        assert_type(batch.tasks, tuple[str, ...])
        return nll * (1 - (-nll).exp())


class Balanced(Focal):
    def losses(self, model: nn.Module, batch: Batch) -> Losses:  # type: ignore[override]  # Focal narrowed it
        tasks = super().losses(model, batch)
        return Losses(tasks, auxiliary=tasks.mean())


class Even(GramRule):
    def weigh(self, step: Step) -> Tensor:
        assert_type(step.tasks, tuple[str, ...])
        return step.gram.diagonal() ** -0.5


class Largest(Sampler):
    def draw(self, step: Draw) -> Sequence[str]:
        assert_type(step.count, int)
        return sorted(step.sizes, key=lambda name: -step.sizes[name])[: step.count]


class Terse(Format):
    flags = FormatFlags("full", "I")

    def render(self, task: TaskCard, input: str, rng: Random) -> Prompt:
        return prompt_of(instruction(definition(task)), cue("\n---\n"), query(input), cue("\n->"))

    def stop(self, task: TaskCard) -> str:
        return super().stop(task) or "\n\n"

    def read(self, text: str) -> str:
        return text.rpartition("Answer:")[2].strip()


assert_type(Terse.flags, FormatFlags)


def a_run_is_a_value() -> None:
    results = snibench.run(["ours", "mtl-lora"], "runs", seeds=[0, 1], protocols=["gap"])
    assert_type(results, Results)
    assert_type(snibench.load("runs"), Results)
    assert_type(results.answers, pd.DataFrame)
    assert_type(results.tables, Mapping[str, pd.DataFrame])
    assert_type(results.verdicts, tuple[Verdict, ...])
    assert_type(results.compare("ours", "mtl-lora"), View)
    snibench.run("ours", unheard=1)  # type: ignore[call-arg]  # an option that does not exist is found
    results.answer  # type: ignore[attr-defined]  # noqa: B018
