"""A suite: tasks, which of them are seen, and ``build_suite``, which deals out their instances without leaks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from snibench.api import Example, Instance, Suite, SuiteData, SuiteRequest, Task, TaskCard, UsageError, build_suite

_COLOURS = ("red", "green", "blue", "black", "white", "brown", "grey", "pink")
_THINGS = ("door", "boat", "coat", "lamp", "chair", "stone", "horse", "clock")


class Words(Suite):
    """Four tiny tasks on two words: three are seen, one is not; two are scored by ``template-f1``."""

    def load(self, request: SuiteRequest) -> SuiteData:
        """The suite under ``request``. It has no folder of data and one split."""
        if request.data or request.split:
            raise UsageError("Suite 'template-suite' is made of its own words. Leave --data and --split out.")
        tasks = {task.name: task for task in (_task(*about) for about in _TASKS)}
        *seen, unseen = tasks
        return build_suite(
            "template-suite", tasks, seen, [unseen], request, combos=(), drop_seen_on_source_overlap=True, held_out=16
        )


# Name, definition, answer, metric.
_TASKS: tuple[tuple[str, str, Callable[[str, str], str], str], ...] = (
    ("words1_first", "Write the first word.", lambda a, b: a, "exact_match"),
    ("words2_last", "Write the last word.", lambda a, b: b, "exact_match"),
    ("words3_turned", "Write the words in the other order.", lambda a, b: f"{b} {a}", "template-f1"),
    ("words4_twice", "Write both words, each twice.", lambda a, b: f"{a} {a} {b} {b}", "template-f1"),
)


def _task(name: str, definition: str, answer: Callable[[str, str], str], metric: str) -> Task:
    pairs = list(product(_COLOURS, _THINGS))
    shown, *asked = (Instance(f"{name}-{i}", f"{a} {b}", (answer(a, b),)) for i, (a, b) in enumerate(pairs))
    # Inputs that two tasks share would be left out of training: each task has its own.
    asked = [Instance(one.id, f"{one.input} ({name})", one.outputs) for one in asked]
    card = TaskCard(
        name=name,
        definition=definition,
        positive=(Example(shown.input, shown.outputs[0]),),
        negative=(),
        category="Words",
        domains=("Words",),
        sources=(name,),  # each task is its own source: tasks of one source are never on both sides
        labels=None,  # or the closed set of answers
        metric=metric,
    )
    return Task(card, tuple(asked))
