"""A protocol: what is asked of which fit, what comes of the answers, and how that is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snibench.api import (
    METHOD,
    Ask,
    Column,
    Count,
    Frame,
    Mixture,
    Protocol,
    Question,
    Turn,
    canonical_json,
    chosen_tasks,
    held_out_questions,
    mean_interval,
    normalise_input,
    panel,
    source_clusters,
    task_means,
)

if TYPE_CHECKING:
    import pandas as pd

    from snibench.api import SuiteData


@dataclass(frozen=True, slots=True)
class Settings:
    """Each field is set by ``--set template-protocol.KEY=VALUE`` and stored with the run. Defaults: the full budget."""

    turns: Count = 2  # solved instances before a question
    tasks: Count | None = 20  # half seen, half unseen; None = all
    instances: Count | None = 50  # per task
    format: str = "definition"
    seed: int = 0  # of the choice of tasks


class Solved(Protocol):
    """Effect of solved instances in front of a question: the same questions with and without them."""

    Settings = Settings
    quick = Settings(turns=1, tasks=8, instances=10)
    version = 1  # changes whenever a question or a number does
    title = "Solved instances in front"
    verdict_on = "questions behind solved instances"  # methods are compared with the baseline on what `compared` gives
    frames = {  # noqa: RUF012 (never changed)
        "solved": Frame(
            "Score without and with solved instances before the question",
            keys=(METHOD,),
            columns=(
                # field, title, unit, which is better, ends of the interval, units behind the value
                Column("plain", "Without", "percent", "higher", "plain_low", "plain_high", "n_tasks"),
                Column("shown", "With", "percent", "higher", "shown_low", "shown_high", "n_tasks"),
                Column("gain", "Gain", "difference", "higher", "gain_low", "gain_high", "n_tasks"),
                Column("n_tasks", "Tasks", "count"),
            ),
            notes=("Means over tasks; intervals over tasks and seeds, none below three sources.",),
            summary={"shown": "With solved", "gain": "Gain by solved"},
            headline="shown",
            summary_note="With solved: score with solved instances before the question; gain: minus that without.",
        )
    }

    def plan(self, suite: SuiteData, limit: int | None) -> Sequence[Ask]:
        """One fit on all seen tasks, asked each chosen instance twice."""
        settings = self.settings
        plain = [
            question
            for task in chosen_tasks(suite, settings.tasks, settings.seed)
            for question in held_out_questions(
                suite, "template-protocol", task, settings.format, settings.instances, limit
            )
        ]
        return [Ask(Mixture(suite.seen), tuple(both for question in plain for both in self._both(suite, question)))]

    def _both(self, suite: SuiteData, question: Question) -> Iterator[Question]:
        """The question without and with turns; ``variant`` names which."""
        inputs = {one.id: normalise_input(one.input) for one in suite.evaluation[question.task]}
        context = [
            one for one in suite.context[question.task] if normalise_input(one.input) != inputs[question.instance]
        ]
        if len(context) < self.settings.turns:
            return
        history = tuple(Turn(question.task, one.id) for one in context[: self.settings.turns])
        yield replace(question, variant=canonical_json({"solved": 0}))
        yield replace(question, variant=canonical_json({"solved": self.settings.turns}), history=history)

    def compared(self, answers: pd.DataFrame) -> pd.Series[float]:
        """The score behind solved instances; questions without them do not count."""
        return answers["score"].where(_shown(answers))

    def measure(self, answers: pd.DataFrame, tasks: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
        """``solved``: one row per method, over the questions that every fit answered."""
        import pandas as pd

        shared = panel(answers.assign(shown=_shown(answers)), questions=("shown", "task", "instance"))
        shown = shared.questions["shown"].to_numpy(dtype=bool)
        names = shared.questions.loc[shown, "task"]
        sources = source_clusters(tasks)[sorted(names.unique())].tolist()
        rows = []
        for method in shared.methods:
            values = shared.values("score", method=method)  # [S, Q]
            plain, after = task_means(values[:, ~shown], names), task_means(values[:, shown], names)  # [S, T]
            row: dict[str, object] = {"method": method, "n_tasks": plain.shape[1]}
            for name, scores in (("plain", plain), ("shown", after), ("gain", after - plain)):
                level = mean_interval(scores, clusters=sources)
                row |= {name: level.value, f"{name}_low": level.low, f"{name}_high": level.high}
            rows.append(row)
        return {"solved": pd.DataFrame(rows)}


def _shown(answers: pd.DataFrame) -> pd.Series[bool]:
    """Whether solved instances stood before the question."""
    return answers["variant"].map(lambda text: json.loads(text)["solved"] > 0).astype(bool)
