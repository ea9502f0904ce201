"""Is a method better than another, by how much, how sure, where: on seen and unseen tasks, formats and combos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from snibench.base.errors import UsageError, unknown
from snibench.report.fits import controls, facts, failed_fits, failed_tables, finished, label_of, only, run_notes
from snibench.report.layouts import METHOD, ordered
from snibench.report.questions import Questions
from snibench.report.values import QUESTIONS, Asked, Column, Report, Table, rows_digest
from snibench.report.verdicts import summaries, verdicts
from snibench.stats.estimates import UNBOUNDED
from snibench.stats.parts import category_deltas, family
from snibench.stats.scores import Scores
from snibench.stats.summary import Summary, summarise

if TYPE_CHECKING:
    from snibench.store import StoredRun

_NAMES: Mapping[Asked, str] = {
    "unseen": "comparison_unseen",
    "seen": "comparison_held_out",
    "gap": "comparison_gap",
    "formats": "comparison_formats",
    "combos": "comparison_combos",
}
_PROTOCOLS: Mapping[Asked, str] = {
    "unseen": "gap", "seen": "gap", "gap": "gap", "formats": "formats", "combos": "combos"
}  # fmt: skip
_MEASURES = {"worst": "the worst format of each task", "spread": "spread over formats"}

_DELTA = Column("delta", "Δ", "difference", "higher", "delta_low", "delta_high", mark="significant")
_LOSS = replace(_DELTA, better="lower")
_POWER = (
    Column("outcome", "Outcome"),
    Column("mde", "Finds", "points"),
    Column("equivalence", "Equivalent from", "points"),
)
_SUITE = (
    Column("suite_delta", "Δ this suite", "difference", "higher", "suite_low", "suite_high"),
    Column("suite_outcome", "Outcome, this suite"),
)
_TESTS = (Column("p_holm", "p (Holm)", "p"), Column("p_seed_holm", "p seed (Holm)", "p"))
_TASKS = (
    Column("effect", "Effect", "number", "higher"),
    Column("wins", "W/T/L", "count", also=("ties", "losses")),
)
_ERRORS = (
    Column("se_task", "SE tasks", "points"),
    Column("se_seed", "SE seeds", "points"),
    Column("se_cell", "SE cells", "points"),
)
_SIZES = Column("n_tasks", "Tasks/sources/seeds", "count", also=("n_sources", "n_seeds"))
_CATEGORY_SIZES = Column("n_tasks", "Tasks/sources", "count", also=("n_sources",))
_CATEGORY_NOTE = "No interval for a category with fewer than 5 source datasets, and no test for any."
_SCOPE_NOTES = (
    "Δ: for tasks like these, trained again. This suite: for these tasks alone, trained again and asked other "
    "instances of them; no star. Finds: the true difference that this run finds with 80 % power, about. "
    "Equivalent from: this run cannot claim equivalence within a smaller margin.",
    "SE tasks and SE seeds: what more tasks and more seeds would reduce; both hold SE cells, the noise of one seed on "
    "one task, which more of either reduces.",
)
_FAMILY_NOTE = (
    "Intervals and tests as above: sign flips and the t test, each Holm-adjusted over the {n} differences of this "
    "table; a star needs both."
)


def comparison_tables(
    questions: Questions, by_question: Mapping[Asked, Summary], baseline: str, order: Sequence[str]
) -> list[Table]:
    """Every method against ``baseline`` on every question; on unseen tasks by category too, and in each part."""
    if not by_question:
        return []
    first = {*controls(questions.results), baseline}
    last = sorted(order, key=lambda label: label in first)  # methods are columns: those under test come first
    tables = []
    for question, summary in by_question.items():
        tables.append(comparison_table(questions, summary, question, baseline))
        scores = questions.split("unseen") if question == "unseen" else None
        if scores is not None and len(deltas := _category_deltas(questions, scores, baseline)):
            tables.append(
                _by_category(deltas, "unseen", f"Difference from {baseline} on unseen tasks, by category", last)
            )
    return [*tables, *(ordered(table, order) for table in _part_tables(questions, baseline))]


def comparison_table(
    questions: Questions, summary: Summary, question: Asked, baseline: str, *, whole: bool = True
) -> Table:
    """Every method against ``baseline`` on one question, below the controls; floors with their mean alone.

    Not ``whole``: without floors and footers.
    """
    first = [*controls(questions.results), baseline]
    title = f"Compared with {baseline}: {questions.title(question)}"
    floors = _levels(questions, question) if whole else pd.DataFrame()
    return _comparison(summary, floors, question, title, first, footed=whole)


def _levels(questions: Questions, question: Asked) -> pd.DataFrame:
    """The mean of each floor, which takes no part in tests."""
    scores = questions.split(question, floors_too=True) if question in ("unseen", "seen") else None
    if scores is None or not (floors := {m: s for m, s in scores.methods.items() if m in questions.floors}):
        return pd.DataFrame()
    table = summarise(replace(scores, methods=floors), baseline=None).table
    return table[["method", "mean", "ci_low", "ci_high", "n_tasks", "n_sources", "n_seeds"]]


def _comparison(
    summary: Summary, floors: pd.DataFrame, question: Asked, title: str, first: Sequence[str], *, footed: bool = True
) -> Table:
    paired = summary.table["rank"].notna().any()
    lower, suite = question == "gap", summary.table["suite_delta"].notna().any()
    columns = (
        Column("mean", "Mean", "percent", "lower" if lower else "higher", "ci_low", "ci_high", "n_tasks"),
        replace(_LOSS if lower else _DELTA, title="Δ baseline"),
        *_POWER,
        *((replace(_SUITE[0], better="lower" if lower else "higher"), _SUITE[1]) if suite else ()),
        *(_TESTS if paired else _TESTS[1:]),
        *(_TASKS if paired else ()),
        *((Column("rank", "Rank", "number", "lower"), Column("group", "Group")) if paired else ()),
        *_ERRORS,
        Column("seed_sd", "Seed SD", "points"),
        _SIZES,
    )
    by_mean = [*first, *(label for label in summary.table["method"] if label not in first)]
    notes = (*footers(summary), *_SCOPE_NOTES) if footed else ()
    if len(floors):
        notes += (f"No part of tests, ranks and groups: {', '.join(sorted(floors['method']))}.",)
    frame = pd.concat([summary.table, floors], ignore_index=True) if len(floors) else summary.table
    name, protocol = _NAMES.get(question, f"comparison_{question}"), _PROTOCOLS.get(question, question)
    table = Table(name, title, frame, (METHOD,), columns, notes, protocol)
    return ordered(table, by_mean)


def _by_category(deltas: pd.DataFrame, split: str, title: str, order: Sequence[str]) -> Table:
    keys = (Column("category", "Category"), _CATEGORY_SIZES, METHOD)
    columns = (replace(_DELTA, mark=""),)
    table = Table(
        f"categories_{split}", title, deltas, keys, columns, (_CATEGORY_NOTE,), protocol="gap", across="method"
    )
    return ordered(table, order)


def footers(summary: Summary) -> tuple[str, ...]:
    """Below a comparison: tests, unit and draws, what cannot be found, and the ranks' omnibus test."""
    if summary.friedman is None:
        return summary.notes
    test = summary.friedman
    return (
        *summary.notes,
        f"Friedman over all methods: Iman-Davenport p = {test.iman_davenport_p:.3g}; "
        f"Nemenyi critical difference {test.nemenyi_cd:.2f} ranks.",
    )


def _part_tables(questions: Questions, baseline: str) -> list[Table]:
    """Differences from the baseline in the worst format and of spread, by format, and by combo and history."""
    measures = {name: scores for name, scores in questions.formats().items() if name in _MEASURES}
    parts = [
        _parts(
            "format_measures_difference",
            f"Difference from {baseline} in the worst format and of spread",
            (({"of": _MEASURES[name]}, scores) for name, scores in measures.items()),
            baseline,
            "formats",
        ),
        _parts(
            "format_differences",
            f"Difference from {baseline}, by format",
            (({"format": name}, scores) for name, scores in questions.by_format().items()),
            baseline,
            "formats",
        ),
        _parts(
            "combo_mean_differences",
            f"Difference from {baseline}, by combo and history",
            questions.by_combo(),
            baseline,
            "combos",
        ),
    ]
    return [table for table in parts if table is not None]


_PART_TITLES = {"of": "Of", "format": "Format", "combo": "Combo", "schedule": "Schedule", "history": "History"}


def _parts(
    name: str, title: str, entries: Iterable[tuple[dict[str, str], Scores]], baseline: str, protocol: str
) -> Table | None:
    """One row per part and method; None if there is nothing to compare."""
    parts = [(names, scores) for names, scores in entries if baseline in scores.methods and len(scores.methods) > 1]
    if not parts:
        return None
    bounds = UNBOUNDED if protocol == "combos" else (-1.0, 1.0)
    frame = family([scores for _, scores in parts], baseline=baseline, bounds=bounds)
    fields = list(parts[0][0])
    frame = frame.join(pd.DataFrame([names for names, _ in parts]), on="part").drop(columns="part")
    keys = tuple(Column(field, _PART_TITLES.get(field, field.capitalize())) for field in fields)
    columns = (
        replace(_DELTA, title="Δ baseline", better=""),
        Column("mde", "Finds", "points"),
        *_TESTS,
        Column("n_units", "Units", "count"),
    )
    notes = [_FAMILY_NOTE.format(n=len(frame))]
    if protocol == "combos":
        notes += ["Units: sources; streams, and so these very tasks alone, where a combo has fewer than 5 sources."]
    return Table(name, title, frame, (*keys, METHOD), columns, tuple(notes), protocol)


def task_scores(results: StoredRun, split: str) -> pd.DataFrame:
    """method, seed, task, score: instances averaged, over the questions that every fit answered, floors included."""
    question = "unseen" if split == "unseen" else "seen"
    scores = Questions(results).split(question, floors_too=True)
    if scores is None:
        return pd.DataFrame(columns=["method", "seed", "task", "score"])
    frames = [
        pd.DataFrame(sample.sides[0].table, columns=list(scores.tasks))
        .assign(method=method, seed=range(sample.seeds))
        .melt(["method", "seed"], var_name="task", value_name="score")
        for method, sample in scores.methods.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _category_deltas(questions: Questions, scores: Scores, baseline: str) -> pd.DataFrame:
    tasks = questions.results.tasks
    return category_deltas(
        scores, baseline=baseline, categories=dict(zip(tasks["task"], tasks["category"], strict=True))
    )


# ----------------------------------------------------------------------------------- two methods


def compare(results: StoredRun, first: str, second: str) -> Report:
    """``first`` minus ``second``: on every question, by category, task by task, by format, by combo and history.

    Raises:
        UsageError: If one of the two has no finished fit, the two are one, or there is no common question.
    """
    there = finished(results)
    first, second = label_of(results, first), label_of(results, second)
    for label in (first, second):
        if label not in there:
            raise unknown("method", label, there)
    if first == second:
        raise UsageError(f"'{first}' cannot be compared with itself. Name two of: {', '.join(there)}.")
    pair = only(results, (first, second))
    questions = Questions(pair, everyone=results)
    by_question = summaries(questions, second)
    if not by_question:
        raise UsageError(
            f"'{first}' and '{second}' have no answers to the same questions, or one of them is a floor, which takes "
            "no part in tests."
        )
    sides = {
        name: scores
        for question, name in (("unseen", "unseen"), ("seen", "held_out"))
        if (scores := questions.split(question)) is not None
    }
    failed = failed_fits(pair)
    return Report(
        title=f"{first} against {second}",
        tables=(
            _overall(questions, by_question, first, second),
            *failed_tables(failed),
            *_part_tables(questions, second),
            *(_pair_categories(questions, scores, split, first, second) for split, scores in sides.items()),
            *(_pair_tasks(pair, scores, split, first, second) for split, scores in sides.items()),
        ),
        notes=run_notes(pair),
        failed=failed,
        baseline=second,
        rows_digest=rows_digest(pair.answers),
        verdicts=verdicts(by_question, second, [first], further=questions.further),
        facts=facts(pair),
    )


def _means(first: str, second: str) -> tuple[Column, Column]:
    return Column("first", first, "percent", "higher"), Column("second", second, "percent", "higher")


def _overall(questions: Questions, by_question: Mapping[Asked, Summary], first: str, second: str) -> Table:
    rows = []
    for question, summary in by_question.items():
        table = summary.table.set_index("method")
        row = table.loc[first].to_dict() | {"on": questions.title(question), "first": table.loc[first, "mean"]}
        rows.append(row | {"second": table.loc[second, "mean"]})
    said = {
        question: [note for note in footers(summary) if not note.startswith("Groups")]
        for question, summary in by_question.items()
    }
    notes = dict.fromkeys(
        note if all(note in others for others in said.values()) else f"{questions.title(question).capitalize()}: {note}"
        for question, own in said.items()
        for note in own
    )
    tests = (Column("p", "p", "p"), Column("p_seed", "p seed", "p"))
    columns = (*_means(first, second), _DELTA, *_POWER, *_SUITE, *tests, *_TASKS, *_ERRORS, _SIZES)
    notes |= dict.fromkeys(_SCOPE_NOTES)
    return Table(
        "comparison", f"Δ = {first} - {second}", pd.DataFrame(rows), (Column("on", "On"),), columns, tuple(notes), "gap"
    )


def _pair_categories(questions: Questions, scores: Scores, split: str, first: str, second: str) -> Table:
    frame = _category_deltas(questions, scores, second)
    frame = frame.assign(first=frame["mean"], second=frame["mean"] - frame["delta"]).sort_values(
        "delta", ascending=False
    )
    columns = (*_means(first, second), replace(_DELTA, mark=""), _CATEGORY_SIZES)
    title = f"By category, {QUESTIONS['unseen' if split == 'unseen' else 'seen']}"
    return Table(
        f"categories_{split}", title, frame, (Column("category", "Category"),), columns, (_CATEGORY_NOTE,), "gap"
    )


def _pair_tasks(results: StoredRun, scores: Scores, split: str, first: str, second: str) -> Table:
    means = {name: scores.methods[name].sides[0].table.mean(axis=0) for name in (first, second)}
    categories = results.tasks.set_index("task")["category"]
    frame = pd.DataFrame({"task": scores.tasks, "first": means[first], "second": means[second]})
    frame["delta"] = frame["first"] - frame["second"]
    frame = frame.sort_values("delta", ascending=False, ignore_index=True)
    frame["category"] = frame["task"].map(categories)
    columns = (*_means(first, second), Column("delta", "Δ", "difference", "higher"), Column("category", "Category"))
    notes = ("Means over seeds, the largest differences at the two ends. One task's difference is mostly noise.",)
    title = f"By task, {QUESTIONS['unseen' if split == 'unseen' else 'seen']}"
    return Table(f"tasks_{split}", title, frame, (Column("task", "Task"),), columns, notes, "gap")
