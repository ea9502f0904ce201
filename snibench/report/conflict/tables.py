"""Tables of the gradient conflict between tasks, for reports and for `snibench conflicts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from snibench.base.errors import StoreError, unknown
from snibench.report.cells import number
from snibench.report.conflict.reading import conflict_points, pair_frame
from snibench.report.fits import facts, run_notes, title
from snibench.report.layouts import METHOD, ordered, present
from snibench.report.values import Column, Report, Table, rows_digest
from snibench.stats.conflict import UNRESOLVED

if TYPE_CHECKING:
    from snibench.store import StoredRun

STRONGEST = 12  # pairs that are shown; exports have all
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


def conflict_tables(results: StoredRun, order: Sequence[str]) -> list[Table]:
    """Table of every method at every measured point; none if conflict was not measured."""
    frame = conflict_points(results)
    if not len(frame):
        return []
    table = Table("conflict", "Gradient conflict", frame, (_SHARE, METHOD), present(_POINTS, frame), _POINT_NOTES)
    return [ordered(table, order)]


def build_conflicts(results: StoredRun, methods: Sequence[str] = ()) -> Report:
    """Report of the gradient conflict in ``results``: every method at every point, and its pairs of tasks.

    Args:
        results: What ``store.load_results`` reads.
        methods: Labels to show; none = all that were measured.

    Raises:
        UsageError: If a method was not measured.
        StoreError: If none was.
    """
    points, pairs = conflict_points(results), pair_frame(results)
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
    """Pairs of tasks that pull furthest apart, of every method at its last point."""
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
