"""Detectable difference of a run of another size, from the variances that a stored run shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING

import pandas as pd

from snibench.base.errors import UsageError, unknown
from snibench.base.wording import counted
from snibench.report.fits import facts, failed_fits, finished, floors, title
from snibench.report.questions import Questions
from snibench.report.values import Column, Report, Table, rows_digest
from snibench.stats.power import Components, Design, components, design_factor, planned_effect, run_factor
from snibench.stats.scores import compared

if TYPE_CHECKING:
    from snibench.store import StoredRun

# Of `snibench run --method ours`, quick profile: ours against unified-prompt on the unseen tasks of mini, model tiny,
# four seeds (docs/recipe.md). Method x task, method x instance and the shift by a seed came out below 0 and stand as 0.
MINI_TINY = Components(task=0.0, instance=0.0, seed=0.0, cell=0.01045, answer=0.1569)
MINI_TINY_CAUTION = 1.16

_KEYS = (
    Column("tasks", "Tasks", "count"),
    Column("instances", "Questions each", "count"),
    Column("seeds", "Seeds", "count"),
)
_COLUMNS = (
    Column("effect", "Finds, tasks like these", "points", "lower"),
    Column("suite_effect", "Finds, this suite", "points", "lower"),
)
_NOTES = (
    "Finds: the true difference on unseen tasks that is found with 80 % power, one method against another, tuned by "
    "one recipe; by simulation of the tests that the report uses. With 2 seeds read it as: at least.",
)


@dataclass(frozen=True, slots=True)
class Pilot:
    """Variances of one pair of methods, the design they were measured with, and how far their own noise misleads."""

    parts: Components
    design: Design
    caution: float = 1.0


def pilot(results: StoredRun, method: str | None = None, baseline: str | None = None) -> tuple[str, str, Pilot]:
    """The two methods and their variances on unseen tasks.

    Args:
        results: A stored run.
        method: Label of a tuned method; None: the last that was tuned.
        baseline: Label of another; None: the run's baseline, else the first that was tuned.

    Raises:
        UsageError: If there are no two tuned methods with as many seeds, at least two, and two questions a task.
    """
    questions = Questions(results)
    tuned = [
        label
        for label in finished(results)
        if label not in floors(results) and not questions.tunings[label].deterministic
    ]
    for label in (method, baseline):
        if label is not None and label not in tuned:
            raise unknown("tuned method", label, tuned)
    scores = questions.split("unseen")
    planned = results.manifest.baseline
    base = baseline or (planned if planned in tuned else (tuned[0] if tuned else ""))
    ours = method or next((label for label in reversed(tuned) if label != base), "")
    if scores is None or not (ours and base) or ours == base:
        raise UsageError("Power needs two tuned methods that answered unseen tasks. Run: snibench run -m NAME")
    comparison = compared(scores, ours, base)
    seeds = [scores.methods[label].seeds for label in (ours, base)]
    if seeds[0] != seeds[1] or seeds[0] < 2:
        raise UsageError(
            f"How much results vary between seeds is not known: {ours} has {counted(seeds[0], 'seed')}, {base} "
            f"{counted(seeds[1], 'seed')}. Run both again with the same seeds, two or more: --seeds 0,1"
        )
    if comparison.suite is None:
        raise UsageError(
            f"How much results vary between questions is not known: {ours} and {base} answered a single question of a "
            "task. Run both again with more: --limit 2"
        )
    parts = components(comparison.squares, scores.methods[ours], scores.methods[base])
    sizes = [task.shape[1] for task in scores.methods[ours].sides[0].instances]
    design = Design(len(scores.tasks), round(sum(sizes) / len(sizes)), scores.methods[ours].seeds)
    df = comparison.like_these.df
    caution = run_factor(round(df, 2)) / design_factor(round(df, 2)) if df == df else 1.0
    return ours, base, Pilot(parts, design, caution)


def effects(source: Pilot, designs: Sequence[Design]) -> pd.DataFrame:
    """One row per design: tasks, instances, seeds, and the effect found in both scopes."""
    return pd.DataFrame(
        {
            "tasks": design.tasks,
            "instances": design.instances,
            "seeds": design.seeds,
            "effect": source.caution * planned_effect(source.parts, design),
            "suite_effect": source.caution * planned_effect(source.parts, design, scope="this suite"),
        }
        for design in designs
    )


def power_report(
    results: StoredRun,
    *,
    method: str | None = None,
    baseline: str | None = None,
    tasks: int | None = None,
    instances: int | None = None,
    seeds: int | None = None,
) -> Report:
    """Detectable difference of the design of ``results`` and of others: the one asked for, or twice of each.

    Raises:
        UsageError: As ``pilot``.
    """
    ours, base, source = pilot(results, method, baseline)
    own = source.design
    asked = Design(tasks or own.tasks, instances or own.instances, seeds or own.seeds)
    others = (
        [asked]
        if asked != own
        else [
            replace(own, tasks=2 * own.tasks),
            replace(own, instances=2 * own.instances),
            replace(own, seeds=2 * own.seeds),
            Design(2 * own.tasks, 2 * own.instances, 2 * own.seeds),
        ]
    )
    table = Table(
        "power", f"What {ours} against {base} would find", effects(source, [own, *others]), _KEYS, _COLUMNS,
        (*_NOTES, *_component_notes(source)), "gap",
    )  # fmt: skip
    return Report(
        title=title(results),
        tables=(table,),
        notes=(),
        failed=failed_fits(results),
        baseline=base,
        rows_digest=rows_digest(results.answers),
        facts=facts(results),
    )


def _component_notes(source: Pilot) -> tuple[str, ...]:
    parts = source.parts
    sds = ", ".join(
        f"{words} {100 * sqrt(value):.1f}"
        for words, value in (
            ("method x task", parts.task),
            ("seed shift", parts.seed),
            ("task x seed", parts.cell),
            ("method x instance", parts.instance),
            ("seed x instance", parts.answer),
        )
    )
    notes = [f"SDs of the difference in points: {sds}; both methods together."]
    if parts.clipped:
        notes.append(f"Below 0 by noise and taken as 0: {', '.join(parts.clipped)}.")
    if source.caution > 1.0:
        notes.append(f"Raised by {source.caution - 1:.0%}, because the variances are estimated from one run.")
    return tuple(notes)


def forecast(results: StoredRun | None, design: Design) -> str:
    """One sentence on what a run of ``design`` will find, from stored fits, else from those of mini and tiny."""
    whence, source = "stored runs of mini with tiny", Pilot(MINI_TINY, design, MINI_TINY_CAUTION)
    if results is not None:
        try:
            ours, base, source = pilot(results)
            whence = f"the stored fits of {ours} and {base}"
        except UsageError:
            pass
    effect = source.caution * planned_effect(source.parts, design)
    each = f"{design.instances:g} question{'' if design.instances == 1 else 's'}"
    sizes = f"{counted(design.tasks, 'unseen task')} x {each}, {counted(design.seeds, 'seed')}"
    if effect != effect:
        return f"{sizes}: no verdict can be reached; it takes two seeds and three unseen tasks."
    sentence = f"differences on unseen tasks from about {100 * effect:.1f} points on are found with 80 % power"
    return f"{sizes}: {sentence} (from {whence})."
