"""Is a method better than another, by how much, how sure, where: on the rows of protocol ``gap``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from snibench.base.errors import UsageError, unknown
from snibench.protocols.panel import panel, source_clusters, task_means
from snibench.report.fits import controls, facts, failed_fits, finished, floors, label_of, only, run_notes
from snibench.report.layouts import METHOD, ordered
from snibench.report.measures import against, measured, protocol_tables
from snibench.report.values import Column, Report, Table, rows_digest
from snibench.stats.summary import Summary, category_deltas, summarise

if TYPE_CHECKING:
    from snibench.store import Results

SIDES = {"unseen": "unseen tasks", "held_out": "held-out instances of seen tasks"}

_DELTA = Column("delta", "Δ", "difference", "higher", "delta_low", "delta_high", mark="significant")
_TESTS = (
    Column("p_holm", "p (Holm)", "p"),
    Column("p_seed_holm", "p seed (Holm)", "p"),
    Column("effect", "Effect", "number", "higher"),
    Column("wins", "W/T/L", "count", also=("ties", "losses")),
)
_SIZES = Column("n_tasks", "Tasks/sources/seeds", "count", also=("n_sources", "n_seeds"))
_CATEGORY_SIZES = Column("n_tasks", "Tasks/sources", "count", also=("n_sources",))
_CATEGORY_NOTE = "No interval for a category with fewer than 5 source datasets, and no test for any."


def comparison_tables(results: Results, baseline: str, order: Sequence[str]) -> list[Table]:
    """Every method against ``baseline``, on unseen and on seen tasks; the former by category too."""
    untested = floors(results)
    if not baseline or not set(results.answers["method"]) - {baseline, *untested}:
        return []
    tables = []
    for split, words in SIDES.items():
        scores = task_scores(results, split)
        if not len(scores):
            continue
        floor = scores["method"].isin(untested)
        summary = summarise(scores[~floor], baseline=baseline, clusters=_clusters(results))
        levels = _levels(scores[floor], _clusters(results))
        tables.append(_comparison(summary, levels, split, f"Compared with {baseline} on {words}", controls(results)))
        deltas = _category_deltas(results, scores, baseline)
        if split == "unseen" and len(deltas):
            tables.append(_by_category(deltas, split, f"Difference from {baseline} on {words}, by category", order))
    return tables


def _levels(scores: pd.DataFrame, clusters: dict[str, str]) -> pd.DataFrame:
    """The mean of each floor, which takes no part in tests."""
    return pd.DataFrame(
        row
        for method in scores["method"].unique()
        for row in summarise(scores[scores["method"] == method], baseline=None, clusters=clusters)
        .table[["method", "mean", "ci_low", "ci_high", "n_tasks", "n_sources", "n_seeds"]]
        .to_dict("records")
    )


def _comparison(summary: Summary, floors: pd.DataFrame, split: str, title: str, first: Sequence[str]) -> Table:
    columns = (
        Column("mean", "Mean", "percent", "higher", "ci_low", "ci_high", "n_tasks"),
        replace(_DELTA, title="Δ baseline"),
        *_TESTS,
        Column("rank", "Rank", "number", "lower"),
        Column("group", "Group"),
        Column("seed_sd", "Seed SD", "points"),
        _SIZES,
    )
    by_mean = [*first, *(label for label in summary.table["method"] if label not in first)]
    notes = footers(summary)
    if len(floors):
        notes += (f"No part of tests, ranks and groups: {', '.join(floors['method'])}.",)
    frame = pd.concat([summary.table, floors], ignore_index=True) if len(floors) else summary.table
    table = Table(f"comparison_{split}", title, frame, (METHOD,), columns, notes, "gap")
    return ordered(table, by_mean)


def _by_category(deltas: pd.DataFrame, split: str, title: str, order: Sequence[str]) -> Table:
    keys = (Column("category", "Category"), _CATEGORY_SIZES, METHOD)
    columns = (replace(_DELTA, mark=""),)
    return ordered(
        Table(f"categories_{split}", title, deltas, keys, columns, (_CATEGORY_NOTE,), "gap", "method"), order
    )


def footers(summary: Summary) -> tuple[str, ...]:
    """Below a comparison: tests, unit and draws, what could have been found, and the ranks' omnibus test."""
    notes = list(summary.notes)
    if not np.isnan(summary.minimum_detectable_effect):
        found = f"{100 * summary.minimum_detectable_effect:.1f} points"
        notes.append(f"Minimum detectable effect: {found}, the true difference that is found with 80% power.")
    if summary.friedman is not None:
        test = summary.friedman
        notes.append(
            f"Friedman over all methods: Iman-Davenport p = {test.iman_davenport_p:.3g}; "
            f"Nemenyi critical difference {test.nemenyi_cd:.2f} ranks."
        )
    return tuple(notes)


def task_scores(results: Results, split: str) -> pd.DataFrame:
    """method, seed, task, score: instances averaged, over the questions that every fit answered."""
    answers = results.answers
    needed = ["method", "seed", "task", "instance", "format", "score"]
    rows = answers.loc[(answers["protocol"] == "gap") & (answers["split"] == split), needed]
    if not len(rows):
        return pd.DataFrame(columns=["method", "seed", "task", "score"])
    shared = panel(rows, questions=("task", "instance", "format"))
    tasks = np.sort(shared.questions["task"].unique())
    frames = []
    for method, fits in shared.fits.groupby("method", sort=False):
        means = task_means(shared.values("score", method=str(method)), shared.questions["task"])  # [S, T]
        wide = pd.DataFrame(means, columns=tasks).assign(method=method, seed=fits["seed"].to_numpy())
        frames.append(wide.melt(["method", "seed"], var_name="task", value_name="score"))
    return pd.concat(frames, ignore_index=True)


def _clusters(results: Results) -> dict[str, str]:
    return {str(task): str(source) for task, source in source_clusters(results.tasks).items()}


def _category_deltas(results: Results, scores: pd.DataFrame, baseline: str) -> pd.DataFrame:
    categories = dict(zip(results.tasks["task"], results.tasks["category"], strict=True))
    return category_deltas(scores, baseline=baseline, categories=categories, clusters=_clusters(results))


# ----------------------------------------------------------------------------------- two methods


def compare(results: Results, first: str, second: str) -> Report:
    """``first`` minus ``second``: over all tasks, by category, and task by task.

    Raises:
        UsageError: If one of the two has no finished fit, the two are one, or protocol ``gap`` was not asked.
    """
    there = finished(results)
    first, second = label_of(results, first), label_of(results, second)
    for label in (first, second):
        if label not in there:
            raise unknown("method", label, there)
    if first == second:
        raise UsageError(f"'{first}' cannot be compared with itself. Name two of: {', '.join(there)}.")
    pair = only(results, (first, second))
    sides = {split: scores for split in SIDES if len(scores := task_scores(pair, split))}
    if not sides:
        raise UsageError(
            "The run has no answers of protocol 'gap', and comparisons are made on those. Add it: --protocol gap"
        )
    summaries = {split: summarise(scores, baseline=second, clusters=_clusters(pair)) for split, scores in sides.items()}
    return Report(
        title=f"{first} against {second}",
        tables=(
            _overall(summaries, first, second),
            *_gaps(pair, first, second),
            *(_pair_categories(pair, scores, split, first, second) for split, scores in sides.items()),
            *(_pair_tasks(pair, scores, split, first, second) for split, scores in sides.items()),
        ),
        notes=run_notes(pair),
        failed=failed_fits(pair),
        baseline=second,
        rows_digest=rows_digest(pair.answers),
        facts=facts(pair),
    )


def _means(first: str, second: str) -> tuple[Column, Column]:
    return Column("first", first, "percent", "higher"), Column("second", second, "percent", "higher")


def _overall(summaries: dict[str, Summary], first: str, second: str) -> Table:
    rows = []
    for split, summary in summaries.items():
        table = summary.table.set_index("method")
        row = table.loc[first].to_dict() | {"on": SIDES[split], "first": table.loc[first, "mean"]}
        rows.append(row | {"second": table.loc[second, "mean"]})
    said = {
        split: [note for note in footers(summary) if not note.startswith("Groups")]
        for split, summary in summaries.items()
    }
    notes = dict.fromkeys(
        note if all(note in others for others in said.values()) else f"On {SIDES[split]}: {note}"
        for split, own in said.items()
        for note in own
    )
    tests = (Column("p", "p", "p"), Column("p_seed", "p seed", "p"), *_TESTS[2:])
    columns = (*_means(first, second), _DELTA, *tests, _SIZES)
    return Table(
        "comparison", f"Δ = {first} - {second}", pd.DataFrame(rows), (Column("on", "On"),), columns, tuple(notes), "gap"
    )


def _gaps(results: Results, first: str, second: str) -> list[Table]:
    """The difference of the two gaps, if there are both sides."""
    gap_alone = replace(results, answers=results.answers[results.answers["protocol"] == "gap"])
    frames, _ = measured(gap_alone)
    tables = [against(table, second) for table in protocol_tables(frames) if table.name == "gap_differences"]
    return [replace(table, name="gap", frame=table.frame[table.frame["method"] == first]) for table in tables]


def _pair_categories(results: Results, scores: pd.DataFrame, split: str, first: str, second: str) -> Table:
    frame = _category_deltas(results, scores, second)
    frame = frame.assign(first=frame["mean"], second=frame["mean"] - frame["delta"]).sort_values(
        "delta", ascending=False
    )
    columns = (*_means(first, second), replace(_DELTA, mark=""), _CATEGORY_SIZES)
    title = f"By category, {SIDES[split]}"
    return Table(
        f"categories_{split}", title, frame, (Column("category", "Category"),), columns, (_CATEGORY_NOTE,), "gap"
    )


def _pair_tasks(results: Results, scores: pd.DataFrame, split: str, first: str, second: str) -> Table:
    wide = scores.groupby(["task", "method"])["score"].mean().unstack()
    categories = results.tasks.set_index("task")["category"]
    frame = pd.DataFrame({"first": wide[first], "second": wide[second], "delta": wide[first] - wide[second]})
    frame = frame.sort_values("delta", ascending=False).reset_index()
    frame["category"] = frame["task"].map(categories)
    columns = (*_means(first, second), Column("delta", "Δ", "difference", "higher"), Column("category", "Category"))
    notes = ("Means over seeds, the largest differences at the two ends. One task's difference is mostly noise.",)
    return Table(f"tasks_{split}", f"By task, {SIDES[split]}", frame, (Column("task", "Task"),), columns, notes, "gap")
