"""Does the similarity of tasks explain the results? Of definitions, against what the stored rows say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from snibench.base.errors import StoreError
from snibench.data.definition_similarity import definition_similarity
from snibench.protocols.panel import resampling, source_clusters
from snibench.report.comparison import task_scores
from snibench.report.fits import controls, facts, failed_fits, floors, labels, run_notes, title
from snibench.report.layouts import METHOD, ordered, present
from snibench.report.measures import measured
from snibench.report.values import Column, Report, Table, rows_digest
from snibench.stats.correlation import rank_correlation

if TYPE_CHECKING:
    from snibench.store import StoredRun

SCORE, GAIN = "score on unseen tasks", "gain over untuned on unseen tasks"
COST, SPREAD = "switch cost in combos", "excess SD of combos"
# Outcome -> what its similarity is of.
SIMILARITY = {
    SCORE: "to the nearest seen task",
    GAIN: "to the nearest seen task",
    COST: "to the tasks of the other side",
    SPREAD: "between the two sides",
}
_NOTES = (
    "Similarity: cosine of the TF-IDF vectors of two definitions, in [0, 1]. It needs no model and is the same for "
    "every method; tasks can be alike in what they ask and not in its words.",
    "Rank correlations of similarity and outcome, with 95% bootstrap intervals over source datasets of the seed means; "
    "none below five sources or combos. A correlation is no cause: hard tasks may also be the unusual ones, which is "
    "why the gain over the untuned model stands beside the score. Its ceiling depends on the untuned score.",
    "Switch cost: score after solved instances of the same task minus after those of the other side. Excess SD: spread "
    "of a combo's streams beyond noise, mean over histories; there are as many points as combos, which are few.",
)


def similarity_report(results: StoredRun) -> Report:
    """Rank correlations for every method, and the tasks and combos behind them.

    Raises:
        StoreError: If the run stored no definitions (snibench stores them since 0.2).
    """
    near = nearest_seen(results)
    unseen = unseen_outcomes(results, near)
    costs, spreads = combo_outcomes(results)
    points = {SCORE: unseen, GAIN: unseen, COST: costs, SPREAD: spreads}
    rows = [row for outcome, frame in points.items() for row in _correlations(results, outcome, frame)]
    order = [*controls(results), *(label for label in labels(results) if label not in controls(results))]
    tables = [
        _table("similarity", "Does similarity explain the results?", pd.DataFrame(rows), _CORRELATIONS, _NOTES),
        _table("similarity_combos", "Combos: similarity between their sides", spreads, _COMBOS),
        _table("similarity_unseen", "Unseen tasks and the seen task that is most alike", near, _NEAREST),
        _table("similarity_outcomes", "Every unseen task and method", unseen, _UNSEEN, detail=True),
        _table("similarity_switches", "Every task in a combo and method", costs, _SWITCHES, detail=True),
    ]
    return Report(
        title=f"Similarity. {title(results)}",
        tables=tuple(ordered(table, order) for table in tables if len(table.frame)),
        notes=run_notes(results),
        failed=failed_fits(results),
        baseline="",
        rows_digest=rows_digest(results.answers),
        facts=facts(results),
    )


# ------------------------------------------------------------------------------------- measures


def similarities(results: StoredRun) -> pd.DataFrame:
    """Task x task similarity of definitions.

    Raises:
        StoreError: If the run stored no definitions.
    """
    tasks = results.tasks
    if "definition" not in tasks or tasks["definition"].isna().all():
        raise StoreError(
            f"The run in '{results.folder}' was made by a snibench that stored no definitions of tasks. "
            "Repeat the run with --overwrite always, or in another folder."
        )
    names = tasks["task"].tolist()
    texts = tasks["definition"].fillna("").tolist()
    return pd.DataFrame(definition_similarity(texts), index=names, columns=names)


def nearest_seen(results: StoredRun) -> pd.DataFrame:
    """task, category, nearest, similarity: for every unseen task the seen one that is most alike."""
    alike = similarities(results)
    about = results.tasks.set_index("task")
    seen = about["seen"].astype(bool)
    table = alike.loc[~seen, seen]
    if not table.size:
        return pd.DataFrame(columns=["task", "category", "nearest", "similarity"])
    frame = pd.DataFrame(
        {
            "task": table.index,
            "category": about["category"].loc[table.index].to_numpy(),
            "nearest": table.idxmax(axis=1).to_numpy(),
            "similarity": table.max(axis=1).to_numpy(),
        }
    )
    return frame.sort_values(["similarity", "task"], ascending=[False, True], ignore_index=True)


def unseen_outcomes(results: StoredRun, near: pd.DataFrame) -> pd.DataFrame:
    """method, task, similarity, and score and gain over the untuned model, seed means; one row per method and task."""
    scores = task_scores(results, "unseen").groupby(["method", "task"], sort=False)["score"].mean().reset_index()
    frame = scores.merge(near[["task", "category", "similarity"]], on="task").rename(columns={"score": SCORE})
    before = set(controls(results)) - set(floors(results))
    base = frame[frame["method"].isin(before)].drop_duplicates("task").set_index("task")[SCORE]
    tuned = ~frame["method"].isin(before)
    frame[GAIN] = (frame[SCORE] - frame["task"].map(base)).where(tuned)
    return frame[["method", "task", "category", "similarity", SCORE, GAIN]]


def combo_outcomes(results: StoredRun) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Switch costs by task, and spreads by combo, each with its similarity; empty where there are no switches."""
    of_combos = results.answers["variant"].str.contains('"history"', regex=False)
    rows = results.answers[of_combos].reset_index(drop=True)
    costs = pd.DataFrame(columns=["method", "combo", "side", "task", "similarity", COST])
    spreads = pd.DataFrame(columns=["method", "combo", "similarity", "iqr", SPREAD])
    parts = [json.loads(text) for text in rows["variant"]] if len(rows) else []
    labels = pd.DataFrame({key: [part.get(key, "") for part in parts] for key in ("combo", "history")})
    switched = pd.concat([rows, labels], axis=1)
    switched = switched[switched["history"].isin(["none", "same", "other"])] if len(rows) else switched
    if not len(switched):
        return costs, spreads
    alike = similarities(results)
    sides = switched.groupby(["combo", "side"])["task"].unique().to_dict()
    per_task = switched.groupby(["method", "combo", "side", "task", "history"])["score"].mean().unstack("history")
    if {"same", "other"} <= set(per_task):
        frame = (per_task["same"] - per_task["other"]).dropna().rename(COST).reset_index()
        other = {"A": "B", "B": "A"}
        frame["similarity"] = [
            float(alike.loc[task, list(sides[combo, other[side]])].mean())
            for combo, side, task in frame[["combo", "side", "task"]].itertuples(index=False)
        ]
        costs = frame[list(costs.columns)]
    measures, _ = measured(replace(results, answers=rows))
    boxes = next((own.frames["combos"] for own in measures if "combos" in own.frames), None)
    if boxes is not None and len(boxes):
        between = {
            combo: float(alike.loc[list(sides[combo, "A"]), list(sides[combo, "B"])].to_numpy().mean())
            for combo in switched["combo"].unique()
        }
        mean = boxes.groupby(["method", "combo"], sort=False)[["iqr", "excess_sd"]].mean().reset_index()
        mean = mean[mean["combo"].isin(list(between))].rename(columns={"excess_sd": SPREAD})
        spreads = mean.assign(similarity=mean["combo"].map(between))[list(spreads.columns)]
    return costs, spreads


def _correlations(results: StoredRun, outcome: str, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per method: how far ``outcome`` follows the similarity."""
    sources = source_clusters(results.tasks)
    rows = []
    for method, own in frame.groupby("method", sort=False):
        known = own[own[outcome].notna()]
        if len(known) < 3:
            continue
        units = known["task"].map(sources).astype(str).tolist() if "task" in known else None
        correlation = rank_correlation(
            known["similarity"].to_numpy(np.float64), known[outcome].to_numpy(np.float64),
            rng=resampling("similarity"), clusters=units,
        )  # fmt: skip
        row: dict[str, Any] = {"outcome": outcome, "similarity_of": SIMILARITY[outcome], "method": method}
        for name, interval in (("spearman", correlation.spearman), ("kendall", correlation.kendall)):
            row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        rows.append({**row, "n": correlation.n, "n_units": correlation.units})
    return rows


# --------------------------------------------------------------------------------------- tables

_SIMILARITY = Column("similarity", "Similarity", "number")
_CORRELATIONS = (
    (Column("outcome", "Outcome"), Column("similarity_of", "Similarity", about=True), METHOD),
    (
        Column("spearman", "Spearman", "number", "", "spearman_low", "spearman_high", "n"),
        Column("kendall", "Kendall tau-b", "number", "", "kendall_low", "kendall_high", "n"),
        Column("n", "Points/units", "count", also=("n_units",)),
    ),
)
_COMBOS = (
    (Column("combo", "Combo"), METHOD),
    (_SIMILARITY, Column("iqr", "IQR", "points", "lower"), Column(SPREAD, "Excess SD", "points", "lower")),
)
_NEAREST = (
    (Column("task", "Task"),),
    (_SIMILARITY, Column("nearest", "Nearest seen task"), Column("category", "Category")),
)
_UNSEEN = (
    (Column("task", "Task"), METHOD),
    (_SIMILARITY, Column(SCORE, "Score", "percent", "higher"), Column(GAIN, "Gain", "difference", "higher")),
)
_SWITCHES = (
    (Column("combo", "Combo"), Column("side", "Side"), Column("task", "Task"), METHOD),
    (_SIMILARITY, Column(COST, "Switch cost", "difference", "lower")),
)
_Columns = tuple[tuple[Column, ...], tuple[Column, ...]]


def _table(
    name: str, title: str, frame: pd.DataFrame, shown: _Columns, notes: tuple[str, ...] = (), *, detail: bool = False
) -> Table:
    keys, columns = shown
    return Table(name, title, frame, keys, present(columns, frame), notes, detail=detail)
