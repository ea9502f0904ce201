from collections.abc import Callable

import pytest

from snibench.types import Example, Instance, Task, TaskCard


@pytest.fixture
def make_task() -> Callable[..., Task]:
    """A closed task: ``n`` instances whose inputs start with ``stem``, labels yes and no in turn."""

    def make(
        name: str,
        *,
        n: int = 40,
        category: str = "Sentiment Analysis",
        source: str = "",
        stem: str | None = None,
        outputs: tuple[str, ...] = ("yes", "no"),
    ) -> Task:
        stem = name if stem is None else stem
        card = TaskCard(
            name=name,
            definition=f"Answer {name}.",
            positive=(Example(f"{name} example", outputs[0], "so it is"),),
            negative=(),
            category=category,
            domains=("News",),
            sources=(source or name,),
            labels=tuple(sorted(set(outputs))),
            metric="exact_match",
        )
        return Task(card, tuple(Instance(f"{name}-{i}", f"{stem} {i}", (outputs[i % len(outputs)],)) for i in range(n)))

    return make
