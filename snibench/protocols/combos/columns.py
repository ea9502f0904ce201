"""Layout of the frames of protocol ``combos``."""

from __future__ import annotations

from collections.abc import Mapping

from snibench.base.types import METHOD, Column, Frame
from snibench.base.types.frames import described

_FRAMES: Mapping[str, Frame] = {
    "combo_means": Frame(
        "Task combinations: all combos, above chance",
        keys=(METHOD,),
        columns=(
            Column(
                *("above_chance", "Above chance", "percent", "higher"),
                *("above_chance_low", "above_chance_high", "n_tasks"),
            ),
            Column("median", "Median stream", "percent", "higher", n="n_boxes"),
            Column("iqr", "IQR", "points", "lower", n="n_boxes"),
            Column("p5", "5th percentile", "percent", "higher", n="n_boxes"),
            Column("min", "Worst stream", "percent", "higher", n="n_boxes"),
            Column("noise_sd", "Noise SD", "points", n="n_boxes"),
            Column("excess_sd", "Excess SD", "points", "lower", n="n_boxes"),
            Column("n_tasks", "Tasks", "count"),
            Column("n_boxes", "Boxes", "count"),
        ),
        notes=(
            "Above chance: 0 is guessing, 100 is perfect, negative is worse than guessing; so exact match and ROUGE-L "
            "may be averaged. Mean over the tasks of all combos and histories.",
            "The other numbers are of the streams of one box (a combo, schedule and history), above chance, then means "
            "over the boxes; the worst stream is the worst of all.",
            "Noise SD: what chance alone gives to streams of this length; excess SD: what is left beyond it.",
        ),
        summary={"above_chance": "Combos"},
        headline="above_chance",
        summary_note="Combos: streams that switch between two families of tasks, all combos and histories, mean over "
        "tasks of the score above chance (0 is guessing, 100 is perfect).",
    ),
    "combos": Frame(
        "Median stream accuracy by combo and history",
        figure="combos",
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
    "switch_cost": Frame(
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
    "combo_streams": Frame(
        "Accuracy of every stream",
        figure="combo-streams",
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
    "combo_differences": Frame(
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
    "combo_training": Frame(
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
    "combo_interference": Frame(
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
    "combo_training_tasks": Frame(
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
# Field, or FRAME.field where a frame has another meaning for it -> what the number is.
_MEANINGS: Mapping[str, str] = {
    "above_chance": "mean over the tasks of all combos of (score - chance) / (1 - chance)",
    "median": "median of the streams' accuracies, mean over boxes",
    "iqr": "interquartile range of the streams' accuracies, mean over boxes",
    "p5": "5th percentile of the streams' accuracies, mean over boxes",
    "min": "lowest accuracy of a stream",
    "noise_sd": "what streams of this length vary by if each answer is right with its task's accuracy, mean over boxes",
    "excess_sd": "what streams vary by beyond that noise, mean over boxes",
    "n_tasks": "tasks",
    "n_boxes": "boxes of streams: combos x schedules x histories",
    "combo": "pair of task families, A and B",
    "metric": "metric of the tasks; two are never averaged as they are",
    "schedule": "how the sides of a stream follow each other",
    "history": "solved instances before each question: none, of the same task, of the other side's",
    "mean": "mean over questions",
    "side": "side of the question's task",
    "cost": "score after solved instances of the same task minus after those of the other side's",
    "stream": "number of the stream",
    "seed": "training seed",
    "accuracy": "mean score",
    "versus": "the method that it is compared with",
    "iqr_difference": "difference of the interquartile ranges, streams resampled in pairs",
    "excess_sd_difference": "difference of the excess standard deviations, streams resampled in pairs",
    "n_seeds": "training seeds, mixtures of the sides, tasks",
    "mixture": "shares of the steps for A and B",
    "difference": "joint - alone, mean over tasks",
    "single": "mean over tasks after tuning on their own side alone",
    "joint": "mean over tasks after tuning on both sides",
    "delta_m": "mean over tasks of (joint - alone) / alone",
    "interference": "mean over tasks of max(0, I), I = (alone - joint) / alone",
    "worst": "largest I of a task",
    "worst_task": "task with the largest I",
    "task": "task",
    "combos.median": "median of the streams' accuracies",
    "combo_training.median": "median over seeds, mixtures and tasks",
    "combos.iqr": "interquartile range of the streams' accuracies",
    "combo_training.iqr": "interquartile range over seeds, mixtures and tasks",
    "combo_training.p5": "5th percentile over seeds, mixtures and tasks",
    "combo_training.min": "lowest accuracy of a task",
    "combo_training.noise_sd": "what accuracies vary by if each answer is right with its task's accuracy",
    "combos.excess_sd": "what streams vary by beyond that noise",
    "combo_training.excess_sd": "what accuracies vary by beyond that noise",
    "combo_training.mean": "mean over tasks",
}
FRAMES: Mapping[str, Frame] = described(_FRAMES, _MEANINGS)
