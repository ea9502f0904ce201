"""``snibench verify``: a whole folder of runs, held against its seals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snibench.base.wording import terminal_safe
from snibench.cli.output import show_text
from snibench.cli.places import AnyPath

if TYPE_CHECKING:
    from snibench.store.verifying import Held

_SAID = {
    "tuned": "tuned, but not finished: repeat the run to go on",
    "begun": "not tuned to the end: repeat the run to go on",
    "without digests": "stored by an older snibench, without digests: the same run seals it as it is now",
    "under way": "another process works on it: not looked at",
}


@click.command()
@click.argument("folder", type=AnyPath(), default="runs")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of all fits.")
@click.pass_context
def verify(context: click.Context, folder: Path, as_json: bool) -> None:
    """Hold every file of every fit in FOLDER (default: runs) against the digest that its record has.

    It reads all of it, adapters too, and changes nothing. Exit code 1 if a file is not what was sealed; each is named.
    """
    from snibench.store.verifying import held_folder

    fits = held_folder(folder)
    if as_json:
        show_text(f"{json.dumps([asdict(one) for one in fits], indent=1, ensure_ascii=False)}\n")
    else:
        for line in _lines(fits, folder):
            click.echo(terminal_safe(line))
    context.exit(1 if any(one.faults for one in fits) else 0)


def _lines(fits: Sequence[Held], folder: Path) -> Iterator[str]:
    for one in fits:
        who = f"{one.fit}{f' ({one.label})' if one.label else ''}"
        yield from (f"{who}: {name} {fault}" for name, fault in one.faults.items())
        yield from (f"{who}: {name} is in no record; no report reads it" for name in one.unnamed)
        if one.state in _SAID:
            yield f"{who}: {_SAID[one.state]}"
    wrong = sum(len(one.faults) for one in fits)
    of = f"{sum(one.files for one in fits):,} files of {len(fits):,} fits"
    if wrong:
        yield f"{wrong} of {of} are not what was sealed. Repeat the run with -o {folder}: it says what it makes again."
    else:
        yield f"{of} are what was sealed."
