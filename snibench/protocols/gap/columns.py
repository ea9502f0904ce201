"""Layout of the frames of protocol ``gap``."""

from __future__ import annotations

from collections.abc import Mapping

from snibench.base.types import METHOD, Column, Frame
from snibench.base.types.frames import described

_FEW_SOURCES = "No interval for a category with fewer than 5 source datasets."

_FRAMES: Mapping[str, Frame] = {
    "gap": Frame(
        "Generalization gap: held-out instances of seen tasks against unseen tasks",
        figure="gap",
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
        summary={"seen": "Seen", "unseen": "Unseen", "gap": "Gap"},
        headline="unseen",
        summary_note="Seen: held-out instances of tasks that were tuned on; unseen: other tasks; gap: seen - unseen. "
        "Means over tasks of exact match or ROUGE-L, whichever is the task's own.",
    ),
    "gap_categories_unseen": Frame(
        "Unseen tasks by category",
        figure="categories",
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
    "gap_categories_seen": Frame(
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
    "gap_crossfit": Frame(
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
    "gap_crossfit_differences": Frame(
        "Difference of gaps by cross-fitting, paired by task",
        keys=(Column("versus", "Versus"), METHOD),
        columns=(Column("difference", "Difference", "difference", "lower", "low", "high"),),
    ),
    "gap_crossfit_categories": Frame(
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
    "gap_crossfit_tasks": Frame(
        "Gap by cross-fitting, by task",
        keys=(Column("task", "Task"), METHOD, Column("seed", "Seed", "count")),
        columns=(
            Column("gap", "Gap", "difference", "lower"),
            Column("seen", "Seen", "percent", "higher"),
            Column("unseen", "Not seen", "percent", "higher"),
        ),
        detail=True,
    ),
}
# Field, or FRAME.field where a frame has another meaning for it -> what the number is.
_MEANINGS: Mapping[str, str] = {
    "seen": "mean over seen tasks of the score on their held-out instances",
    "unseen": "mean over unseen tasks of the score",
    "gap": "score after the fit that saw the task minus that after the other, mean over tasks",
    "relative_gap": "gap as a share of the score on seen tasks",
    "seen_normalised": "mean of (score - chance) / (1 - chance) over seen tasks",
    "unseen_normalised": "the same over unseen tasks",
    "gap_normalised": "the gap of the scores above chance",
    "unseen_clean": "mean over the unseen tasks that are no other name of a seen one's data",
    "seen_closed": "mean over seen tasks with a closed set of answers",
    "seen_ranked": "the same tasks, the likeliest label taken for the answer",
    "unseen_closed": "mean over unseen tasks with a closed set of answers",
    "unseen_ranked": "the same tasks, the likeliest label taken for the answer",
    "seen_pooled": "mean over instances, not tasks, of seen tasks",
    "unseen_pooled": "mean over instances, not tasks, of unseen tasks",
    "n_seen": "seen tasks",
    "n_seeds": "training seeds",
    "category": "category of the tasks",
    "metric": "metric of the tasks; two are never averaged as they are",
    "n_unseen": "unseen tasks",
    "n_tasks": "tasks",
    "versus": "the method that it is compared with",
    "difference": "difference of the two methods' gaps, paired by task",
    "task": "task",
    "seed": "training seed",
    "gap_crossfit.seen": "mean over tasks after the fit that saw the task",
    "gap_crossfit_tasks.seen": "mean over tasks after the fit that saw the task",
    "gap_crossfit.unseen": "mean over tasks after the fit that did not see the task",
    "gap_crossfit_tasks.unseen": "mean over tasks after the fit that did not see the task",
    "gap.gap": "seen - unseen",
}
FRAMES: Mapping[str, Frame] = described(_FRAMES, _MEANINGS)
