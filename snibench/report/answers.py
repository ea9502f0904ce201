"""Answers of a run, filtered."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from snibench.base.errors import UsageError, unknown
from snibench.report.fits import controls, finished, label_of

if TYPE_CHECKING:
    import pandas as pd

    from snibench.store import StoredRun

_PLACE = ["seed", "protocol", "variant", "format", "task", "instance", "stream", "position", "side"]
_SHOWN = ["method", "seed", "protocol", "format", "task", "instance", "prediction", "targets", "score"]


def filtered(
    results: StoredRun,
    *,
    methods: Sequence[str] = (),
    tasks: Sequence[str] = (),
    formats: Sequence[str] = (),
    protocol: str | None = None,
    wrong: bool = False,
    differ: str | None = None,
) -> pd.DataFrame:
    """Answers in the order of tasks, instances and methods; no filter: all.

    ``tasks`` may have ``*`` and ``?``; ``wrong``: without the full score; ``differ``: a method, and only questions to
    which it has another score under the same seed, with its answer in the column ``other``.

    Raises:
        UsageError: If a name is not in the run.
    """
    rows = results.answers
    methods_there = finished(results)
    chosen = [_known(label_of(results, name), methods_there, "method") for name in methods]
    other = _known(label_of(results, differ), methods_there, "method") if differ else None
    names_wanted = {name for pattern in tasks for name in _matching(pattern, list(map(str, rows["task"].unique())))}
    for name in formats:
        _known(name, list(map(str, rows["format"].unique())), "format")
    if protocol is not None:
        _known(protocol, list(map(str, rows["protocol"].unique())), "protocol")
    kept = rows[rows["method"].isin(chosen)] if chosen else rows
    kept = kept[kept["task"].isin(list(names_wanted))] if tasks else kept
    kept = kept[kept["format"].isin(list(formats))] if formats else kept
    kept = kept[kept["protocol"] == protocol] if protocol else kept
    kept = kept[kept["score"] < 1] if wrong else kept
    shown = list(_SHOWN)
    if other is not None:
        theirs = rows[rows["method"] == other][[*_PLACE, "prediction", "score"]]
        kept = kept[kept["method"] != other].merge(theirs, on=_PLACE, suffixes=("", "_other"))
        kept = kept[kept["score"] != kept["score_other"]].rename(columns={"prediction_other": other})
        shown.insert(shown.index("prediction") + 1, other)
        shown.append("score_other")
    order = ["task", "instance", "format", "seed", "method"]
    return kept.sort_values(order, kind="stable")[shown].reset_index(drop=True)


def examples(results: StoredRun, baseline: str, *, tasks: int = 8) -> pd.DataFrame:
    """For each tuned method, questions to which it has another score than ``baseline``, with both answers.

    One question a task, where the two scores are furthest apart, of at most ``tasks`` tasks.
    """
    rows = filtered(results, differ=baseline)
    rows = rows[~rows["method"].isin(controls(results))]
    apart = (rows["score"] - rows["score_other"]).abs()
    widest = rows.assign(apart=apart).sort_values("apart", ascending=False, kind="stable")
    chosen = widest.drop_duplicates(["method", "task"]).groupby("method", sort=False).head(tasks)
    order = {label: place for place, label in enumerate(finished(results))}
    places = chosen["method"].map(order)
    return chosen.assign(place=places).sort_values(["place", "task"], kind="stable").drop(columns=["apart", "place"])


def _known(name: str, names: Sequence[str], noun: str) -> str:
    if name not in names:
        raise unknown(f"{noun} of this run", name, names)
    return name


def _matching(pattern: str, names: Sequence[str]) -> list[str]:
    matches = [name for name in names if fnmatchcase(name, pattern)]
    if not matches:
        raise UsageError(f"No task of this run is called '{pattern}'. `snibench report --all` lists them.")
    return matches
