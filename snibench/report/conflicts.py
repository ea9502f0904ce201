"""Which tasks' gradients conflict: a run's measurements as tables, and as a heat map of characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.style import Style
from rich.text import Text

from snibench.base.errors import StoreError, unknown
from snibench.report.cells import number, printable
from snibench.report.fits import UNRESOLVED, conflict, facts, run_notes, title
from snibench.report.layouts import METHOD, present
from snibench.report.traces import conflict_pairs
from snibench.report.values import Column, Report, Table, rows_digest

if TYPE_CHECKING:
    from snibench.store import StoredRun

STRONGEST = 12  # pairs that are shown; exports have all
_LEVEL = 1.64  # standard errors below zero at which a pair counts as conflicting: one-sided 5 %
FORMULA = (
    "cos(g_t, g_u) = <g_t, g_u> / (n_t n_u), on probe instances that are never trained on, norms corrected for the "
    "noise of finite samples; means over seeds"
)

_SHARE = Column("share", "Trained", "share")
_POINTS = (
    Column("score", "Score", "number", "lower", "score_low", "score_high", "n_seeds", mark="unresolved"),
    Column("score_raw", "Raw score", "number", "lower"),
    Column("rate", "Rate", "percent", "lower"),
    Column("rate_raw", "Raw rate", "percent", "lower"),
    Column("residual", "Residual", "number", "lower"),
    Column("standard_error", "Cosine SE", "number"),
    Column("mean_cosine", "Mean cosine", "number", "higher"),
    Column("magnitude_similarity", "Magnitudes", "number", "higher"),
    Column("output_score", "Score at output", "number", "lower"),
    Column("output_standard_error", "SE at output", "number"),
    Column("parameters", "Parameters", "count"),
    Column("tasks", "Tasks", "count"),
    Column("n_seeds", "Seeds", "count"),
)
_POINT_NOTES = (
    "Score: mean over pairs of tasks of max(0, -cos), cross-fitted: unbiased, and it may leave [0, 1] a little. Raw "
    "score and raw rate: the plain formulas, biased. A star: unresolved, the mean standard error of a pair's cosine "
    f"is above {UNRESOLVED}. Means over seeds; the score with a t interval.",
    "Rate: share of pairs whose cosine is negative at the one-sided 5% level. Residual: mean over tasks of max(0, -cos)"
    " between the rule's update and the task. Magnitudes: mean of 2 n_t n_u / (n_t^2 + n_u^2).",
    "Methods train different parameters, so compare them by the score at output: the same for a vector that is added "
    "to the last block's output, a space that all of them share.",
)
_PAIRS = (
    Column("cosine", "Cosine", "number", "higher", mark="conflicting"),
    Column("standard_error", "SE", "number"),
    Column("output_cosine", "Cosine at output", "number", "higher"),
    Column("n_seeds", "Seeds", "count"),
)
_SIDES = (Column("first", "Task"), Column("second", "Other task"))


def build_conflicts(results: StoredRun, methods: Sequence[str] = ()) -> Report:
    """What is known of the gradient conflict in ``results``: every method at every point, and its pairs of tasks.

    Args:
        results: What ``store.load_results`` reads.
        methods: Labels to show; none = all that were measured.

    Raises:
        UsageError: If a method was not measured.
        StoreError: If none was.
    """
    points, pairs = conflict(results), pair_frame(results)
    if not len(points) or not len(pairs):
        raise StoreError(f"No gradient conflict is stored in '{results.folder}'. Repeat the run with --conflict ends.")
    for method in methods:
        if method not in set(points["method"]):
            raise unknown("method with measured conflict", method, points["method"].unique())
    kept = list(methods) or list(dict.fromkeys(points["method"]))
    points = points[points["method"].isin(kept)].sort_values(["method", "share"], key=_in_order(kept))
    pairs = pairs[pairs["method"].isin(kept)].sort_values(["method", "share", "cosine"], key=_in_order(kept))
    keys = (METHOD, _SHARE)
    return Report(
        title=title(results),
        tables=(
            Table("conflict", "Gradient conflict", points, keys, present(_POINTS, points), _POINT_NOTES),
            _strongest(pairs),
            Table("pairs", "Pairs of tasks", pairs, (*keys, *_SIDES), present(_PAIRS, pairs), detail=True),
        ),
        notes=run_notes(results),
        failed=pd.DataFrame(),
        baseline="",
        rows_digest=rows_digest(results.answers),
        facts=facts(results),
    )


def pair_frame(results: StoredRun) -> pd.DataFrame:
    """method, share, first, second, their categories, and every number of the pair as a mean over seeds.

    Standard errors are averaged too: seeds share the probe, so their noise is the same. ``conflicting``: the cosine is
    negative at the one-sided 5 % level.
    """
    seeds = conflict_pairs(results)
    if not len(seeds):
        return seeds.drop(columns="seed")
    groups = seeds.groupby(["method", "share", "first", "second"], sort=False)
    pairs = groups.mean().drop(columns="seed").assign(n_seeds=groups.size()).reset_index()
    for side in ("first", "second"):
        pairs[f"{side}_category"] = pairs[side].map(categories(results)).fillna("")
    if "standard_error" in pairs:
        pairs["conflicting"] = pairs["cosine"] < -_LEVEL * pairs["standard_error"]
    return pairs


def categories(results: StoredRun) -> dict[str, str]:
    """The category of every task of the run."""
    return dict(zip(results.tasks["task"], results.tasks["category"], strict=True))


def panels(report: Report) -> dict[str, pd.DataFrame]:
    """The pairs to draw: of every method at its last point, or of a single method at every point."""
    pairs = report.table("pairs").frame
    points = list(dict.fromkeys(zip(pairs["method"], pairs["share"], strict=True)))
    several = len({method for method, _ in points}) > 1
    last = dict(points)
    return {
        f"{method}, {number(share, 'share')} trained": pairs[(pairs["method"] == method) & (pairs["share"] == share)]
        for method, share in points
        if not several or share == last[method]
    }


def scores(report: Report) -> dict[str, float]:
    """The score of every panel that has one."""
    points = report.table("conflict").frame
    return {
        f"{row['method']}, {number(row['share'], 'share')} trained": float(row["score"])
        for row in points.to_dict("records")
        if row["score"] == row["score"]
    }


def _strongest(pairs: pd.DataFrame) -> Table:
    """Of every method at its last point, the pairs that pull furthest apart."""
    last = pairs.groupby("method")["share"].transform("max")
    apart = pairs[(pairs["share"] == last) & (pairs["cosine"] < 0)].groupby("method", sort=False).head(STRONGEST)
    note = (
        f"At the last point measured, at most {STRONGEST} pairs a method. A star: negative at the one-sided 5% level, "
        "for this pair alone; of many pairs without conflict one in twenty has it, too."
    )
    notes, columns = (FORMULA + ".", note), present(_PAIRS, apart)
    return Table("strongest", "Tasks that pull apart most", apart, (METHOD, *_SIDES), columns, notes)


def _in_order(methods: Sequence[str]):  # type: ignore[no-untyped-def]  # pandas' key functions are not typed
    place = {method: index for index, method in enumerate(methods)}
    return lambda column: column.map(place) if column.name == "method" else column


# ------------------------------------------------------------------------------------ characters

_APART, _ALIKE = (230, 159, 0), (86, 180, 233)  # Okabe and Ito's orange and sky blue
# Where there are no colours: the sign, as often as the cosine reaches a third of the scale.
_SIGNS = {-3: "---", -2: "-- ", -1: " - ", 0: " . ", 1: " + ", 2: "++ ", 3: "+++"}


def heat_map(pairs: pd.DataFrame, of: Mapping[str, str], heading: str) -> list[Text]:
    """Task x task cosines as lines of coloured blocks, the sign in each; the colours are centred at 0.

    Args:
        pairs: Columns first, second, cosine; each pair once.
        of: Category of each task: tasks are ordered by it.
        heading: What is drawn.
    """
    tasks = sorted({*pairs["first"], *pairs["second"]}, key=lambda task: (of.get(task, "~"), task))
    place = {task: index for index, task in enumerate(tasks)}
    square = np.full((len(tasks), len(tasks)), np.nan)
    rows, columns = pairs["first"].map(place), pairs["second"].map(place)
    square[rows, columns] = square[columns, rows] = pairs["cosine"]
    finite = np.abs(square[np.isfinite(square)])
    limit = max(float(np.ceil(finite.max(initial=0.0) * 10 - 1e-6) / 10), 0.1)  # to the next tenth
    width = max(len(str(len(tasks))), 2)
    lines = [
        Text(printable(heading), style="bold cyan"),
        Text(" " * (width + 1)) + Text("".join(f"{index:^3}" for index in range(1, len(tasks) + 1)), style="dim"),
    ]
    for index, task in enumerate(tasks):
        line = Text(f"{index + 1:>{width}} ", style="dim")
        for column, value in enumerate(square[index]):
            line += _block(float(value), limit) if column != index else Text(" \\ ", style="dim")
        lines.append(line + Text(f" {printable(task, 48)} ({printable(of.get(task, ''), 32)})"))
    scale = Text(" " * (width + 1))
    for third in range(-3, 4):
        scale += _block(third / 3 * limit, limit)
    lines.append(scale + Text(f" {-limit:.1f} (apart) to {limit:+.1f} (alike); ?: too noisy to say", style="dim"))
    return lines


def _block(value: float, limit: float) -> Text:
    """Three columns for one cosine: its colour, and its sign for terminals without colours."""
    if not np.isfinite(value):
        return Text(" ? ", style="dim")
    share = max(-1.0, min(1.0, value / limit))
    end = _ALIKE if share > 0 else _APART
    red, green, blue = (round(255 + (channel - 255) * abs(share)) for channel in end)
    return Text(_SIGNS[round(3 * share)], style=Style(color="black", bgcolor=f"rgb({red},{green},{blue})"))
