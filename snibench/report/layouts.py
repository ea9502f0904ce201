"""How the frames of protocols are drawn: a title, the columns that name a row, the columns to show.

A column whose field a frame has not is left out, and a frame without a layout (a plugin's) gets a plain one, so
that a protocol can change its frames without a change here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snibench.report.values import Column, Table

if TYPE_CHECKING:
    import pandas as pd

METHOD = Column("method", "Method")
CONTROLS = ("untuned", "copy-input", "copy-demo", "majority")  # stand above the methods, in this order

_FEW_SOURCES = "No interval for a category with fewer than 5 source datasets."


@dataclass(frozen=True, slots=True)
class Layout:
    """How one frame is drawn; the fields are those of ``Table``."""

    title: str
    keys: tuple[Column, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    across: str = ""
    detail: bool = False


LAYOUTS: Mapping[tuple[str, str], Layout] = {
    ("gap", "gap"): Layout(
        "Generalization gap: held-out instances of seen tasks against unseen tasks",
        keys=(METHOD,),
        columns=(
            Column("seen", "Seen", "percent", "higher", "seen_low", "seen_high", "n_seen"),
            Column("unseen", "Unseen", "percent", "higher", "unseen_low", "unseen_high", "n_unseen"),
            Column("gap", "Gap", "difference", "lower", "gap_low", "gap_high", "n_unseen"),
            Column("relative_gap", "Gap / seen", "percent", "lower"),
            Column("seen_normalised", "Seen above chance", "percent", "higher"),
            Column("unseen_normalised", "Unseen above chance", "percent", "higher"),
            Column("gap_normalised", "Gap above chance", "difference", "lower"),
            Column("unseen_clean", "Unseen, no alias leak", "percent", "higher"),
            Column("seen_closed", "Seen, closed tasks", "percent", "higher"),
            Column("seen_ranked", "Seen, label ranked", "percent", "higher"),
            Column("unseen_closed", "Unseen, closed tasks", "percent", "higher"),
            Column("unseen_ranked", "Unseen, label ranked", "percent", "higher"),
            Column("seen_pooled", "Seen pooled", "percent", "higher"),
            Column("unseen_pooled", "Unseen pooled", "percent", "higher"),
            Column("n_seen", "Tasks seen/unseen", "count", also=("n_unseen",)),
            Column("n_seeds", "Seeds", "count"),
        ),
        notes=(
            "Means over tasks of exact match or ROUGE-L, each task's own metric. Gap = seen - unseen; it mixes "
            "generalization with how hard the tasks are, so compare gaps between methods, not with 0.",
            "Above chance: (score - chance) / (1 - chance). Pooled: mean over instances, as upstream prints it.",
        ),
    ),
    ("gap", "gap_categories_unseen"): Layout(
        "Unseen tasks by category",
        keys=(
            Column("category", "Category"),
            Column("metric", "Metric"),
            Column("n_unseen", "Tasks", "count", about=True),
            METHOD,
        ),
        columns=(Column("unseen", "Unseen", "percent", "higher", "unseen_low", "unseen_high", "n_unseen"),),
        notes=(_FEW_SOURCES,),
        across="method",
    ),
    ("gap", "gap_categories_seen"): Layout(
        "Held-out instances of seen tasks by category",
        keys=(
            Column("category", "Category"),
            Column("metric", "Metric"),
            Column("n_seen", "Tasks", "count", about=True),
            METHOD,
        ),
        columns=(Column("seen", "Seen", "percent", "higher", "seen_low", "seen_high", "n_seen"),),
        notes=(_FEW_SOURCES,),
        across="method",
    ),
    ("gap", "gap_crossfit"): Layout(
        "Generalization gap by cross-fitting: the same tasks, seen by one fit and not by the other",
        keys=(METHOD,),
        columns=(
            Column("gap", "Gap", "difference", "lower", "gap_low", "gap_high", "n_tasks"),
            Column("seen", "Seen", "percent", "higher", "seen_low", "seen_high", "n_tasks"),
            Column("unseen", "Not seen", "percent", "higher", "unseen_low", "unseen_high", "n_tasks"),
            Column("relative_gap", "Gap / seen", "percent", "lower"),
            Column("gap_normalised", "Gap above chance", "difference", "lower"),
            Column("n_tasks", "Tasks/sources/seeds", "count", also=("n_sources", "n_seeds")),
        ),
        notes=(
            "Two fits, each on half of the seen tasks, no source in both halves. Gap: mean over tasks of the score "
            "after the fit that saw the task minus that after the other, so that how hard tasks are cancels out.",
        ),
    ),
    ("gap", "gap_crossfit_differences"): Layout(
        "Difference of gaps by cross-fitting, paired by task",
        keys=(Column("versus", "Versus"), METHOD),
        columns=(Column("difference", "Difference", "difference", "lower", "low", "high"),),
    ),
    ("gap", "gap_crossfit_categories"): Layout(
        "Gap by cross-fitting, by category",
        keys=(
            Column("category", "Category"),
            Column("metric", "Metric"),
            Column("n_tasks", "Tasks", "count", about=True),
            METHOD,
        ),
        columns=(Column("gap", "Gap", "difference", "lower", "gap_low", "gap_high", "n_tasks"),),
        notes=(_FEW_SOURCES,),
        across="method",
    ),
    ("gap", "gap_crossfit_tasks"): Layout(
        "Gap by cross-fitting, by task",
        keys=(Column("task", "Task"), METHOD, Column("seed", "Seed", "count")),
        columns=(
            Column("gap", "Gap", "difference", "lower"),
            Column("seen", "Seen", "percent", "higher"),
            Column("unseen", "Not seen", "percent", "higher"),
        ),
        detail=True,
    ),
    ("formats", "format_spread"): Layout(
        "Format perturbation: the same instances in several formats",
        keys=(METHOD,),
        columns=(
            Column("mean", "Mean", "percent", "higher", "mean_low", "mean_high", "n_tasks"),
            Column("worst", "Worst format", "percent", "higher", "worst_low", "worst_high", "n_tasks"),
            Column("spread_mean", "Spread", "points", "lower", "spread_low", "spread_high", "n_tasks"),
            Column("spread_null", "Spread by noise", "points"),
            Column("spread_independent", "by coins", "points"),
            Column("spread_median", "Median spread", "points", "lower"),
            Column("sd", "SD", "points", "lower"),
            Column("avgp", "AvgP", "percent", "higher"),
            Column("maxp", "MaxP", "percent", "higher"),
            Column("sat", "Sat", "number", "higher"),
            Column("cps", "CPS", "number", "higher"),
            Column("disagreement", "Disagreement", "percent", "lower"),
            Column("always_right", "Always right", "percent", "higher"),
            Column("always_wrong", "Always wrong", "percent", "lower"),
            Column("unstable", "Unstable", "percent", "lower"),
        ),
        notes=(
            "Spread: best minus worst format of a task, mean over tasks. It is above 0 by noise alone: spread by noise "
            "is what permuting the formats of each instance gives, so read the spread against it.",
            "Worst format: mean over tasks of each task's lowest. Sat = 1 - (MaxP - AvgP), CPS = Sat x MaxP. "
            "Disagreement: share of pairs of formats in which an instance is scored differently.",
        ),
    ),
    ("formats", "formats"): Layout(
        "Score by format",
        keys=(
            Column("group", "Group", about=True),
            Column("format", "Format"),
            Column("seen_in_training", "Trained on", about=True),
            METHOD,
        ),
        columns=(Column("score", "Score", "percent", "higher", "low", "high", "n_tasks"),),
        notes=(
            "Group I keeps the information of the definition, II changes it (examples add, abstract removes); "
            "control is a floor. Compare forms within a group.",
        ),
        across="method",
    ),
    ("formats", "format_groups"): Layout(
        "Format perturbation by kind of format",
        keys=(Column("formats", "Formats"), METHOD),
        columns=(
            Column("mean", "Mean", "percent", "higher", "mean_low", "mean_high", "n_tasks"),
            Column("worst", "Worst format", "percent", "higher", "worst_low", "worst_high", "n_tasks"),
            Column("spread_mean", "Spread", "points", "lower", "spread_low", "spread_high", "n_tasks"),
            Column("spread_null", "Spread by noise", "points"),
            Column("n_formats", "Formats", "count"),
        ),
        notes=(
            "Group I keeps the information of the definition, II changes it. Observed: the formats that the method was "
            "tuned in. A spread grows with the number of formats: compare it between methods, not between kinds.",
        ),
    ),
    ("formats", "format_ranks"): Layout(
        "Rank of each method by format (1 is best)",
        keys=(Column("format", "Format"), METHOD),
        columns=(Column("rank", "Rank", "number", "lower"),),
        across="method",
    ),
    ("formats", "format_agreement"): Layout(
        "How far formats agree on the ranking of the methods",
        keys=(),
        columns=(
            Column("kendall_w", "Kendall W", "number", "higher", "kendall_w_low", "kendall_w_high"),
            Column("tau_b", "Mean tau-b", "number", "higher", "tau_b_low", "tau_b_high"),
            Column("top1", "Same best", "number", "higher", "top1_low", "top1_high"),
            Column("n_formats", "Formats", "count"),
            Column("n_methods", "Methods", "count"),
        ),
        notes=("1: every format ranks the methods alike. Intervals by resampling tasks.",),
    ),
    ("combos", "combo_means"): Layout(
        "Task combinations: accuracy of streams that switch between two families of tasks",
        keys=(Column("metric", "Metric", about=True), METHOD),
        columns=(
            Column("median", "Median", "percent", "higher", n="n_boxes"),
            Column("iqr", "IQR", "points", "lower", n="n_boxes"),
            Column("p5", "5th percentile", "percent", "higher", n="n_boxes"),
            Column("min", "Worst stream", "percent", "higher", n="n_boxes"),
            Column("noise_sd", "Noise SD", "points", n="n_boxes"),
            Column("excess_sd", "Excess SD", "points", "lower", n="n_boxes"),
            Column("n_boxes", "Boxes", "count"),
        ),
        notes=(
            "Each number is of the streams of one box (a combo, schedule and history), then a mean over the boxes with "
            "the metric that most of them have; the worst stream is the worst of all.",
            "Noise SD: what chance alone gives to streams of this length; excess SD: what is left beyond it.",
        ),
    ),
    ("combos", "combos"): Layout(
        "Median stream accuracy by combo and history",
        keys=(
            Column("combo", "Combo"),
            Column("metric", "Metric", about=True),
            Column("schedule", "Schedule"),
            METHOD,
            Column("history", "History"),
        ),
        columns=(
            Column("median", "Median", "percent", "higher", n="n_streams"),
            Column("mean", "Mean", "percent", "higher", "low", "high", "n_streams"),
            Column("iqr", "IQR", "points", "lower", n="n_streams"),
            Column("excess_sd", "Excess SD", "points", "lower", n="n_streams"),
        ),
        notes=(
            "History: the solved instances before each question: none, of the same task, of the other side's task.",
        ),
        across="history",
    ),
    ("combos", "switch_cost"): Layout(
        "Switch cost: score after solved instances of the same task minus after those of another",
        keys=(
            Column("combo", "Combo"),
            Column("schedule", "Schedule"),
            Column("side", "Side"),
            Column("metric", "Metric", about=True),
            METHOD,
        ),
        columns=(Column("cost", "Cost", "difference", "lower", "low", "high", "n"),),
        across="method",
    ),
    ("combos", "combo_streams"): Layout(
        "Accuracy of every stream",
        keys=(
            Column("combo", "Combo"),
            Column("schedule", "Schedule"),
            Column("history", "History"),
            Column("metric", "Metric", about=True),
            METHOD,
            Column("stream", "Stream", "count"),
            Column("seed", "Seed", "count"),
        ),
        columns=(Column("accuracy", "Accuracy", "percent", "higher"),),
        detail=True,
    ),
    ("combos", "combo_differences"): Layout(
        "Differences in spread between methods, streams resampled in pairs",
        keys=(
            Column("combo", "Combo"),
            Column("schedule", "Schedule"),
            Column("history", "History"),
            Column("metric", "Metric", about=True),
            Column("versus", "Versus"),
            METHOD,
        ),
        columns=(
            Column("iqr_difference", "IQR", "difference", "lower", "iqr_difference_low", "iqr_difference_high"),
            Column(
                *("excess_sd_difference", "Excess SD", "difference", "lower"),
                *("excess_sd_difference_low", "excess_sd_difference_high"),
            ),
        ),
        detail=True,
    ),
    ("combos", "combo_training"): Layout(
        "Tuning on two families of tasks: accuracy of each of their tasks",
        keys=(Column("combo", "Combo"), Column("metric", "Metric", about=True), METHOD),
        columns=(
            Column("median", "Median", "percent", "higher", n="n"),
            Column("mean", "Mean", "percent", "higher", "low", "high", "n_tasks"),
            Column("iqr", "IQR", "points", "lower", n="n"),
            Column("p5", "5th percentile", "percent", "higher", n="n"),
            Column("min", "Worst", "percent", "higher", n="n"),
            Column("noise_sd", "Noise SD", "points", n="n"),
            Column("excess_sd", "Excess SD", "points", "lower", n="n"),
            Column("n_seeds", "Seeds x mixtures x tasks", "count", also=("n_mixtures", "n_tasks")),
        ),
        notes=(
            "The box is over seeds x mixtures x tasks. Intervals of the mean: over sources, with fewer than five of "
            "them over seeds, and then for these tasks only.",
        ),
    ),
    ("combos", "combo_interference"): Layout(
        "Interference: tuned on both sides of a combo against its own side alone",
        keys=(
            Column("combo", "Combo"),
            Column("mixture", "A:B"),
            Column("side", "Side"),
            Column("metric", "Metric", about=True),
            METHOD,
        ),
        columns=(
            Column("difference", "Joint - alone", "difference", "higher", "low", "high", "n_tasks"),
            Column("single", "Alone", "percent", "higher"),
            Column("joint", "Joint", "percent", "higher"),
            Column("delta_m", "Δm", "percent", "higher"),
            Column("interference", "Interference", "percent", "lower"),
            Column("worst", "Worst task", "percent", "lower"),
            Column("worst_task", "Which"),
            Column("n_tasks", "Tasks", "count"),
        ),
        notes=(
            "Of a task: I = (alone - joint) / alone, on raw scores. Interference: mean of max(0, I); Δm: mean of -I; "
            "worst: the largest I. Equal steps for every fit, so a side has fewer of them in a mixture.",
        ),
    ),
    ("combos", "combo_training_tasks"): Layout(
        "Accuracy of every task after every mixture",
        keys=(
            Column("combo", "Combo"),
            Column("mixture", "A:B"),
            Column("side", "Side"),
            Column("metric", "Metric", about=True),
            METHOD,
            Column("task", "Task"),
            Column("seed", "Seed", "count"),
        ),
        columns=(Column("accuracy", "Accuracy", "percent", "higher"),),
        detail=True,
    ),
}


def laid_out(protocol: str, name: str, frame: pd.DataFrame) -> Table:
    """``frame`` of ``protocol`` as a table, drawn as ``LAYOUTS`` says or plainly."""
    layout = LAYOUTS.get((protocol, name)) or _plain_layout(protocol, name, frame)
    columns = present(layout.columns, frame)
    return Table(
        name=name,
        title=layout.title,
        frame=frame,
        keys=present(layout.keys, frame),
        columns=columns,
        notes=layout.notes,
        protocol=protocol,
        across=layout.across if columns else "",
        detail=layout.detail,
    )


def present(columns: Sequence[Column], frame: pd.DataFrame) -> tuple[Column, ...]:
    """The columns that ``frame`` has something for, each leaning only on fields that are there."""
    fields = {str(name) for name in frame.columns}
    return tuple(
        replace(
            column,
            low=column.low if column.low in fields else "",
            high=column.high if column.high in fields else "",
            n=column.n if column.n in fields else "",
            mark=column.mark if column.mark in fields else "",
            also=tuple(name for name in column.also if name in fields),
        )
        for column in columns
        if column.field in fields and frame[column.field].notna().any()
    )


def ordered(table: Table, order: Sequence[str]) -> Table:
    """``table`` with its methods in ``order``, inside whatever else its rows are grouped by."""
    if "method" not in table.frame:
        return table
    groups = [key.field for key in table.keys if key.field != "method"]
    group = table.frame.groupby(groups, sort=False, dropna=False).ngroup() if groups else 0
    place = table.frame["method"].map({label: index for index, label in enumerate(order)})
    frame = table.frame.assign(_group=group, _place=place).sort_values(["_group", "_place"], kind="stable")
    return replace(table, frame=frame.drop(columns=["_group", "_place"]).reset_index(drop=True))


def _plain_layout(protocol: str, name: str, frame: pd.DataFrame) -> Layout:
    """Text columns name the row; a number X with X_low and X_high beside it has an interval."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    numeric = [str(c) for c in frame.columns if is_numeric_dtype(frame[c]) and not is_bool_dtype(frame[c])]
    ends = {f"{field}_{end}" for field in numeric for end in ("low", "high")}
    words = name.replace("_", " ")
    return Layout(
        title=f"{protocol}: {words}" if name != protocol else words,
        keys=tuple(Column(str(c), str(c)) for c in frame.columns if str(c) not in numeric),
        columns=tuple(
            Column(field, field.replace("_", " "), "number", low=f"{field}_low", high=f"{field}_high")
            for field in numeric
            if field not in ends
        ),
    )
