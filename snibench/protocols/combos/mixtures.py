"""Mode ``train`` of protocol ``combos``: tuning on two families of tasks together, and on each alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from snibench.base.hashing import canonical_json
from snibench.base.types import Ask, Combo, Mixture, Question, SuiteData
from snibench.protocols.choice import held_out_questions
from snibench.protocols.combos.settings import Settings, ratio
from snibench.protocols.frames import Frames
from snibench.protocols.panel import (
    FEWEST_SOURCES,
    Floats,
    above_chance,
    box,
    comparable,
    group_means,
    mean,
    panel,
    with_facts,
)
from snibench.stats.intervals import mean_interval
from snibench.stats.streams import excess_sd

Side = Literal["A", "B"]
Places = npt.NDArray[np.intp]  # numbers of cells

ALONE: Mapping[Side, str] = {"A": "A alone", "B": "B alone"}  # what the mixture of one side is called
_BOTH = "A+B"


def training_asks(suite: SuiteData, combos: Sequence[Combo], settings: Settings, limit: int | None) -> Iterator[Ask]:
    """For every combo one fit per mixture, asked about both sides, and one per side alone, asked about that side.

    Only seen tasks can be tuned on. All fits are tuned for the same number of steps.
    """
    for combo in _trainable(suite, combos) if settings.trained else ():
        questions = {side: _held_out(suite, side, tasks, settings, limit) for side, tasks in _sides(combo)}
        if not all(questions.values()):
            continue
        both = [question for asked in questions.values() for question in asked]
        for text in settings.trained:
            yield Ask(mixed(combo, *ratio(text)), _named(combo, text, both))
        for side, tasks in _sides(combo):
            yield Ask(Mixture(tasks), _named(combo, ALONE[side], questions[side]))


def _held_out(
    suite: SuiteData, side: Side, tasks: Sequence[str], settings: Settings, limit: int | None
) -> list[Question]:
    return [
        replace(question, side=side)
        for task in tasks
        for question in held_out_questions(suite, "combos", task, settings.format, settings.instances, limit)
    ]


def _named(combo: Combo, mixture: str, questions: Sequence[Question]) -> tuple[Question, ...]:
    variant = canonical_json({"combo": combo.name, "mixture": mixture})
    return tuple(replace(question, variant=variant) for question in questions)


def mixed(combo: Combo, a: float, b: float) -> Mixture:
    """Both sides of ``combo`` with ``a`` and ``b`` shares of the steps, each task of a side the same."""
    each = (a * len(combo.b), b * len(combo.a))  # a / |A| and b / |B|, both times |A| |B|
    weights = () if each[0] == each[1] else (*[each[0]] * len(combo.a), *[each[1]] * len(combo.b))
    return Mixture((*combo.a, *combo.b), weights)


def skipped(suite: SuiteData, combos: Sequence[Combo]) -> tuple[str, ...]:
    """One sentence for each combo that is not tuned on because no task of a side is seen."""
    return tuple(
        f"Combo '{combo.name}' is not tuned on: no task of side {side} is among the seen tasks."
        for combo in _trainable(suite, combos)
        for side, tasks in _sides(combo)
        if not tasks
    )


def _sides(combo: Combo) -> tuple[tuple[Side, tuple[str, ...]], ...]:
    return ("A", combo.a), ("B", combo.b)


def _trainable(suite: SuiteData, combos: Sequence[Combo]) -> list[Combo]:
    """``combos`` cut to what can be tuned on."""
    seen = frozenset(suite.seen)
    return [Combo(c.name, *(tuple(task for task in side if task in seen) for side in (c.a, c.b))) for c in combos]


# ------------------------------------------------------------------------------------ measures


def training_frames(answers: pd.DataFrame, tasks: pd.DataFrame) -> Frames:
    """``combo_training``, ``combo_interference``, ``combo_training_tasks`` of answers with their variant taken apart.

    The datum is the accuracy of one task after one fit.
    """
    shared = panel(answers, questions=("combo", "mixture", "side", "task", "instance"))
    questions = with_facts(shared.questions, tasks)
    seeds = shared.fits.groupby("method")["seed"].agg(list)
    combos = [
        _Cells.of(method, str(name), shared.values("score", method=method), combo)
        for name, combo in questions.groupby("combo")
        for method in shared.methods
    ]
    return Frames(
        {
            "combo_training": lambda: pd.DataFrame(row for cells in combos for row in cells.box_row()),
            "combo_interference": lambda: pd.DataFrame(
                row for cells in combos for side, part in cells.by_side() for row in part.interference_rows(side)
            ),
            "combo_training_tasks": lambda: pd.DataFrame(
                row for cells in combos for row in cells.rows(seeds[cells.method])
            ),
        }
    )


@dataclass(frozen=True)
class _Cells:
    """Scores of one method on one combo: a cell is a task after one mixture."""

    method: str
    combo: str
    metric: str
    about: pd.DataFrame  # [G]: mixture, side, task, source
    scores: Floats  # [S, G] as scored
    values: Floats  # [S, G] comparable
    noise: Floats  # [G] variance of a value if answers varied only by chance

    questions: pd.DataFrame  # [Q]
    answers: Floats  # [S, Q'] of every question that was asked

    @classmethod
    def of(cls, method: str, combo: str, answers: Floats, questions: pd.DataFrame) -> _Cells:
        """``answers`` to all questions, by number; ``questions`` are those of one combo or of one side of it."""
        metric, compared = comparable(questions)
        groups = compared.groupby(["mixture", "side", "task"])
        number = groups.ngroup()
        raw = answers[:, compared.index]
        values = above_chance(raw, compared["zero"].to_numpy(dtype=np.float64))
        level, square = group_means(values, number), group_means(values**2, number)
        noise = np.maximum(0.0, square - level**2).mean(axis=0) / groups.size().to_numpy()
        about = groups[["source"]].first().reset_index()
        return cls(method, combo, metric, about, group_means(raw, number), level, noise, questions, answers)

    def by_side(self) -> Iterator[tuple[str, _Cells]]:
        """The combo as a whole, and each side in the metric of its own tasks."""
        yield _BOTH, self
        for side, questions in self.questions.groupby("side"):
            yield str(side), _Cells.of(self.method, self.combo, self.answers, questions)

    @property
    def names(self) -> dict[str, str]:
        """The columns that name the combo."""
        return {"method": self.method, "combo": self.combo, "metric": self.metric}

    def box_row(self) -> Iterator[dict[str, Any]]:
        """The box over seeds x mixtures x tasks; the sides alone are no part of it."""
        joint = ~self.about["mixture"].isin(ALONE.values()).to_numpy()
        if not joint.any():
            return
        data, about = self.values[:, joint], self.about[joint]
        # [S, T]: one value per task, so that a task's mixtures do not count as tasks of their own.
        by_task = group_means(data, about["task"])
        sources = about.groupby("task")["source"].first().tolist()
        yield {
            **self.names,
            **box(data.reshape(-1)),
            **_interval(by_task, sources, "mean"),
            "noise_sd": float(np.sqrt(self.noise[joint].mean())),
            "excess_sd": float(excess_sd(data.reshape(-1), self.noise[joint])) if data.size > 1 else nan,
            "n_tasks": by_task.shape[1],
            "n_mixtures": about["mixture"].nunique(),
            "n_seeds": len(data),
            "n": data.size,
        }

    def interference_rows(self, side: str) -> Iterator[dict[str, Any]]:
        """Per mixture, what tuning on both sides costs the tasks, against tuning on their own side alone."""
        places = pd.Series(self.about.index, index=pd.MultiIndex.from_frame(self.about[["mixture", "task"]]))
        for mixture, part in self.about.groupby("mixture"):
            if mixture in ALONE.values():
                continue
            alone = zip(part["side"].map(ALONE), part["task"], strict=True)
            single = places.reindex(pd.MultiIndex.from_tuples(alone)).to_numpy()
            paired = ~np.isnan(single)
            if paired.any():
                interference = self._interference(part.index.to_numpy()[paired], single[paired].astype(np.intp))
                yield {**self.names, "mixture": mixture, "side": side, **interference}

    def _interference(self, joint: Places, single: Places) -> dict[str, Any]:
        """Tasks [T] after tuning on both sides and after tuning on their own, as places in ``about``."""
        about = self.about.loc[joint]
        together, alone = (self.scores[:, places].mean(axis=0) for places in (joint, single))  # [T]
        known = alone > 0.0
        relative = (alone[known] - together[known]) / alone[known]  # I_t
        return {
            "single": mean(self.values[:, single]),
            "joint": mean(self.values[:, joint]),
            **_interval(self.values[:, joint] - self.values[:, single], about["source"].tolist(), "difference"),
            "delta_m": mean(-relative),
            "interference": mean(np.maximum(0.0, relative)),
            "worst": float(relative.max()) if len(relative) else nan,
            "worst_task": about["task"].to_numpy()[known][relative.argmax()] if len(relative) else "",
            "n_tasks": len(about),
            "n_undefined": int((~known).sum()),
        }

    def rows(self, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
        """One row per cell and seed: the data of the box, and of the sides alone."""
        about: list[Any] = self.about[["mixture", "side", "task"]].to_dict("records")
        for (row, column), accuracy in np.ndenumerate(self.values):
            yield {**self.names, **about[column], "seed": seeds[row], "accuracy": accuracy}


def _interval(values: Floats, sources: Sequence[str], name: str) -> dict[str, Any]:
    """The mean of ``values`` [S, T] with its interval: over sources, or with too few of them over seeds.

    By seeds it holds for these very tasks only.
    """
    if len(set(sources)) >= FEWEST_SOURCES:
        level, unit = mean_interval(values, clusters=sources), "source"
    else:
        level, unit = mean_interval(values.mean(axis=1)[None]), "seed"  # seeds take the place of tasks
    return {name: level.value, "low": level.low, "high": level.high, "unit": unit}
