"""Mode ``split`` of protocol ``gap``: seen tasks against unseen ones, after one fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from snibench.base.types import Ask, Mixture, SuiteData
from snibench.protocols.choice import chosen_tasks, held_out_questions
from snibench.protocols.frames import Frames
from snibench.protocols.gap.settings import Settings
from snibench.protocols.panel import (
    FEWEST_SOURCES,
    Floats,
    above_chance,
    by_task,
    informative,
    mean,
    panel,
    source_clusters,
    task_means_of,
)
from snibench.stats.estimates import SHARE
from snibench.stats.intervals import gap_interval, mean_interval

Members = npt.NDArray[np.intp]  # numbers of tasks


def split_ask(suite: SuiteData, settings: Settings, limit: int | None) -> Ask:
    """One fit on all seen tasks, asked the head of every chosen task's pool."""
    questions = [
        question
        for task in chosen_tasks(suite, settings.tasks, settings.seed)
        for question in held_out_questions(suite, "gap", task, settings.format, settings.instances, limit)
    ]
    return Ask(Mixture(suite.seen), tuple(questions))


# ------------------------------------------------------------------------------------ measures


def split_frames(answers: pd.DataFrame, tasks: pd.DataFrame) -> Frames:
    """``gap``, ``gap_categories_unseen`` and ``gap_categories_seen``, over the questions of both sides."""
    shared = panel(answers, questions=("task", "instance", "format"), facts=("seen",))
    about = _about(shared.questions, tasks)
    values = {method: shared.values("score", method=method) for method in shared.methods}
    means = task_means_of(values, shared.questions["task"])
    scores = {
        method: _Scores(tuple(by_task(own, shared.questions["task"])), means[method]) for method, own in values.items()
    }

    def rows() -> pd.DataFrame:
        by_method = dict(iter(answers.groupby("method"))) if "ranked_exact_match" in answers else {}
        return pd.DataFrame(
            {"method": method, **_gap_row(one, about), **_ranked(by_method.get(method, answers))}
            for method, one in scores.items()
        )

    groups = about.assign(member=np.arange(len(about))).groupby(["category", "metric"])["member"]

    @cache
    def categories() -> pd.DataFrame:
        return pd.DataFrame(
            {"method": method, **_category_row(one, about, members.to_numpy())}
            for _, members in groups
            for method, one in scores.items()
        )

    def of_side(side: str) -> pd.DataFrame:
        return categories()[categories()[f"n_{side}"] > 0].reset_index(drop=True)

    return Frames(
        {
            "gap": rows,
            "gap_categories_unseen": lambda: of_side("unseen"),
            "gap_categories_seen": lambda: of_side("seen"),
        }
    )


@dataclass(frozen=True)
class _Scores:
    """Scores of one method, tasks sorted by name."""

    instances: tuple[Floats, ...]  # per task [S, n]
    means: Floats  # [S, T]

    def side(self, members: Members) -> list[Floats]:
        """Arrays ``[S, n]`` of some tasks."""
        return [self.instances[member] for member in members]


def _about(questions: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """``[T]`` rows, sorted by task: what ``tasks`` says of each, its source, and whether it was asked as seen."""
    known = tasks.assign(source=source_clusters(tasks).to_numpy(), informative=informative(tasks))
    asked = questions.groupby("task")[["seen"]].first()
    return asked.join(known.drop(columns="seen", errors="ignore").set_index("task"))


def _gap_row(scores: _Scores, about: pd.DataFrame) -> dict[str, float]:
    sides = _sides(about, np.arange(len(about)))
    row = _levels(scores, about, sides, fewest=2)
    return {
        **row,
        "relative_gap": row["gap"] / row["seen"] if row["seen"] else nan,
        **_normalised(scores, about, sides),
        "unseen_clean": mean(scores.means[:, [member for member in sides[1] if not _leaks(about, member)]]),
        "seen_pooled": mean(*scores.side(sides[0])),
        "unseen_pooled": mean(*scores.side(sides[1])),
        "n_seeds": len(scores.means),
    }


def _category_row(scores: _Scores, about: pd.DataFrame, members: Members) -> dict[str, Any]:
    sides = _sides(about, members)
    shown = about.iloc[sides[1] if len(sides[1]) else sides[0]]
    return {
        **shown[["category", "metric"]].iloc[0],
        **_levels(scores, about, sides, fewest=FEWEST_SOURCES),
        **_normalised(scores, about, sides),
        "n_sources": shown["source"].nunique(),
        "chance": shown["chance"].mean(),
        "majority": shown["majority"].mean(),
    }


def _ranked(answers: pd.DataFrame) -> dict[str, float]:
    """Exact match of the likeliest label on the closed tasks of both sides, and of the greedy answer there.

    Nothing where no label was ranked.
    """
    if "ranked_exact_match" not in answers:
        return {}
    ranked = answers.dropna(subset=["ranked_exact_match"])
    row: dict[str, float] = {}
    for side, wanted in (("seen", True), ("unseen", False)):
        tasks = ranked[ranked["seen"] == wanted].groupby("task")[["ranked_exact_match", "exact_match"]].mean()
        row |= {f"{side}_closed": tasks["exact_match"].mean(), f"{side}_ranked": tasks["ranked_exact_match"].mean()}
    return row


def _sides(about: pd.DataFrame, members: Members) -> tuple[Members, Members]:
    """The seen and the unseen ones of ``members``."""
    seen = about["seen"].to_numpy(dtype=bool)[members]
    return members[seen], members[~seen]


def _leaks(about: pd.DataFrame, member: int) -> bool:
    return "flags" in about and "alias-leak" in about["flags"].iloc[member]


def _levels(scores: _Scores, about: pd.DataFrame, sides: tuple[Members, Members], fewest: int) -> dict[str, float]:
    """Both sides and the gap with their intervals, NaN for a side with fewer than ``fewest`` sources."""
    sources = [about["source"].iloc[side].tolist() for side in sides]
    known = [len(set(side)) >= fewest for side in sources]
    row: dict[str, float] = {}
    for name, side, clusters, enough in zip(("seen", "unseen"), sides, sources, known, strict=True):
        row |= {name: nan, f"{name}_low": nan, f"{name}_high": nan, f"n_{name}": len(side)}
        if len(side):
            row[name] = mean(scores.means[:, side])
        if enough:
            level = mean_interval(scores.means[:, side], clusters=clusters, bounds=SHARE)
            row |= {f"{name}_low": level.low, f"{name}_high": level.high}
    row |= {"gap": row["seen"] - row["unseen"], "gap_low": nan, "gap_high": nan}
    if all(known):
        seen, unseen = (scores.means[:, side] for side in sides)
        gap = gap_interval(seen, unseen, clusters=(sources[0], sources[1]))
        row |= {"gap_low": gap.low, "gap_high": gap.high}
    return row


def _normalised(scores: _Scores, about: pd.DataFrame, sides: tuple[Members, Members]) -> dict[str, float]:
    """Both sides and the gap above chance, over the tasks for which that has a meaning."""
    fair = about["informative"].to_numpy()
    kept = [side[fair[side]] for side in sides]
    chance = about["chance"].to_numpy(dtype=np.float64)
    seen, unseen = (mean(above_chance(scores.means[:, side], chance[side])) for side in kept)
    return {"seen_normalised": seen, "unseen_normalised": unseen, "gap_normalised": seen - unseen}
