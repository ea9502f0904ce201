"""Helpers of the checks: how they fail, and a task whose every field is recognisable in a prompt."""

from __future__ import annotations

from snibench.base.types import Example, TaskCard


def expect(condition: object, message: str) -> None:
    """Raise AssertionError with ``message`` unless ``condition`` holds, also under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def recognisable_card(number: int = 0, *, closed: bool = True) -> TaskCard:
    """A card with nine examples of each kind, and two labels if it is ``closed``."""
    return TaskCard(
        name=f"task{number}_check",
        definition=f"A qualm is a kind of zibbet number {number}. Your task is to classify the zibbet.",
        positive=tuple(Example(f"posin{k}", f"posout{k}", f"poswhy{k}") for k in range(9)),
        negative=tuple(Example(f"negin{k}", f"negout{k}", f"negwhy{k}") for k in range(9)),
        category="Zibbet Grading",
        domains=("Farms", "News"),
        sources=("farm",),
        labels=("bleen", "grue") if closed else None,
        metric="exact_match" if closed else "rouge_l",
    )
