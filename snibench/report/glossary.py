"""The words of reports, explained: ``snibench report --explain``, and the end of the page."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("seen, unseen", "Held-out instances of tasks that were tuned on; tasks that were not."),
    ("gap", "Mean score on seen tasks minus mean score on unseen ones. Compare gaps between methods, not with 0."),
    ("score", "Exact match or ROUGE-L, each task's own; means weigh tasks equally."),
    ("above chance", "(score - chance) / (1 - chance): 0 is guessing, 1 is perfect. One unit for both metrics."),
    ("Δ", "Difference from the baseline in points, paired by task, with its 95% interval."),
    (
        "tasks like these",
        "The scope of Δ: it holds for other tasks of this kind, trained again. Tasks and seeds are random.",
    ),
    ("this suite", "The scope for these tasks alone: instances and seeds are random. It never has a star."),
    (
        "better, worse",
        "Both tests find a difference: sign flips over tasks, and t with seed noise; Holm.",
    ),
    (
        "equivalent",
        "The difference is shown to lie within the margin (2 points): two one-sided t tests, the 90% interval inside.",
    ),
    ("undecided", "Neither. It does not mean that there is no difference."),
    (
        "finds, minimum detectable effect",
        "The true difference that runs like this one find with 80 % power; about, as their noise is itself estimated.",
    ),
    ("equivalent from", "The smallest margin within which this run could claim equivalence."),
    (
        "star *",
        "Significant for tasks like these. None with one seed, or if a source has over a third of the tasks.",
    ),
    ("p, p seed", "Of the sign-flip test over tasks for these checkpoints; of the t test that counts seeds, too."),
    ("Holm", "p values adjusted for the number of comparisons in their table."),
    (
        "effect",
        "Matched-pairs rank-biserial correlation, -1 to 1: share of rank sum for the method minus the rest. "
        "Tied tasks keep their ranks and favour nobody.",
    ),
    ("W/T/L", "Tasks won, tied (within 1 point) and lost against the baseline."),
    ("group", "Methods that share a letter are not separated."),
    ("source", "The data set that tasks were made of. Tasks of one source count as one unit."),
    (
        "SE tasks, seeds, cells",
        "What more tasks and more seeds would reduce; both hold the noise of one seed on one task (cells).",
    ),
    ("spread", "Best minus worst format of a task, mean over tasks; above 0 by noise alone."),
    ("worst format", "Mean over tasks of each task's lowest score over formats; formats that tie are averaged."),
    (
        "combo, history",
        "Two families of tasks in one stream; solved turns before a question: none, same, other task.",
    ),
    (
        "conflict",
        "Mean over pairs of tasks of max(0, -cos) of their gradients; cross-fitted, so that noise does not raise it.",
    ),
    (
        "similarity",
        "Of two tasks: cosine of the word counts (tf-idf) of their definitions, 0 to 1. A word counts more the fewer "
        "definitions it is in; so two tasks are alike whose instructions are worded alike.",
    ),
)


def glossary_text() -> str:
    """The glossary as plain lines."""
    return "".join(f"{term}\n    {meaning}\n" for term, meaning in GLOSSARY)
