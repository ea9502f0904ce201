"""Layout of the frames of protocol ``formats``."""

from __future__ import annotations

from collections.abc import Mapping

from snibench.base.types import METHOD, Column, Frame
from snibench.base.types.frames import described

_FRAMES: Mapping[str, Frame] = {
    "format_spread": Frame(
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
        summary={"mean": "Formats", "spread_mean": "Spread"},
        headline="mean",
        summary_note=("Formats: mean over formats; spread: best minus worst format of a task, mean over tasks."),
    ),
    "formats": Frame(
        "Score by format",
        figure="formats",
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
    "format_groups": Frame(
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
    "format_ranks": Frame(
        "Rank of each method by format (1 is best)",
        keys=(Column("format", "Format"), METHOD),
        columns=(Column("rank", "Rank", "number", "lower"),),
        across="method",
    ),
    "format_agreement": Frame(
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
}
# Field, or FRAME.field where a frame has another meaning for it -> what the number is.
_MEANINGS: Mapping[str, str] = {
    "mean": "mean over formats and tasks",
    "worst": "mean over tasks of each task's worst format",
    "spread_mean": "best minus worst format of a task, mean over tasks",
    "spread_null": "the mean spread if the format did not matter, by permuting formats within instances",
    "spread_independent": "the mean spread if every answer were an independent coin: an upper bound of the noise",
    "spread_median": "best minus worst format of a task, median over tasks",
    "sd": "standard deviation over formats, mean over tasks",
    "avgp": "mean over formats, mean over tasks",
    "maxp": "mean over tasks of each task's best format",
    "sat": "saturation of Mizrahi et al. (2024): 1 - (MaxP - AvgP)",
    "cps": "combined score of Mizrahi et al. (2024): Sat x MaxP",
    "disagreement": "share of pairs of formats in which an instance is scored differently",
    "always_right": "share of instances that are right in every format",
    "always_wrong": "share of instances that are right in no format",
    "unstable": "share of instances that are right in some formats",
    "group": "I keeps the information of the definition, II changes it, control is a floor",
    "format": "format of the prompts",
    "seen_in_training": "the method was tuned in this format",
    "score": "mean over tasks",
    "formats": "which formats: of a group, or those that the method was tuned in or not",
    "n_formats": "formats",
    "rank": "1 is the highest score",
    "kendall_w": "agreement of the formats' rankings of the methods, from 0 to 1",
    "tau_b": "Kendall's tau-b of two formats' rankings, mean over pairs",
    "top1": "share of pairs of formats that have the same best method",
    "n_methods": "methods",
}
FRAMES: Mapping[str, Frame] = described(_FRAMES, _MEANINGS)
