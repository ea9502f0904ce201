"""Questions of mode ``switch`` of protocol ``combos``: streams that switch between two families."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from snibench.base.hashing import canonical_json
from snibench.base.types import Combo, Instance, Question, SuiteData, Turn
from snibench.data.leakage import input_key
from snibench.protocols.combos.settings import Settings


@dataclass(frozen=True, slots=True)
class _Query:
    side: Literal["A", "B"]
    rank: int  # among the queries of its side
    task: str
    instance: Instance


Contexts = Mapping[str, Sequence[tuple[str, str]]]  # task -> (instance id, normalised input), inputs distinct


def stream_questions(
    suite: SuiteData, combos: Sequence[Combo], settings: Settings, limit: int | None
) -> list[Question]:
    """Every question of every stream; the same queries under every schedule and history.

    ``limit`` bounds how often one task is asked in one combo, schedule and history: streams get shorter, then fewer.
    """
    contexts = _contexts(suite, combos)
    return [
        question
        for combo in combos
        for question in _combo_questions(suite, _usable(combo, suite, contexts, settings), settings, contexts, limit)
    ]


def skipped(suite: SuiteData, combos: Sequence[Combo], settings: Settings) -> tuple[str, ...]:
    """One sentence for each combo that has no stream because a side has no task that can be asked."""
    contexts = _contexts(suite, combos)
    return tuple(
        f"Combo '{combo.name}' is skipped: no task of side {side} is in the suite "
        f"with more than {settings.turns} different context inputs."
        for combo in combos
        for side, names in zip("AB", _sides(_usable(combo, suite, contexts, settings)), strict=True)
        if not names
    )


def _contexts(suite: SuiteData, combos: Sequence[Combo]) -> Contexts:
    """The context instances of every task that a combo names, the first of those with the same input."""
    named = sorted({task for combo in combos for side in _sides(combo) for task in side})
    firsts = {task: {input_key(i): i.id for i in reversed(suite.context.get(task, ()))} for task in named}
    return {task: [(name, text) for text, name in known.items()] for task, known in firsts.items()}


def _sides(combo: Combo) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return combo.a, combo.b


def _usable(combo: Combo, suite: SuiteData, contexts: Contexts, settings: Settings) -> Combo:
    """``combo`` without the tasks that lack questions or context.

    One context input more than there are turns is enough: at most one equals the question's.
    """
    a, b = (
        tuple(t for t in side if suite.evaluation.get(t) and len(contexts.get(t, ())) > settings.turns)
        for side in _sides(combo)
    )
    return Combo(combo.name, a, b)


def _combo_questions(
    suite: SuiteData, combo: Combo, settings: Settings, contexts: Contexts, limit: int | None
) -> Iterator[Question]:
    if not (combo.a and combo.b):
        return
    seen = frozenset(suite.seen)
    streams = _streams(suite, combo, settings, limit)
    for schedule in settings.schedules:
        for history in settings.histories:
            variant = canonical_json({"combo": combo.name, "schedule": schedule, "history": history})
            for index, sides in enumerate(streams):
                key = f"{settings.seed}|{combo.name}|{index}"
                stream = _arranged(sides, schedule, Random(f"{key}|{schedule}"))
                for position, query in enumerate(stream):
                    rng = Random(f"{key}|{query.side}{query.rank}|{history}")
                    before = {"none": None, "same": query.task, "other": _left_task(stream, position)}[history]
                    yield Question(
                        protocol="combos",
                        task=query.task,
                        instance=query.instance.id,
                        format=settings.format,
                        split="held_out" if query.task in seen else "unseen",
                        seen=query.task in seen,
                        history=_turns(before, query.instance, contexts, settings.turns, rng) if before else (),
                        variant=variant,
                        stream=index,
                        position=position,
                        side=query.side,
                    )


def _streams(
    suite: SuiteData, combo: Combo, settings: Settings, limit: int | None
) -> list[tuple[list[_Query], list[_Query]]]:
    """The queries of every stream, side A and side B."""
    per_side = settings.length // 2
    if limit is not None:
        per_side = min(per_side, limit * min(len(combo.a), len(combo.b)))
    streams: list[tuple[list[_Query], list[_Query]]] = []
    asked: Counter[str] = Counter()
    for index in range(settings.streams):
        rng = Random(f"{settings.seed}|{combo.name}|{index}")
        a, b = _queries(suite, "A", combo.a, per_side, rng), _queries(suite, "B", combo.b, per_side, rng)
        asked.update(query.task for query in (*a, *b))
        if streams and limit is not None and max(asked.values()) > limit:
            break
        streams.append((a, b))
    return streams


def _queries(suite: SuiteData, side: Literal["A", "B"], tasks: Sequence[str], count: int, rng: Random) -> list[_Query]:
    """``count`` queries: tasks without replacement, in cycles if there are too few; instances likewise."""
    order = rng.sample(tasks, len(tasks))
    laps = -(-count // len(order))
    pools = {task: rng.sample(suite.evaluation[task], min(laps, len(suite.evaluation[task]))) for task in order}
    queries = []
    for rank in range(count):
        lap, place = divmod(rank, len(order))
        task = order[place]
        queries.append(_Query(side, rank, task, pools[task][lap % len(pools[task])]))
    return queries


def _arranged(sides: tuple[list[_Query], list[_Query]], schedule: str, rng: Random) -> list[_Query]:
    """The queries of one stream in the order of ``schedule``."""
    a, b = sides
    if schedule == "alternate":
        return [query for pair in zip(a, b, strict=True) for query in pair]
    return [*a, *b] if schedule == "blocked" else rng.sample([*a, *b], len(a) + len(b))


def _left_task(stream: Sequence[_Query], position: int) -> str:
    """The task that a switch to ``position`` comes from: of the other side, last asked before, else first after."""
    side = stream[position].side
    before = [query.task for query in stream[:position] if query.side != side]
    return before[-1] if before else next(query.task for query in stream[position:] if query.side != side)


def _turns(task: str, instance: Instance, contexts: Contexts, count: int, rng: Random) -> tuple[Turn, ...]:
    """``count`` solved instances of ``task``, no input twice and none equal to the asked one."""
    text = input_key(instance)
    return tuple(Turn(task, name) for name in rng.sample([n for n, other in contexts[task] if other != text], count))
