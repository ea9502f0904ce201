"""Answer rows as dense arrays: what every fit scored on the questions that all of them answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from snibench.base.hashing import derive_seed
from snibench.data.leakage import origins

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
K = TypeVar("K")

# The columns that name a question, whatever protocol asked it.
QUESTION = ("task", "instance", "format", "split", "side", "variant", "stream", "position")
FEWEST_SOURCES = 5  # with fewer, no interval over tasks for a category or a combo
TRIVIAL_MAJORITY = 0.9  # from here on a task says nothing beyond chance


@dataclass(frozen=True)
class Panel:
    """Answers by fit and question. Fits and questions are sorted by their columns, whatever the order of rows.

    ``fits``: ``[F]`` rows of a frame; ``questions``: ``[Q]`` rows of a frame.
    """

    fits: pd.DataFrame
    questions: pd.DataFrame
    answers: pd.DataFrame
    positions: npt.NDArray[np.intp]  # [F, Q] row numbers of ``answers``

    @cached_property
    def _names(self) -> dict[str, npt.NDArray[np.object_]]:
        return {str(name): self.fits[name].to_numpy(dtype=object) for name in self.fits}

    @property
    def methods(self) -> list[str]:
        """Labels of the methods, sorted."""
        return sorted(self.fits["method"].unique())

    def values(self, column: str, **fit: str) -> Floats:
        """``[S, Q]`` values of a column for the fits that match, e.g. ``method="ours"``; one row per seed."""
        chosen = np.ones(len(self.fits), dtype=bool)
        for name, value in fit.items():
            chosen &= self._names[name] == value
        return self.answers[column].to_numpy(dtype=np.float64)[self.positions[chosen]]


def panel(
    answers: pd.DataFrame,
    *,
    questions: Sequence[str],
    fits: Sequence[str] = ("method", "seed"),
    facts: Sequence[str] = (),
) -> Panel:
    """The answers to the questions that every fit has answered; other questions are left out for all.

    Args:
        answers: One row per fit and question.
        questions: Columns that name a question.
        fits: Columns that name a fit; ``method`` is among them.
        facts: Further columns that are equal in all fits' answers to a question; they join ``questions``.
    """
    # Row numbers in place of copies: a run has millions of rows, and a table needs few of their columns.
    keys = answers[[*fits, *questions]]
    scored = np.flatnonzero(answers["score"].notna().to_numpy())
    if len(scored) < len(keys):
        keys = keys.iloc[scored]
    fit = keys.groupby(list(fits), observed=True).ngroup().to_numpy()
    question = keys.groupby(list(questions), observed=True).ngroup().to_numpy()
    positions = np.full((fit.max(initial=-1) + 1, question.max(initial=-1) + 1), -1, dtype=np.intp)
    positions[fit, question] = scored
    # Any row of a fit names the fit, whether its question was asked of all or not.
    of_fit = np.zeros(len(positions), dtype=np.intp)
    of_fit[fit] = scored
    positions = positions[:, (positions >= 0).all(axis=0)]
    of_question = positions[0] if len(positions) else []
    return Panel(
        fits=answers[list(fits)].iloc[of_fit].reset_index(drop=True),
        questions=answers[[*questions, *facts]].iloc[of_question].reset_index(drop=True),
        answers=answers,
        positions=positions,
    )


def mean(*arrays: Floats) -> float:
    """The mean over all values of all arrays; NaN if there is none."""
    values = np.concatenate([array.reshape(-1) for array in arrays]) if arrays else np.empty(0)
    return float(values.mean()) if values.size else nan


def by_task(values: Floats, tasks: pd.Series[str]) -> list[Floats]:
    """``values`` [..., Q] cut into one array ``[..., n]`` per task; ``tasks`` [Q] is sorted, as in a ``Panel``."""
    return np.split(values, np.flatnonzero(tasks.ne(tasks.shift()))[1:], axis=-1)


def group_means(values: Floats, groups: pd.Series[Any]) -> Floats:
    """``[..., G]`` means of ``values`` [..., Q] over the questions of each group, groups sorted."""
    rows = values.reshape(-1, values.shape[-1])
    means = pd.DataFrame(rows.T).groupby(groups.to_numpy()).mean().to_numpy().T
    return means.reshape(*values.shape[:-1], means.shape[-1])


def task_means(values: Floats, tasks: pd.Series[str]) -> Floats:
    """``[..., T]`` means of ``values`` [..., Q] over the questions of each task, tasks sorted by name."""
    return group_means(values, tasks)


def task_means_of(values: Mapping[K, Floats], tasks: pd.Series[str]) -> dict[K, Floats]:
    """``task_means`` of every entry, at the cost of one."""
    if not values:
        return {}
    means = task_means(np.concatenate(list(values.values())), tasks)
    ends = np.cumsum([len(own) for own in values.values()])[:-1]
    return dict(zip(values, np.split(means, ends), strict=True))


def source_clusters(tasks: pd.DataFrame) -> pd.Series[str]:
    """The unit of resampling of each task, indexed by task: tasks that share a source, even indirectly, get one name.

    Sources are compared as leakage control does, so that derived data sets count as their origin. A task that names
    no data set stands alone.
    """
    names_of = [
        origins(list(sources)) or {f"task {name}"}
        for name, sources in zip(tasks["task"], tasks["sources"], strict=True)
    ]
    component = _components(names_of)
    first = tasks["task"].groupby(component).transform("min")  # a name that no order of the rows can change
    return pd.Series(first.to_numpy(), index=pd.Index(tasks["task"], name="task"))


def _components(names_of: Sequence[Collection[str]]) -> list[int]:
    """The number of the connected component of each set of names; two that share a name are connected."""
    parent = list(range(len(names_of)))

    def root(member: int) -> int:
        while parent[member] != member:
            parent[member] = member = parent[parent[member]]
        return member

    owner: dict[str, int] = {}
    for member, own in enumerate(names_of):
        for name in own:
            parent[root(member)] = root(owner.setdefault(name, member))
    return [root(member) for member in range(len(names_of))]


def above_chance(values: Floats, chance: Floats) -> Floats:
    """``values`` rescaled so that chance is 0 and perfection 1: ``(a - c) / (1 - c)``; may be negative."""
    return (values - chance) / (1.0 - chance)


def informative(tasks: pd.DataFrame) -> Bools:
    """Mask of tasks that can be normalised by chance: several labels, none with nine tenths of the answers."""
    return ((tasks["chance"] < 1.0) & ~(tasks["majority"] >= TRIVIAL_MAJORITY)).to_numpy(dtype=bool)


def resampling(purpose: str) -> np.random.Generator:
    """A fresh generator for one purpose. Equal purposes draw the same tasks, so methods are resampled alike."""
    return np.random.default_rng(derive_seed("resampling", purpose))


# ---------------------------------------------------------------------------- what may be averaged

ABOVE_CHANCE = "above_chance"  # the metric of a mean over tasks of different metrics


def with_facts(questions: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """``questions`` with metric, chance, source and whether each can be normalised, of their tasks."""
    facts = tasks.assign(source=source_clusters(tasks).to_numpy(), informative=informative(tasks)).set_index("task")
    return questions.join(facts[["metric", "chance", "source", "informative"]], on="task")


def comparable(questions: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The metric of some questions, and those whose scores may be averaged, with what counts as their ``zero``.

    Exact match and ROUGE-L never go into one mean as they are: questions of both are compared above chance.
    """
    metrics = questions["metric"].unique()
    if len(metrics) == 1:
        return str(metrics[0]), questions.assign(zero=0.0)
    return ABOVE_CHANCE, questions[questions["informative"]].assign(zero=questions["chance"])


def box(data: Floats) -> dict[str, float]:
    """Five numbers of a box plot of ``data``, quantiles of type 7."""
    fifth, lower, median, upper = np.quantile(data, (0.05, 0.25, 0.5, 0.75))
    return {
        "median": median,
        "iqr": upper - lower,
        "p5": fifth,
        "q1": lower,
        "q3": upper,
        "min": data.min(),
        "max": data.max(),
    }
