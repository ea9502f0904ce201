"""From tasks and a split to a suite: leakage control, choice of tasks, and which instances serve what.

Suites differ in where their tasks come from; everything after that happens here, once, for all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random

from snibench.base.errors import DataError, UsageError
from snibench.base.hashing import derive_seed, digest
from snibench.base.types import Combo, Instance, SuiteData, SuiteRequest, Task
from snibench.base.wording import counted
from snibench.data.leakage import input_key
from snibench.data.sides import choose_sides, leak_flags

OFFICIAL_SEED = 123
PROBES = 32  # instances per seen task for the gradient conflict, never trained on


def build_suite(
    name: str,
    tasks: Mapping[str, Task],
    seen: Sequence[str],
    unseen: Sequence[str],
    request: SuiteRequest,
    *,
    combos: Sequence[Combo],
    drop_seen_on_source_overlap: bool,
    held_out: int,
    notes: Sequence[str] = (),
    published_pools: Collection[str] = (),
) -> SuiteData:
    """The suite under ``request``, with disjoint evaluation, probe and training instances for every seen task.

    Per seen task: ``held_out`` instances, half of the task if it has fewer than twice as many, are drawn round robin
    over first references; of the others up to 32, at most a quarter, are probes; the rest is training. Of an unseen
    task the same draw, or the head of its file if it is in ``published_pools``, is evaluated, and the rest is context.
    Only then is the evaluation cut to ``request.instances``, so that training data do not depend on it, unless it
    asks for more than ``held_out``.

    A training instance is dropped and counted if its input equals that of an evaluation or probe instance of its own
    task, or of an evaluation instance of an unseen task; ``request.allow_leak`` keeps it. ``flags`` marks unseen tasks
    that share a source with a seen one: "source-leak" by name, "alias-leak" by name or descent.

    Args:
        name: Of the suite, for people.
        tasks: At least those in ``seen`` and ``unseen``.
        seen: Names on the seen side of the split, in its order.
        unseen: Names on the other side.
        request: What the user asked for: number of tasks and instances, categories, seed, leaks.
        combos: Over any names; sides are cut to the chosen tasks, and combos that lose a side are noted.
        drop_seen_on_source_overlap: Leave out seen tasks that share a source with an unseen one, as in every split
            but the published one.
        held_out: Evaluation instances per task.
        notes: Sentences that stand before those added here.
        published_pools: Tasks whose first instances are the official evaluation set, in official order.

    Raises:
        DataError: If a side is empty, or a task is on both.
        UsageError: If the request asks for less than one task or instance, or for an unknown category.

    Source:
        allenai/natural-instructions, src/reorder_instances_for_testing.py (round robin, seed 123). Unlike there,
        every task has a generator of its own, so that its pool does not depend on the tasks before it.
    """
    if request.instances is not None and request.instances < 1:
        raise UsageError(f"The number of instances must be at least 1, but is {request.instances}.")
    cards = {task: tasks[task].card for task in (*seen, *unseen)}
    sides = choose_sides(
        cards, seen, unseen, request, combos=combos, drop_seen_on_source_overlap=drop_seen_on_source_overlap
    )
    size = max(held_out, request.instances or 0)
    pools = {
        task: tasks[task].instances[:size] if task in published_pools else balanced(tasks[task].instances, size)
        for task in sides.unseen
    }
    unseen_inputs = {input_key(instance) for pool in pools.values() for instance in pool}
    divided = {task: _divide(tasks[task], size, unseen_inputs, request) for task in sides.seen}
    starved = [task for task, parts in divided.items() if not parts.training]
    for task in starved:
        del divided[task]
    if not divided:
        raise DataError(
            "Every seen task is too small to train on once its evaluation instances are set apart. Choose larger tasks."
        )

    chosen = {task: tasks[task] for task in (*divided, *sides.unseen)}
    evaluation = {task: parts.pool for task, parts in divided.items()} | pools
    context = {task: parts.context for task, parts in divided.items()} | {
        task: _context(tasks[task].instances, pool, unseen_inputs) for task, pool in pools.items()
    }
    kept, lost = _restrict(combos, chosen)
    flags = leak_flags({task: tasks[task].card for task in chosen}, list(divided), sides.unseen)
    suite = SuiteData(
        name=name,
        digest="",
        tasks=chosen,
        seen=tuple(divided),
        unseen=sides.unseen,
        training={task: parts.training for task, parts in divided.items()},
        probe={task: parts.probe for task, parts in divided.items()},
        evaluation={task: pool[: request.instances] for task, pool in evaluation.items()},
        context={task: turns or _turns_from_examples(tasks[task], evaluation[task]) for task, turns in context.items()},
        combos=kept,
        notes=(*notes, *sides.notes, *_remarks(divided, pools, starved, lost, flags, held_out, request)),
        flags=flags,
    )
    return replace(suite, digest=suite_digest(suite))


def balanced(instances: Sequence[Instance], size: int) -> tuple[Instance, ...]:
    """At most ``size`` instances, round robin over first references, in the order drawn.

    Nothing random remains: the seed is the official one. Every prefix is balanced too.

    Source:
        allenai/natural-instructions, src/reorder_instances_for_testing.py.
    """
    rng = Random(OFFICIAL_SEED)
    by_label: dict[str, list[Instance]] = {}
    for instance in instances:
        by_label.setdefault(instance.outputs[0], []).append(instance)
    drawn: list[Instance] = []
    while by_label and len(drawn) < size:
        for label in list(by_label):
            left = by_label[label]
            drawn.append(left.pop(rng.randrange(len(left))))
            if not left:
                del by_label[label]
            if len(drawn) == size:
                break
    return tuple(drawn)


def suite_digest(suite: SuiteData) -> str:
    """SHA-256 over all that decides questions and training data; names, notes and flags do not count."""
    uses = (suite.evaluation, suite.training, suite.probe, suite.context)
    return digest(
        {
            "tasks": {
                name: [asdict(task.card), *(digest([_row(instance) for instance in use.get(name, ())]) for use in uses)]
                for name, task in suite.tasks.items()
            },
            "seen": suite.seen,
            "unseen": suite.unseen,
            "combos": [asdict(combo) for combo in suite.combos],
        }
    )


def _row(instance: Instance) -> list[object]:
    return [instance.id, instance.input, instance.outputs]


@dataclass(frozen=True, slots=True)
class _Parts:
    """Uses of the instances of a seen task."""

    pool: tuple[Instance, ...]
    probe: tuple[Instance, ...]
    training: tuple[Instance, ...]
    context: tuple[Instance, ...]
    repeats: int  # instances outside the pool whose input the pool or the probes hold
    leaks: int  # ... whose input an unseen task's pool holds


def _divide(task: Task, size: int, unseen_inputs: Collection[str], request: SuiteRequest) -> _Parts:
    pool = balanced(task.instances, min(size, len(task.instances) // 2))
    rest = _minus(task.instances, pool)
    rng = Random(derive_seed(request.seed, "probe", task.name))
    # At most a quarter, so that a small task is still trained on.
    probe = tuple(rest[i] for i in sorted(rng.sample(range(len(rest)), min(PROBES, len(rest) // 4))))
    rest = _minus(rest, probe)
    own_inputs = {input_key(instance) for instance in (*pool, *probe)}
    clean, repeats, leaks = [], 0, 0
    for instance in rest:
        key = input_key(instance)
        if key in unseen_inputs:
            leaks += 1
        elif key in own_inputs:
            repeats += 1
        else:
            clean.append(instance)
    return _Parts(pool, probe, rest if request.allow_leak else tuple(clean), tuple(clean), repeats, leaks)


def _minus(instances: Sequence[Instance], taken: Sequence[Instance]) -> tuple[Instance, ...]:
    ids = {instance.id for instance in taken}
    return tuple(instance for instance in instances if instance.id not in ids)


def _context(
    instances: Sequence[Instance], pool: Sequence[Instance], unseen_inputs: Collection[str]
) -> tuple[Instance, ...]:
    """The instances outside ``pool`` whose input no unseen task evaluates."""
    return tuple(instance for instance in _minus(instances, pool) if input_key(instance) not in unseen_inputs)


def _turns_from_examples(task: Task, pool: Sequence[Instance]) -> tuple[Instance, ...]:
    """The positive examples as instances, but for those whose input ``pool`` evaluates."""
    evaluated = {input_key(instance) for instance in pool}
    turns = (
        Instance(f"{task.name}-positive-{number}", example.input, (example.output,))
        for number, example in enumerate(task.card.positive, start=1)
    )
    return tuple(turn for turn in turns if input_key(turn) not in evaluated)


def _restrict(combos: Sequence[Combo], tasks: Collection[str]) -> tuple[tuple[Combo, ...], list[str]]:
    """The combos cut to ``tasks``, and the names of those that lose a side."""
    cut = [Combo(c.name, *(tuple(task for task in side if task in tasks) for side in (c.a, c.b))) for c in combos]
    return tuple(c for c in cut if c.a and c.b), [c.name for c in cut if not (c.a and c.b)]


def _remarks(
    divided: Mapping[str, _Parts],
    pools: Mapping[str, Sequence[Instance]],
    starved: Sequence[str],
    lost: Sequence[str],
    flags: Mapping[str, Sequence[str]],
    held_out: int,
    request: SuiteRequest,
) -> list[str]:
    """One sentence for each thing that was dropped, cut short or leaked."""
    fate = "kept (leaks allowed)" if request.allow_leak else "dropped"
    notes = []
    if leaks := [parts.leaks for parts in divided.values() if parts.leaks]:
        notes.append(
            f"{counted(sum(leaks), 'training instance')} of {counted(len(leaks), 'task')} with the input of an unseen "
            f"task's evaluation instance: {fate}."
        )
    if repeats := [parts.repeats for parts in divided.values() if parts.repeats]:
        notes.append(
            f"{counted(sum(repeats), 'training instance')} of {counted(len(repeats), 'task')} with an evaluation or "
            f"probe input of their own task: {fate}."
        )
    if flags:
        by_name = sum("source-leak" in marks for marks in flags.values())
        notes.append(
            f"{len(flags)} of {len(pools)} unseen tasks share a source with a seen task, {len(flags) - by_name} of "
            f"them under another name; they are flagged, so that the unseen mean without them can stand beside."
        )
    if request.allow_leak:
        notes.append("Leakage control is off (--allow-leak).")
    if starved:
        notes.append(f"{_some(starved)} left out of the seen side: too few instances to train on.")
    short = [
        task for task, pool in (*((t, p.pool) for t, p in divided.items()), *pools.items()) if len(pool) < held_out
    ]
    if short:
        notes.append(f"{_some(short)} evaluated on fewer than {held_out} instances, being small.")
    unprobed = [task for task, parts in divided.items() if len(parts.probe) < PROBES]
    if unprobed:
        fewest = min(len(divided[task].probe) for task in unprobed)
        notes.append(f"{_some(unprobed)} probed with fewer than {PROBES} instances (fewest {fewest}), being small.")
    if lost:
        notes.append(f"Combos without a task on one side, left out: {', '.join(lost)}.")
    return notes


def _some(tasks: Sequence[str]) -> str:
    """A count with its verb: one task by name, more by number and the first name."""
    return f"{tasks[0]} is" if len(tasks) == 1 else f"{len(tasks)} tasks ({tasks[0]}, ...) are"
