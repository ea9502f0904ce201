"""Protocols of a run that rest on a class in a file: nobody else has the file, so no board is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snibench.base.errors import UsageError
from snibench.base.registry import in_file, put_on_boards
from snibench.report.cells import printable

if TYPE_CHECKING:
    import pandas as pd

    from snibench.store import StoredRun


def without_files(results: StoredRun) -> tuple[StoredRun, tuple[str, ...]]:
    """``results`` without the answers to protocols that rest on a file, and a sentence for each of those.

    Methods, rules and samplers of files stay: rows are checked without them.

    Raises:
        UsageError: If nothing else was asked; says how the class gets onto a board.
    """
    fault = dict(of_files(results.answers, results.tasks, results.manifest.protocol_settings))
    if not fault:
        return results, ()
    kept = results.answers[~results.answers["protocol"].isin(fault).to_numpy()].reset_index(drop=True)
    if not len(kept):
        raise UsageError(next(iter(fault.values())))
    notes = tuple(f"Protocol {protocol} is left out. {why}" for protocol, why in fault.items())
    return replace(results, answers=kept), notes


def of_files(answers: pd.DataFrame, tasks: pd.DataFrame, settings: Any) -> Iterator[tuple[str, str]]:
    """Each protocol that rests on a file, and a sentence that names the first one with what to do."""
    metrics = tasks.set_index("task")["metric"]
    for protocol, rows in answers.groupby("protocol", sort=True):
        named = {
            "protocol": [protocol],
            "format": [*rows["format"].unique(), *_texts(settings.get(protocol, {}))],
            "metric": [*metrics.reindex(rows["task"].unique()).dropna().unique()],
        }
        found = ((noun, str(name)) for noun, names in named.items() for name in names if in_file(str(name)))
        if (first := next(found, None)) is not None:
            noun, name = first
            why = f"The {noun} {printable(repr(name))} is a file, which nobody else has."
            yield str(protocol), f"{why} {put_on_boards(noun)}"


def _texts(value: Any) -> Iterator[str]:
    """Every text in settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
